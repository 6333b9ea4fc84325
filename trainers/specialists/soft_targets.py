"""Specialists of few cases, with soft targets on other classes (section 6.1).

The generalist has seen nine tenths of the cases, the specialists learn from the
rest: with a dustbin; with the full softmax from labels; and with the full
softmax from labels on their own classes and from the generalist's soft targets
on all others. None of the cases is one that the generalist has learned from.
"""

import numpy as np
import tensorflow as tf

from trainers.core import pages, plots, statistics
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
    seeds = run.measured("soft_targets", measure_seed, _train)
    few = len(run.data.train_labels[run.rows("few")])
    return {
        **figures.about(run),
        "cases": few,
        "cases_a_class": few / run.classes,
        "generalist": figures.system(seeds, "generalist"),
        "arms": {
            name: {
                **figures.system(seeds, name),
                "own_train": statistics.over_seeds(
                    [s[f"{name}/own"][0] for s in seeds]
                ),
                "own_test": statistics.over_seeds(
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


def _train(run):
    run.do(_train_generalist, [(seed,) for seed in range(run.seeds)])
    run.do(_train_one, [(arm, s) for arm in ARMS for s in range(run.seeds)])


def _train_generalist(run, seed):
    """All arms share its sets."""
    _sets(run, seed, run.generalist(seed, "many"))
    return f"generalist {seed}"


def _train_one(run, name, seed):
    _group(run, seed, name)
    return f"{name} {seed}"


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


def _sets(run, seed, generalist):
    sets, _ = groups.confused_sets(run, seed, generalist, cases="many")
    return sets


def _group(run, seed, name):
    """The `groups.Group` of an arm."""
    generalist = run.generalist(seed, "many")
    soft = name == ARMS[-1]
    arms = [
        recipes.few_specialist(
            run,
            classes,
            full_softmax=name != ARMS[0],
            by="soft targets" if soft else "labels",
        )
        for classes in _sets(run, seed, generalist)
    ]
    images, labels = _few(run)
    x, targets = batches.flat(images), None
    if soft:
        x = (x, _log_probabilities(run, generalist, images))
        targets = _soft_on_others
    folder = "few-" + name.replace(", ", "-").replace(" ", "_")
    return groups.train_arms(
        run, seed, generalist, arms, folder, (x, labels), targets
    )


def _few(run):
    """`(images, labels)` that specialists learn from."""
    rows = run.rows("few")
    return run.data.train_images[rows], run.data.train_labels[rows]


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


def _log_probabilities(run, generalist, images):
    """`[cases, classes]` float16."""
    blocks = scores.logits(generalist, images, run.data.white)
    return np.concatenate(
        [tf.nn.log_softmax(b).numpy().astype(np.float16) for b in blocks]
    )


def _own_accuracy(run, group):
    """Accuracy among a specialist's own classes: of learned and test cases."""
    right, cases = np.zeros(2), np.zeros(2)
    for member in group.members:
        for i, (images, labels) in enumerate((_few(run), run.test)):
            rows = np.isin(labels, member.classes)
            own = groups.logits(run, member, images[rows])[:, :-1]
            right[i] += (own.argmax(-1) == member.labels_of(labels[rows])).sum()
            cases[i] += rows.sum()
    return right / cases


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
            f"{100 * points['mean']:+.2f} points of test accuracy, "
            f"{pages.p_value(test)} in a paired test over cases."
        )
    gaps = ", ".join(
        f"{name} {arm['own_train']['mean'] - arm['own_test']['mean']:.1%}"
        for name, arm in found["arms"].items()
    )
    return [*said, f"Overfitting, learned less test accuracy: {gaps}."]


def details(found, data):
    """The plot."""
    figure, axes = plots.new()
    arms = found["arms"]
    for key, colour, label in (
        ("own_train", plots.COLOURS["teacher"], "learned cases"),
        ("own_test", plots.COLOURS["distilled"], "test cases"),
    ):
        points = [plots.percent(arm[key]) for arm in arms.values()]
        plots.sweep(axes, range(len(arms)), points, colour, label)
    axes.set_xticks(range(len(arms)), list(arms), fontsize=8)
    axes.set_xlim(-0.3, len(arms) - 0.7)
    axes.set_ylabel("accuracy among a specialist's own classes, %")
    axes.legend(fontsize=8)
    text = "Accuracy of specialists on learned and test cases"
    return [pages.Plot("soft_targets", figure, text)]
