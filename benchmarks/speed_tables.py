"""The tables of times, bytes and kernels; `benchmarks.tables` inserts them."""

import json


def train_step(results):
    """Every contender in its best setting, and the ratios."""
    figures = _load(results, "train_step.json")
    lines = [
        f"Machine: {figures['machine']}; a large float32 matrix product runs "
        f"at {figures['gigaflops_of_a_matrix_product']:.0f} Gflop/s.",
        "",
        *header(
            "student", "trained by", "microseconds a step", "of that speed"
        ),
    ]
    for size, runs in figures["sizes"].items():
        lines += [
            row(
                size,
                run["contender"],
                f"{run['microseconds']:,.0f}",
                f"{run['share_of_peak']:.0%}",
            )
            for run in runs
            if run["best"]
        ]
    lines.append("")
    lines += [
        f"- {each['size']}: {each['ours']} / {each['against']}, at its "
        f"{each['its_setting']}: {_ratio(each)}"
        for each in figures["ratios"]
    ]
    return lines


def train_step_settings(results):
    """Every contender in every setting."""
    figures = _load(results, "train_step.json")
    lines = header("student", "trained by", "setting", "microseconds a step")
    for size, runs in figures["sizes"].items():
        lines += [
            row(
                size,
                run["contender"],
                "" if run["setting"] == "{}" else f"`{run['setting']}`",
                f"{run['microseconds']:,.0f}" + " (best)" * run["best"],
            )
            for run in runs
        ]
    return lines


def loss(results):
    """Time and memory of value and gradient, compared with the formula's."""
    lines = header(
        "logits", "loss", "run by", "ms", "kdtf under XLA / this", "peak MB"
    )
    for shape, runs in _load(results, "loss.json")["shapes"].items():
        lines += [
            row(
                shape,
                run["loss"],
                "XLA" if run["compiled"] else "TensorFlow's operations",
                f"{run['milliseconds']:.3g}",
                _ratio(run["kdtf_over_this"]),
                f"{run['megabytes']:,.0f}",
            )
            for run in runs
        ]
    return lines


def jit_compile(results):
    """Time with and without XLA, for students of all kinds of layers."""
    figures = _load(results, "jit_compile.json")
    steps = [key for key in figures["rows"][0] if key != "student"]
    lines = header(
        "student",
        *(f"{many} a time, ms without / with XLA" for many in steps),
        *(f"ratio, {many}" for many in steps),
    )
    for each in figures["rows"]:
        lines.append(
            row(
                each["student"],
                *(
                    f"{each[many]['milliseconds_without']:.2f} / "
                    f"{each[many]['milliseconds_with']:.2f}"
                    for many in steps
                ),
                *(_ratio(each[many]["ratio"]) for many in steps),
            )
        )
    return lines


def teacher_step(results):
    """Time of an epoch of the MNIST teacher."""
    lines = header("way", "s an epoch", "of the bare loop")
    for each in _load(results, "teacher_step.json")["rows"]:
        lines.append(
            row(
                each["way"],
                f"{each['seconds']:.2f}",
                _ratio(each["over_bare_loop"]),
            )
        )
    return lines


def memory(results):
    """What a process keeps of every model that it has trained."""
    lines = header("trained again and again", "MiB each")
    for each in _load(results, "memory.json")["rows"]:
        lines.append(row(each["way"], f"{each['mib']:.1f}"))
    return lines


def gpu_aot(results):
    """Kernels and bytes of losses and step, compiled for an H200."""
    figures = _load(results, "gpu_aot.json")
    versions = figures["compiler_versions"]
    lines = [
        f"{figures['what'][0].upper()}{figures['what'][1:]} "
        f"{versions['jaxlib']}; {figures['device']}.",
        "",
        *header(
            "program", "kernels", "MB moved", "of the logits", "temporary MB"
        ),
    ]
    for each in figures["rows"]:
        over = each["moved_over_logits"]
        lines.append(
            row(
                f"`{each['program']}`",
                str(each["kernels"]),
                f"{each['megabytes_moved']:,.1f}",
                f"{over:.1f} x" if over else "",
                f"{each['megabytes_temporary']:,.1f}",
            )
        )
    return lines


def header(*names):
    """The first two lines of a Markdown table."""
    return [row(*names), row(*["---"] * len(names))]


def row(*cells):
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def _ratio(figures):
    low, high = figures["quartiles"]
    return f"**{figures['median']:.2f}** ({low:.2f} to {high:.2f})"


def _load(results, name):
    return json.loads((results / name).read_text(encoding="utf-8"))
