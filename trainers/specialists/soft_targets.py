"""Specialists of few cases, kept from overfitting by soft targets (section 6.1).

The generalist has seen nine tenths of the cases, the specialists learn from the
rest: with a dustbin; with the full softmax from labels; and with the full
softmax from labels on their own classes and from the generalist's soft targets
on all others. None of the cases is one that the generalist has learned from.
"""

import numpy as np
import tensorflow as tf

from trainers.core import pages, plots
from trainers.core.errors import FlagsError
from trainers.specialists import batches, figures, groups, recipes, scores

TITLE = "Specialists of few cases: dustbin, full softmax, soft targets"
ARMS = ("dustbin", "full softmax", "full softmax, soft targets")


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    run.at_once(_train_generalist, [(seed,) for seed in range(run.seeds)])
    run.at_once(
        _train_one, [(arm, s) for s in range(run.seeds) for arm in ARMS]
    )
    seeds = run.measured("soft_targets", measure_seed)
    few = len(run.data.train_labels[run.rows("few")])
    return {
        **figures.about(run),
        "cases": few,
        "cases_a_class": few / run.classes,
        "generalist": figures.system(seeds, "generalist"),
        "arms": {
            name: {
                **figures.system(seeds, name),
                "own_train": figures.over_seeds(
                    [s[f"{name}/own"][0] for s in seeds]
                ),
                "own_test": figures.over_seeds(
                    [s[f"{name}/own"][1] for s in seeds]
                ),
                "relative_gain": figures.relative_gain(seeds, name),
            }
            for name in ARMS
        },
        "tests": {
            name: figures.paired(seeds, name, ARMS[-1]) for name in ARMS[:-1]
        },
    }


def measure_seed(run, seed):
    """All that is measured of a seed: dict from name to array."""
    generalist = run.generalist(seed, "many")
    found = figures.arrays_of(
        "generalist", scores.of(generalist, *run.test, run.data.white)
    )
    for name in ARMS:
        group = _group(run, seed, name)
        of = scores.of(group.ensemble(), *run.test, run.data.white)
        found |= figures.arrays_of(name, of)
        found[f"{name}/own"] = _own_accuracy(run, group)
    return found


def _group(run, seed, name):
    """The `groups.Group` of an arm."""
    settings = run.settings
    generalist = run.generalist(seed, "many")
    sets, _ = groups.confusable_sets(
        run,
        seed,
        generalist,
        count=settings.specialists,
        size=settings.size,
        cases="many",
    )
    soft = name == ARMS[-1]
    arms = [
        recipes.few_specialist(
            run,
            classes,
            full_softmax=name != ARMS[0],
            by="soft targets" if soft else "labels",
        )
        for classes in sets
    ]
    pixels = batches.flat(run.data.train_images)[run.rows("few")]
    labels = run.data.train_labels[run.rows("few")]
    _require_cases(sets, labels)
    x, targets = pixels, None
    if soft:
        x, targets = (
            (pixels, _log_probabilities(run, generalist)),
            _soft_on_others,
        )
    folder = "few-" + name.replace(", ", "-").replace(" ", "_")
    return groups.train_arms(
        run, seed, generalist, arms, folder, (x, labels), targets
    )


def _soft_on_others(log_probabilities, y, own):
    """Labels for a specialist's own classes, soft targets for all others.

    Args:
      log_probabilities: `[batch, classes]` float16, the generalist's.
      y: `[batch]` int64 labels.
      own: `[size]` int64, the specialist's classes.

    Returns:
      `[batch, classes]` float32 distributions.
    """
    soft = tf.exp(tf.cast(log_probabilities, tf.float32))
    is_own = tf.reduce_any(y[:, None] == own[None, :], axis=1)
    return tf.where(is_own[:, None], tf.one_hot(y, soft.shape[-1]), soft)


def _log_probabilities(run, generalist):
    """`[cases, classes]` float16, of the generalist on the few cases."""
    images = run.data.train_images[run.rows("few")]
    parts = []
    for block in scores.logits(generalist, images, run.data.white):
        log_p = tf.nn.log_softmax(block).numpy()
        parts.append(log_p.astype(np.float16))
    return np.concatenate(parts)


def _require_cases(sets, labels):
    """Raises where a class has no case among the few: it can't be learned."""
    missing = np.setdiff1d(np.concatenate(sets), labels)
    if len(missing):
        raise FlagsError(
            "--few must leave a case of every class to the specialists: give a "
            "larger share, and another --run_dir. Received: none of classes "
            f"{missing[:5].tolist()}"
        )


def _own_accuracy(run, group):
    """Accuracy among a specialist's own classes: of learned and test cases."""
    few = run.rows("few")
    parts = (
        (run.data.train_images[few], run.data.train_labels[few]),
        run.test,
    )
    right, cases = np.zeros(2), np.zeros(2)
    for member in group.members:
        places = groups.places_of(member.classes, run.classes)
        for i, (images, labels) in enumerate(parts):
            rows = np.flatnonzero(places[labels] < len(member.classes))
            logits = groups.own_logits(run, member, images[rows])[:, :-1]
            right[i] += (logits.argmax(-1) == places[labels[rows]]).sum()
            cases[i] += len(rows)
    return right / cases


def _train_generalist(run, seed):
    run.generalist(seed, "many")
    return f"generalist of many {seed}"


def _train_one(run, name, seed):
    _group(run, seed, name)
    return f"{name} {seed}"


def table(found):
    """The arms."""
    head = (
        "specialists",
        "own classes, learned cases",
        "own classes, test",
        "test accuracy with the generalist",
        "interval",
        "relative gain",
        "NLL",
    )
    base = found["generalist"]
    rows = [
        (
            "none: the generalist",
            "-",
            "-",
            f"{base['accuracy']['mean']:.2%}",
            pages.interval(base["accuracy"]["ci95"], ".2%"),
            "-",
            f"{base['nll']['mean']:.3f}",
        )
    ]
    for name, arm in found["arms"].items():
        rows.append(
            (
                name,
                f"{arm['own_train']['mean']:.1%}",
                f"{arm['own_test']['mean']:.1%}",
                f"{arm['accuracy']['mean']:.2%}",
                pages.interval(arm["accuracy"]["ci95"], ".2%"),
                f"{arm['relative_gain']['mean']:+.1%}",
                f"{arm['nll']['mean']:.3f}",
            )
        )
    return pages.Table(head, tuple(rows))


def findings(found):
    """What the figures say."""
    said = [
        f"Specialists learn from {found['cases']:,} cases, "
        f"{found['cases_a_class']:.0f} a class, of which the generalist has "
        "seen none."
    ]
    for name, test in found["tests"].items():
        points = test["points"]
        said.append(
            f"Soft targets on the other classes against {name}: "
            f"{100 * points['mean']:+.2f} points of test accuracy, p = "
            f"{test['p_value']:.1g} in a paired test over cases."
        )
    gaps = ", ".join(
        f"{name} {arm['own_train']['mean'] - arm['own_test']['mean']:.1%}"
        for name, arm in found["arms"].items()
    )
    return [*said, f"Overfitting, learned less test accuracy: {gaps}."]


def details(found, data):
    """The plot."""
    figure, axes = plots.new()
    for i, (name, arm) in enumerate(found["arms"].items()):
        for key, colour in (
            ("own_train", plots.COLOURS["teacher"]),
            ("own_test", plots.COLOURS["distilled"]),
        ):
            plots.with_interval(axes, i, plots.percent(arm[key]), colour)
    axes.set_xticks(range(len(found["arms"])), list(found["arms"]), fontsize=8)
    axes.set_ylabel("accuracy among own classes, %: learned (grey), test")
    text = "Accuracy of specialists on learned and test cases"
    return [pages.Plot("soft_targets", figure, text)]
