"""Generalist and specialists taught back to one net (section 8).

Their soft targets of all training cases are stored once. Students learn from
them, or from labels alone: of the generalist's size, and of the size that costs
as much a prediction as generalist and specialists do.
"""

import numpy as np

import kdtf
from trainers.core import pages, plots, seals, statistics
from trainers.specialists import batches, figures, nets, recipes, scores
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
    run.at_once(_train_one, [("store", 0.0, s) for s in range(run.seeds)])
    run.at_once(
        _train_one,
        [
            (size, weight, seed)
            for seed in range(run.seeds)
            for size in SIZES
            for weight in SOFT_WEIGHTS
        ],
    )
    seeds = run.measured("distilled", measure_seed)
    return {
        **figures.about(run),
        "generalist": figures.system(seeds, "generalist"),
        "teacher": figures.system(seeds, "teacher"),
        "teacher_multiply_adds": _teacher_multiply_adds(run),
        "students": [
            _summary(run, seeds, size, weight)
            for size in SIZES
            for weight in SOFT_WEIGHTS
        ],
    }


def measure_seed(run, seed):
    """All that is measured of a seed: dict from name to array."""
    models = {
        "generalist": run.generalist(seed),
        "teacher": table_module.specialists(run, seed).ensemble(),
    }
    models |= {
        _name(size, weight): _student(run, seed, size, weight)
        for size in SIZES
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


def units_of(run, size):
    """int, the width of a student of one of `SIZES`."""
    if size == SIZES[0]:
        return run.settings.units
    # pixels * u + u^2 + u * classes = the teacher's multiply-adds
    linear = run.pixels + run.classes
    cost = _teacher_multiply_adds(run)
    return int((-linear + np.sqrt(linear**2 + 4 * cost)) / 2)


def _teacher_multiply_adds(run):
    """Of a prediction of generalist and specialists, as `table` counts them."""
    settings = run.settings
    seeds = run.measured("table", table_module.measure_seed)
    calls = np.mean([seed["active"][0] for seed in seeds])
    one = run.multiply_adds(run.classes)
    return float(one + calls * run.multiply_adds(settings.size + 1))


def _student(run, seed, size, soft_weight):
    """The trained `keras.Model`."""
    arm = recipes.student(run, units_of(run, size), soft_weight)
    if not soft_weight:
        return run.train(arm, seed).net

    def endless(first_step):
        targets = {"labels": run.data.train_labels, **_soft_targets(run, seed)}
        return run.batches(slice(None), targets, arm, seed, first_step)

    return run.train_on(endless, arm, seed).net


def _soft_targets(run, seed):
    """Dict of the arrays `[cases, ...]` that a store yields in y."""
    store, dataset, path = _store(run, seed)
    with seals.named(path, delete=path):
        joined = [y for _, y in store.join(dataset)]
    return {
        key: np.concatenate([y[key].numpy() for y in joined])
        for key in joined[0]
        if key != "labels"
    }


def _store(run, seed):
    """`(kdtf.SoftTargets, data set that it is of, path)`."""
    teacher = table_module.specialists(run, seed).ensemble()
    dataset = batches.in_order(
        run.data.train_images, run.data.white, batch_size=_ROWS
    )
    path = run.seed_directory(seed) / "soft_targets"
    with seals.store_refusals():
        store = kdtf.SoftTargets.write(
            path, teacher, dataset, top_k=_TOP_K, temperature=1.0
        )
    return store, dataset, path


def _train_one(run, size, soft_weight, seed):
    """What a worker does; the store comes first."""
    if size == "store":
        _store(run, seed)
    else:
        _student(run, seed, size, soft_weight)
    return f"{size} {soft_weight} {seed}"


def _name(size, soft_weight):
    taught = (
        f"soft targets x {soft_weight:g}" if soft_weight else "labels alone"
    )
    return f"{size}, {taught}"


def _summary(run, seeds, size, soft_weight):
    name = _name(size, soft_weight)
    wrong = [
        np.stack([~seed[f"{each}/right"] for seed in seeds])
        for each in ("generalist", "teacher", name)
    ]
    share, interval = statistics.share_of_gain(*wrong)
    units = units_of(run, size)
    agreement = [seed[f"{name}/agreement"] for seed in seeds]
    return {
        "name": name,
        "units": units,
        "multiply_adds": run.multiply_adds(run.classes, units),
        **figures.system(seeds, name),
        "gain_kept": {"mean": share, "ci95": interval},
        "agreement": figures.over_seeds(agreement),
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
    rows = [
        (
            "generalist",
            str(found["settings"]["units"]),
            "",
            f"{found['generalist']['accuracy']['mean']:.2%}",
            pages.interval(found["generalist"]["accuracy"]["ci95"], ".2%"),
            "0%",
            "-",
            "",
        ),
        (
            "teacher: with specialists",
            "",
            f"{found['teacher_multiply_adds'] / 1000:,.0f} k",
            f"{found['teacher']['accuracy']['mean']:.2%}",
            pages.interval(found["teacher"]["accuracy"]["ci95"], ".2%"),
            "100%",
            "-",
            "",
        ),
    ]
    for student in found["students"]:
        kept = student["gain_kept"]
        rows.append(
            (
                student["name"],
                str(student["units"]),
                f"{student['multiply_adds'] / 1000:,.0f} k",
                f"{student['accuracy']['mean']:.2%}",
                pages.interval(student["accuracy"]["ci95"], ".2%"),
                "-" if kept["mean"] is None else f"{kept['mean']:.0%}",
                pages.interval(kept["ci95"], ".0%"),
                f"{student['agreement']['mean']:.1%}",
            )
        )
    return pages.Table(head, tuple(rows))


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
        labels.append(student["name"].replace(", ", "\n"))
    axes.set_xticks(range(len(labels)), labels, fontsize=6)
    axes.set_ylabel("test accuracy, %")
    axes.legend(fontsize=8)
    text = "Test accuracy of nets distilled from generalist and specialists"
    return [pages.Plot("distilled", figure, text)]
