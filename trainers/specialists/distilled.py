"""Generalist and specialists taught back to one net (section 8).

Their soft targets of all training cases are stored once. Students learn from
them, or from labels alone: of the generalist's size, and of the size that costs
as much a prediction as generalist and specialists do.
"""

import keras
import numpy as np
import tqdm

import kdtf
from trainers.core import (
    pages,
    plots,
    seals,
    statistics,
    strategies,
    workers,
)
from trainers.specialists import batches, figures, groups, recipes, scores
from trainers.specialists import table as table_module

TITLE = "Distilled back into one net"
# The soft term's weight; the labels' is the rest. 0: labels alone.
SOFT_WEIGHTS = (0.0, 0.5)
SIZES = ("the generalist's size", "equal cost of a prediction")
_TOP_K = 32  # of the teacher's logits, beside the mass of all others
_ROWS = 1024  # of a shard's batch


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    seeds = run.measured("distilled", measure_seed, _train)
    cost = _teacher_multiply_adds(run)
    return {
        **figures.about(run),
        "generalist": figures.system(seeds, "generalist"),
        "teacher": figures.system(seeds, "teacher"),
        "teacher_multiply_adds": cost,
        "students": [
            _summary(run, seeds, size, units, weight)
            for size, units in units_of(run, cost).items()
            for weight in SOFT_WEIGHTS
        ],
    }


def _train(run):
    """Trains all that is measured, and the table's nets before that."""
    widths = units_of(run, _teacher_multiply_adds(run)).values()
    run.do(_write_store, [(seed,) for seed in range(run.seeds)])
    run.do(
        _train_student,
        [
            (seed, units, weight)
            for units in widths
            for weight in SOFT_WEIGHTS
            for seed in range(run.seeds)
        ],
    )


def _train_student(run, seed, units, soft_weight):
    _student(run, seed, units, soft_weight)
    return f"student {units} {soft_weight:g} {seed}"


def measure_seed(run, seed):
    """All that is measured of a seed: dict from name to array."""
    models = {
        "generalist": run.generalist(seed),
        "teacher": groups.of_confused(run, seed)[0].ensemble(),
    }
    widths = units_of(run, _teacher_multiply_adds(run))
    models |= {
        _name(size, weight): _student(run, seed, units, weight)
        for size, units in widths.items()
        for weight in SOFT_WEIGHTS
    }
    found = {}
    for name, model in models.items():
        of = scores.of(model, *run.test, run.data.white)
        found |= figures.arrays_of(name, of)
    agreed = found["teacher/choices"]
    for name in models:
        agreement = (found[f"{name}/choices"] == agreed).mean()
        found[f"{name}/agreement"] = agreement
    return found


def units_of(run, multiply_adds):
    """Dict from one of `SIZES` to the width of its students.

    Args:
      run: `run.Run`.
      multiply_adds: float, the teacher's of a prediction.
    """
    # pixels * u + u^2 + u * classes = the teacher's multiply-adds
    linear = run.pixels + run.classes
    equal = (-linear + np.sqrt(linear**2 + 4 * multiply_adds)) / 2
    return dict(zip(SIZES, (run.settings.units, int(equal)), strict=True))


def _teacher_multiply_adds(run):
    """Of a prediction of generalist and specialists, as `table` counts them."""
    seeds = run.measured("table", table_module.measure_seed, table_module.train)
    calls = np.mean([seed["active"][0] for seed in seeds])
    one = run.multiply_adds(run.classes)
    return float(one + calls * run.multiply_adds(run.settings.size + 1))


def _student(run, seed, units, soft_weight):
    """The trained `keras.Model`."""
    arm = recipes.student(run, units, soft_weight)
    if not soft_weight:
        return run.train(arm, seed).net

    def endless(first_step):
        targets = {"labels": run.data.train_labels, **_soft_targets(run, seed)}
        return run.batches(slice(None), targets, arm, seed, first_step)

    return run.train_on(endless, arm, seed).net


def _soft_targets(run, seed):
    """Dict of the arrays `[cases, ...]` that a store yields in y."""
    path = _store_path(run, seed)
    with seals.named(path, delete=path):
        store = kdtf.SoftTargets(path)
        joined = [y for _, y in store.join(_InOrder(run))]
    return {
        key: np.concatenate([y[key].numpy() for y in joined])
        for key in joined[0]
    }


def _store_path(run, seed):
    return run.seed_directory(seed) / "soft_targets"


def _write_store(run, seed):
    teacher = groups.of_confused(run, seed)[0].ensemble()

    def write():
        bar = tqdm.tqdm(
            desc=f"seed{seed} soft targets",
            unit="batch",
            delay=1,  # none where they are there
            disable=workers.is_worker(),
        )
        with seals.store_refusals(), bar:
            kdtf.SoftTargets.write(
                _store_path(run, seed),
                teacher,
                _InOrder(run, bar),
                # Of no more classes all logits are kept.
                top_k=_TOP_K if run.classes > _TOP_K else None,
                temperature=1.0,
                verbose=0,
            )

    strategies.on_chief(write)
    return f"soft targets {seed}"


class _InOrder(keras.utils.PyDataset):
    """All training cases in batches `[batch, pixels]` float32, without noise.

    They are converted batch by batch, and a bar shows how far a reader is.
    """

    def __init__(self, run, bar=None):
        super().__init__()
        self._pixels = batches.flat(run.data.train_images)
        self._white = run.data.white
        self._bar = bar
        if bar is not None:
            bar.total = len(self)

    def __len__(self):
        return -(-len(self._pixels) // _ROWS)

    def __getitem__(self, index):
        if self._bar is not None:
            self._bar.update(max(0, index + 1 - self._bar.n))
        rows = self._pixels[index * _ROWS : (index + 1) * _ROWS]
        return rows.astype(np.float32) / np.float32(self._white)


def _name(size, soft_weight):
    taught = (
        f"soft targets x {soft_weight:g}" if soft_weight else "labels alone"
    )
    return f"{size}, {taught}"


def _summary(run, seeds, size, units, soft_weight):
    name = _name(size, soft_weight)
    wrong = [
        np.stack([~seed[f"{each}/right"] for seed in seeds])
        for each in ("generalist", "teacher", name)
    ]
    share, interval = statistics.share_of_gain(*wrong)
    agreement = [seed[f"{name}/agreement"] for seed in seeds]
    return {
        "name": name,
        "units": units,
        "multiply_adds": run.multiply_adds(run.classes, units),
        **figures.system(seeds, name),
        "gain_kept": {"mean": share, "ci95": interval},
        "agreement": statistics.over_seeds(agreement),
    }


def table(found):
    """Teacher and students."""
    head = (
        "net",
        "units",
        "multiply-adds a prediction",
        "test accuracy",
        "interval",
        "share of the gain kept",
        "interval",
        "agrees with the teacher",
    )
    base, teacher = found["generalist"], found["teacher"]
    cost = found["teacher_multiply_adds"]
    units = str(found["settings"]["units"])
    rows = [
        _row("generalist", units, "", base, ("0%", "-", "")),
        _row("with specialists", "", _k(cost), teacher, ("100%", "-", "")),
    ]
    for student in found["students"]:
        kept = student["gain_kept"]
        last = (
            "-" if kept["mean"] is None else f"{kept['mean']:.0%}",
            pages.interval(kept["ci95"], ".0%"),
            f"{student['agreement']['mean']:.1%}",
        )
        cost = _k(student["multiply_adds"])
        name, units = student["name"], str(student["units"])
        rows.append(_row(name, units, cost, student, last))
    return pages.Table(head, tuple(rows))


def _row(name, units, cost, system, last):
    accuracy = system["accuracy"]
    return (
        name,
        units,
        cost,
        f"{accuracy['mean']:.2%}",
        pages.interval(accuracy["ci95"], ".2%"),
        *last,
    )


def _k(count):
    return f"{count / 1000:,.0f} k"


def findings(found):
    """What the figures say."""
    taught = [s for s in found["students"] if "soft" in s["name"]]
    best = max(taught, key=lambda s: s["accuracy"]["mean"])
    alone = next(
        s
        for s in found["students"]
        if s["units"] == best["units"] and "labels" in s["name"]
    )
    kept = best["gain_kept"]
    share = "none" if kept["mean"] is None else f"{kept['mean']:.0%}"
    return [
        f"Of the students on soft targets the best ({best['name']}) keeps "
        f"{share} ({pages.interval(kept['ci95'], '.0%')}) of the gain.",
        "A net of its size that learned from labels alone in as many steps "
        f"reaches {alone['accuracy']['mean']:.2%}, with soft targets it is "
        f"{best['accuracy']['mean']:.2%}.",
    ]


def details(found, data):
    """The plot."""
    figure, axes = plots.new()
    for name, colour in (("generalist", "student"), ("teacher", "teacher")):
        level = 100 * found[name]["accuracy"]["mean"]
        plots.level(axes, level, plots.COLOURS[colour], name)
    labels = []
    for i, student in enumerate(found["students"]):
        soft = "soft" in student["name"]
        colour = plots.COLOURS["distilled" if soft else "other"]
        plots.with_interval(axes, i, plots.percent(student["accuracy"]), colour)
        name = student["name"].replace(" a prediction", "\na prediction")
        labels.append(name.replace(", ", "\n"))
    axes.set_xticks(range(len(labels)), labels, fontsize=6)
    axes.set_ylabel("test accuracy, %")
    axes.legend(fontsize=8)
    text = "Test accuracy of nets distilled from generalist and specialists"
    return [pages.Plot("distilled", figure, text)]
