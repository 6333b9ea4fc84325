"""Architectures that people distill: do they train, export, and how fast?

    pip install kdtf[real_models]
    python -m benchmarks.real_models --data_dir=FOLDER

trains students of `keras.applications` and KerasHub, a recurrent net and others
on data that come with packages, with teachers that were trained for a moment:
about twenty minutes on two cores. `--only=forest --only=tuner` runs some of the
rows. Without `--data_dir` (or `--manual_dir`, see BUILD.md), where TFDS finds
spoken digits, speech is synthetic. Let nothing else run.

Each row is trained by kdtf, by plain Keras `fit` on labels, and by
`keras.distillation` with KLDivergence, as they come: default settings, Adam, a
metric, the same batches. Every contender is a process of its own, which tells
its largest memory in the end; they take turns, and times are medians. A further
process checks kdtf alone: that the loss falls in `fit`, that the export gives
the student's logits in a process without Keras, and that a Distiller which is
saved, loaded and trained on gets the weights of one that never stopped.
"""

import importlib.util
import pathlib
import statistics
import sys
import tempfile

from absl import app, flags

from benchmarks import timing
from benchmarks.real_models import (
    checking,
    images,
    processes,
    residual,
    speech,
    tabular,
    text,
)
from trainers.core import run_directory

ROWS = {
    "images": images.Images,
    "classifier": text.Classifier,
    "language_model": text.LanguageModel,
    "speech": speech.Speech,
    "outputs": residual.Outputs,
    "hints": residual.Hints,
    "forest": tabular.Forest,
    "tuner": tabular.Tuner,
}


def measure(row, rounds):
    """Prepares a row, times its contenders and checks kdtf.

    Args:
      row: `base.Row`.
      rounds: int, timings of each.

    Returns:
      Dict of what was run and found.
    """
    processes.apart(row.prepare)
    checks = processes.apart(checking.check, row)
    contenders = {way: processes.Process(row, way) for way in row.ways}
    running = {w: p for w, p in contenders.items() if p.error is None}
    seconds = {way: [] for way in running}
    for _ in range(rounds):
        for way, process in running.items():
            seconds[way].append(process.seconds())
    return {
        "title": row.title,
        "what": row.what,
        "steps": row.steps,
        "ways": {
            way: _figures(process, row.steps, seconds.get(way))
            for way, process in contenders.items()
        },
        "checks": checks,
    }


def _figures(process, steps, seconds):
    """What a contender took, or what it raised."""
    memory = process.end()
    if seconds is None:
        return {"raises": process.error}
    each = [1e3 * s / steps for s in seconds]
    return {"milliseconds": statistics.median(each), "each": each, **memory}


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values, rows = flags.FLAGS, {}
    names = values.only or list(ROWS)
    needs = {package for name in names for package in ROWS[name].needs}
    missing = [n for n in needs if importlib.util.find_spec(n) is None]
    if missing:
        sys.exit(
            f"{', '.join(missing)} must be installed: pip install "
            "kdtf[real_models], or choose other rows with --only"
        )
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            row = ROWS[name](
                folder, data_dir=values.data_dir, manual_dir=values.manual_dir
            )
            rows[name] = measure(row, values.rounds)
        print(_text(rows[name]), flush=True)
    run_directory.write_json(
        pathlib.Path(values.output),
        {
            **timing.conditions("real_models"),
            "rounds": values.rounds,
            "rows": rows,
        },
    )


def _text(found):
    lines = [found["title"]]
    for way, each in found["ways"].items():
        figures = each.get("raises") or (
            f"{each['milliseconds']:.1f} ms a step, {each['peak_mib']:.0f} MiB"
        )
        lines.append(f"  {way:28} {figures}")
    lines += [f"  {key}: {value}" for key, value in found["checks"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    flags.DEFINE_multi_enum("only", [], list(ROWS), "rows; all if not given")
    flags.DEFINE_integer("rounds", 5, "timings of each", lower_bound=1)
    flags.DEFINE_string("data_dir", None, "where TFDS has spoken_digit")
    flags.DEFINE_string("manual_dir", None, "where its original file is")
    flags.DEFINE_string(
        "output", "results/real_models.json", "where the figures go"
    )
    app.run(main)
