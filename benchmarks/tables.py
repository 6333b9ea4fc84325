"""The tables of README.md, BENCHMARKS.md and docs/results/, from the figures.

    python -m benchmarks.tables           # writes them
    python -m benchmarks.tables --check   # fails if a page is stale

The figures are those under results/. A table stands between
`<!-- table: NAME -->` and `<!-- end -->`; no figure in it is typed by hand.
"""

import collections
import functools
import json
import pathlib
import re
import statistics
import sys

from absl import app, flags

from benchmarks import (
    scale_tables,
    specialist_tables,
    speed_tables,
    summary,
)
from benchmarks.real_models import tables as real_models
from kdtf import _atomic
from trainers.characters.experiments import EXPERIMENTS as CHARACTERS
from trainers.distill.experiments import EXPERIMENTS as DISTILL
from trainers.mnist.experiments import EXPERIMENTS as MNIST
from trainers.specialists.experiments import EXPERIMENTS as SPECIALISTS
from trainers.speech.experiments import EXPERIMENTS as SPEECH

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text, results):
    """`text` with every table generated again.

    Args:
      text: str, Markdown with table marks.
      results: `pathlib.Path` of the folder of result files.

    Returns:
      str.

    Raises:
      ValueError: if a mark names a table that does not exist.
    """

    def fill(match):
        name = match[2]
        if name not in TABLES:
            raise ValueError(
                f"A table mark must name one of {sorted(TABLES)}. "
                f"Received: {name!r}"
            )
        return match[1] + "\n".join(TABLES[name](results)) + "\n" + match[3]

    return _TABLE.sub(fill, text)


def _load(results, name):
    return json.loads((results / name).read_text(encoding="utf-8"))


def _experiment(folder, name, experiment):
    """Function from the results to an experiment's table and findings."""

    def table(results):
        metrics = _load(results, f"{folder}/metrics.json")
        return experiment.lines(metrics["experiments"][name])

    return table


def _headline(results):
    """The first finding of the demo's first section."""
    metrics = _load(results, "digits/metrics.json")["experiments"]
    name, figures = next(iter(metrics.items()))
    return MNIST[name].findings(figures)[:1]


def _distill_headline(results):
    """The verdict of a run of trainers.distill, without its advice."""
    metrics = _load(results, "distill_characters/metrics.json")["experiments"]
    said = DISTILL["comparison"].introduction(metrics["comparison"])
    return [said.partition(" What to try next:")[0]]


def _peers(results):
    rows = _load(results, "peer_comparison.json")["rows"]
    names = list(rows[0]["measured"])
    lines = speed_tables.header("", "right", *names)
    for row in rows:
        cells = [row["measured"][name] for name in names]
        lines.append(speed_tables.row(row["what"], row["right"], *cells))
    return lines


def _faults(results):
    rows = _load(results, "faults/faults.json")["rows"]
    lines = speed_tables.header(
        "task",
        "disturbed by",
        "faults",
        "ended as if undisturbed",
        "named in a sentence",
        "lost",
        "unnamed",
    )
    total = collections.Counter()
    for row in rows:
        total.update(row["outcomes"])
        lines.append(_faults_row(row, row["outcomes"]))
    every = {"task": "all", "disturbed_by": ""}
    return [*lines, _faults_row(every, total)]


def _faults_row(row, outcomes):
    counts = [outcomes[name] for name in ("same", "named", "lost", "unnamed")]
    return speed_tables.row(
        row["task"],
        row["disturbed_by"],
        *(f"{count:,}" for count in (sum(counts), *counts)),
    )


def _soft_targets_size(results):
    figures = _load(results, "soft_targets.json")["size"]
    lines = speed_tables.header(
        "teacher",
        "T",
        "top k",
        "bytes an example",
        "of all logits'",
        "mass of the tail",
        "KL, nats",
    )
    for name, task in figures.items():
        for row in task["rows"]:
            kept = row["top_k"]
            lines.append(
                speed_tables.row(
                    f"{name}, {task['classes']:,} classes",
                    f"{task['temperature']:g}",
                    str(kept or "all"),
                    f"{row['bytes_per_example']:.1f}",
                    f"{row['share_of_bytes']:.1%}",
                    f"{row['tail_mass']:.1%}" if kept else "",
                    f"{row['kl']:.2g}" if kept else "",
                )
            )
    return lines


def _soft_targets_accuracy(results):
    figures = _load(results, "soft_targets.json")
    lines = speed_tables.header(
        "data", "learned from", "test errors, mean", "a seed"
    )
    for name, task in figures["accuracy"].items():
        size = figures["size"][name]
        where = f"{name}, {size['test_cases']:,} test cases"
        lines.append(
            speed_tables.row(
                where, "(teacher)", str(size["teacher_errors"]), ""
            )
        )
        for source, errors in task["errors"].items():
            mean = statistics.mean(errors)
            each = ", ".join(str(e) for e in errors)
            lines.append(speed_tables.row(where, source, f"{mean:.1f}", each))
    return lines


def _soft_targets_speed(results):
    speed = _load(results, "soft_targets.json")["speed"]
    lines = [
        f"- Writing runs at **{writing['speed_ratio']:.2f}** of the speed of "
        f"the teacher's bare inference ({writing['teacher']}; "
        f"{writing['writing_seconds']:.2f} s against "
        f"{writing['bare_inference_seconds']:.2f} s)."
        for writing in speed["writing"].values()
    ]
    for name, reading in speed["reading"].items():
        each = reading["milliseconds_a_batch"]
        ratio = reading["train_from_store_over_memory"]
        lines.append(
            f"- Student {name}, batch {reading['batch']}: a step from the "
            f"store takes **{ratio:.2f}** of one from memory "
            f"({each['train_from_store']:.3f} ms against "
            f"{each['train_from_memory']:.3f} ms; reading alone "
            f"{each['read']:.3f} ms)."
        )
    megabytes = ", ".join(
        f"{m:.0f} MB for {int(n):,}" for n, m in speed["memory"].items()
    )
    lines.append(
        "- Peak memory of a process that writes and reads, against the number "
        f"of examples: {megabytes}."
    )
    return lines


TABLES = {
    "digits": _experiment("digits", "table", MNIST["table"]),
    "digits_few_labels": _experiment(
        "digits", "few_labels", MNIST["few_labels"]
    ),
    "digits_headline": _headline,
    **{
        f"digits_labels_{name}": _experiment("digits_labels", name, MNIST[name])
        for name in ("few_labels", "few_labels_weight")
    },
    **{
        f"mnist_{name}": _experiment(folder, name, MNIST[name])
        for folder in (
            "mnist",
            "mnist_omitted",
            "mnist_temperatures",
            "mnist_hard_weight",
            "mnist_logit_matching",
            "mnist_few_labels",
            "mnist_convolutional",
            "mnist_ensemble",
            "mnist_sweeps",
        )
        # Those that are published.
        for name in _load(ROOT / "results", f"{folder}/metrics.json")[
            "experiments"
        ]
    },
    **{
        f"speech_{name}": _experiment(folder, name, SPEECH[name])
        for folder, name in (
            ("speech", "ensemble"),
            ("speech_few_clips", "small_data"),
        )
    },
    **{
        f"specialists_{name}": _experiment(
            "specialists", name, SPECIALISTS[name]
        )
        for name in ("table", "soft_targets", "distilled")
    },
    "distill_headline": _distill_headline,
    **{
        f"distill_{name}": _experiment(
            f"distill_{name}", "comparison", DISTILL["comparison"]
        )
        for name in ("characters", "spoken_digits", "breast_cancer")
    },
    "characters": _experiment("characters", "table", CHARACTERS["table"]),
    "characters_few": _experiment("characters", "few", CHARACTERS["few"]),
    "speech_by_speaker": _experiment(
        "speech_by_speaker",
        "ensemble",
        SPEECH["ensemble"],
    ),
    "summary": summary.lines,
    "peers": _peers,
    "real_models": real_models.times,
    "real_models_checks": real_models.checks,
    "real_models_what": real_models.what,
    **{
        f"scale_{name}": getattr(scale_tables, name)
        for name in (
            "training",
            "labelling",
            "reading",
            "store",
            "all_reduce",
            "bottleneck",
        )
    },
    "train_step": speed_tables.train_step,
    "train_step_settings": speed_tables.train_step_settings,
    "arrays": speed_tables.arrays,
    "loss": speed_tables.loss,
    "fused": speed_tables.fused,
    "jit_compile": speed_tables.jit_compile,
    "teacher_step": speed_tables.teacher_step,
    "memory": speed_tables.memory,
    "specialist_sets": specialist_tables.clusters,
    "specialist_combination": specialist_tables.combination,
    "specialist_ways": specialist_tables.ways,
    "gpu_aot": speed_tables.gpu_aot,
    "gpu_fused": speed_tables.gpu_fused,
    "gpu_run": speed_tables.gpu_run,
    **{
        f"gpu_{each.__name__}": functools.partial(each, name=f"gpu_{file}.json")
        for each, file in (
            (speed_tables.train_step, "train_step"),
            (speed_tables.train_step_settings, "train_step"),
            (speed_tables.loss, "loss"),
        )
    },
    "faults": _faults,
    "soft_targets_size": _soft_targets_size,
    "soft_targets_accuracy": _soft_targets_accuracy,
    "soft_targets_speed": _soft_targets_speed,
}


def pages():
    """`pathlib.Path`s of the pages that hold tables."""
    return [
        ROOT / "README.md",
        ROOT / "BENCHMARKS.md",
        *sorted((ROOT / "docs" / "results").glob("*.md")),
    ]


def refresh(*, check):
    """Writes the pages, or exits with an error if one is stale.

    Args:
      check: bool, whether to compare only.
    """
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = render(before, ROOT / "results")
        if not check:
            _atomic.write_whole(page, after)
        elif before != after:
            sys.exit(
                f"{page.relative_to(ROOT)} is stale: run "
                "python -m benchmarks.tables"
            )


def main(argv):
    """Writes or checks the pages."""
    del argv
    refresh(check=flags.FLAGS.check)


if __name__ == "__main__":
    flags.DEFINE_boolean("check", False, "fail if a page is stale")
    app.run(main)
