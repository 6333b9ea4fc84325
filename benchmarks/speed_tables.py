"""The tables of times, bytes and kernels; `benchmarks.tables` inserts them."""

import json


def train_step(results, name="train_step.json"):
    """Every contender in its best setting, and the ratios."""
    figures = _load(results, name)
    lines = [
        f"Machine: {figures['machine']}; a large float32 matrix product runs "
        f"at {figures['gigaflops_of_a_matrix_product']:,.0f} Gflop/s.",
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
        f"- {each['size']}: {each['ours']} / {each['against']}, "
        f"{_setting(each['its_setting'])}: {_ratio(each)}"
        for each in figures["ratios"]
    ]
    return lines


def _setting(which):
    alike = which not in ("best", "default")
    return f"both with `{which}`" if alike else f"at its {which}"


def train_step_settings(results, name="train_step.json"):
    """Every contender in every setting."""
    figures = _load(results, name)
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


def arrays(results):
    """Every contender's epoch over arrays, and the ratios."""
    figures = _load(results, "arrays.json")
    lines = header(
        "student", "trained by", "ms an epoch", "microseconds a step"
    )
    for size, found in figures["sizes"].items():
        lines += [
            row(
                size,
                name,
                f"{milliseconds:,.1f}",
                f"{found['microseconds_a_step'][name]:,.0f}",
            )
            for name, milliseconds in found["milliseconds_an_epoch"].items()
        ]
    lines.append("")
    lines += [
        f"- {size}: {each['ours']} / {each['against']}: {_ratio(each)}"
        for size, found in figures["sizes"].items()
        for each in found["ratios"]
    ]
    return lines


def loss(results, name="loss.json"):
    """Time and memory of value and gradient, compared with the formula's."""
    lines = header(
        "logits", "loss", "run by", "ms", "kdtf under XLA / this", "peak MB"
    )
    for shape, runs in _load(results, name)["shapes"].items():
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
        "to trace and compile, s without / with XLA",
        f"pays after steps, {' / '.join(steps)}",
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
                f"{each[steps[0]]['seconds_to_compile_without']:.1f} / "
                f"{each[steps[0]]['seconds_to_compile_with']:.1f}",
                " / ".join(
                    _steps(each[many]["steps_until_it_pays"]) for many in steps
                ),
            )
        )
    return lines


def _steps(count):
    return "never" if count is None else f"{count:,}"


def fused(results):
    """Time and memory of the last layer and the loss, fused and apart."""
    lines = header(
        "teacher", "rows at a time", "ms", "of apart", "MB", "of apart"
    )
    for each in _load(results, "fused.json")["rows"]:
        lines.append(
            row(
                each["teacher"],
                str(each["rows_at_a_time"] or "all: apart"),
                f"{each['milliseconds']:,.0f}",
                _ratio(each["time_over_apart"]),
                f"{each['megabytes']:,.0f}",
                f"{each['memory_over_apart']:.3f}",
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


def gpu_fused(results):
    """Time and memory of a last layer and its loss on a GPU."""
    figures = _load(results, "gpu_fused.json")
    found = {
        (each["teacher"], each["kernel"], each["rows_at_a_time"]): each
        for each in figures["rows"]
    }
    lines = [
        f"{_compiled_by(figures)}; run on an {figures['device']}.",
        "",
        *header(
            "teacher",
            "kernel",
            "rows at a time",
            "ms",
            "of apart",
            "temporary MB",
            "of apart",
            "error",
        ),
    ]
    for teacher, kernel, rows in sorted(found, key=_most_rows_first):
        each = found[teacher, kernel, rows]
        apart = found[teacher, kernel, "all"]
        time, memory = "milliseconds", "megabytes_temporary"
        lines.append(
            row(
                {"hidden": "hidden states and kernel", "top": "top 64 logits"}[
                    teacher
                ],
                kernel,
                "all: apart" if rows == "all" else rows,
                _milliseconds(each, digits=1),
                f"{each[time] / apart[time]:.2f}",
                f"{each[memory]:,.0f}",
                f"{each[memory] / apart[memory]:.2f}",
                f"{each['error']:.1e}",
            )
        )
    return lines


def _most_rows_first(way):
    *which, rows = way
    return *which, -float("inf") if rows == "all" else -int(rows)


def _milliseconds(measured, digits=3):
    lower, upper = measured["milliseconds_quartiles"]
    each = measured["milliseconds"], lower, upper
    return "{} ({} to {})".format(*(f"{one:.{digits}f}" for one in each))


def gpu_aot(results):
    """Kernels and bytes of losses and step, compiled for an H200."""
    figures = _load(results, "gpu_aot.json")
    lines = [
        f"{_compiled_by(figures)}; {figures['device']}.",
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


def gpu_run(results):
    """Time, bytes and errors of losses and step on a GPU."""
    figures = _load(results, "gpu_run.json")
    copy = figures["copy_gigabytes_a_second"]
    return [
        f"{_compiled_by(figures)}; run on an {figures['device']}, where a copy "
        f"moves {copy:,.0f} GB/s; programs of commit {figures['commit']}.",
        "",
        *header(
            "program",
            "ms",
            "kdtf / this",
            "kernels",
            "of the logits",
            "GB/s (of a copy's)",
            "temporary MB",
            "error",
            "within tolerance",
        ),
        *(_gpu_run_row(figures, each) for each in figures["rows"]),
    ]


def _gpu_run_row(figures, measured):
    copy, steps = figures["copy_gigabytes_a_second"], figures["steps_a_timing"]
    speed, over = measured["gigabytes_a_second"], measured["moved_over_logits"]
    loop = ""
    if (in_loop := measured.get("milliseconds_in_one_loop")) is not None:
        loop = f"; {in_loop:.3f}, {steps} in a loop"
    ours = _of_kdtf(figures["rows"], measured["program"])
    return row(
        f"`{measured['program']}`",
        _milliseconds(measured) + loop,
        f"{ours['milliseconds'] / measured['milliseconds']:.2f}"
        if ours
        else "",
        str(measured["kernels"]),
        f"{over:.1f} x" if over else "",
        f"{speed:,.0f} ({speed / copy:.0%})",
        f"{measured['megabytes_temporary']:,.1f}",
        f"{max(measured['errors'].values()):.1e}",
        "yes" if measured["right"] else "**no**",
    )


def _of_kdtf(rows, name):
    """The row of kdtf's loss on the logits of that loss; None for a step."""
    logits = name.split("_")[-2:]
    ours = "_".join(["loss_kdtf", *logits])
    return next((each for each in rows if each["program"] == ours), None)


def _compiled_by(figures):
    """What the figures of a GPU describe, with the compiler's version."""
    what, versions = figures["what"], figures["compiler_versions"]
    return f"{what[0].upper()}{what[1:]} {versions['jaxlib']}"


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
