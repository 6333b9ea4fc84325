"""Number, size and overlap of the sets, and how many classes call specialists.

Every group costs the same training FLOPs, so that more specialists train for
fewer steps each.
"""

import numpy as np

from trainers.core import pages, plots
from trainers.specialists import figures, groups, scores

TITLE = "How many specialists, of how many classes, called by how many"
TOPS = (1, 2, 3)


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    seeds = run.measured("overlap", measure_seed, _train)
    return {
        **figures.about(run, "held-out"),
        "generalist": figures.system(seeds, "generalist"),
        "groups": [
            {
                "specialists": count,
                "size": size,
                **_summary(seeds, _name(count, size)),
            }
            for count, size in sizes(run.settings)
        ],
    }


def sizes(settings):
    """List of `(specialists, classes of each)`."""
    count, size = settings.specialists, settings.size
    return [
        (count, size),
        (count, size * 5 // 3),
        (count // 2, size * 2),
        (count * 2, size),
    ]


def _train(run):
    run.do(_train_one, [("generalist", s) for s in range(run.seeds)])
    which = range(len(sizes(run.settings)))
    run.do(_train_one, [(i, s) for i in which for s in range(run.seeds)])


def _train_one(run, which, seed):
    if which == "generalist":
        run.generalist(seed)
    else:
        groups.of_confused(run, seed, *sizes(run.settings)[which])
    return f"{which} {seed}"


def measure_seed(run, seed):
    """All that is measured of a seed, on held-out cases: arrays by name."""
    generalist = run.generalist(seed)
    base = scores.of(generalist, *run.held_out, run.data.white)
    found = figures.arrays_of("generalist", base)
    for count, size in sizes(run.settings):
        group, covered = groups.of_confused(run, seed, count, size)
        name = _name(count, size)
        for top in TOPS:
            of = scores.of(group.ensemble(top), *run.held_out, run.data.white)
            found |= figures.arrays_of(f"{name}, top {top}", of)
        covering = group.covering
        called = covering[base.choices].mean()
        found[f"{name}/sets"] = np.array(
            [covered, (covering > 0).sum(), called]
        )
    return found


def _name(count, size):
    return f"{count} of {size}"


def _summary(seeds, name):
    covered, classes, active = np.mean([s[f"{name}/sets"] for s in seeds], 0)
    return {
        "covered_confusion": float(covered),
        "covered_classes": float(classes),
        "active": float(active),
        "tops": [
            {
                **figures.system(seeds, f"{name}, top {top}"),
                "relative_gain": figures.relative_gain(
                    seeds, f"{name}, top {top}"
                ),
            }
            for top in TOPS
        ],
    }


def table(found):
    """The groups."""
    head = (
        "specialists",
        "classes of each",
        "covered confusion",
        "covered classes",
        "called a case",
        *(f"top {top}" for top in TOPS),
    )
    rows = tuple(
        (
            str(group["specialists"]),
            str(group["size"]),
            f"{group['covered_confusion']:.2f}",
            f"{group['covered_classes']:.0f}",
            f"{group['active']:.2f}",
            *(f"{top['relative_gain']['mean']:+.1%}" for top in group["tops"]),
        )
        for group in found["groups"]
    )
    return pages.Table(head, rows)


def findings(found):
    """What the figures say."""
    best = max(
        (
            (top["relative_gain"]["mean"], number, group)
            for group in found["groups"]
            for number, top in enumerate(group["tops"], 1)
        ),
        key=lambda each: each[0],
    )
    gain, number, group = best
    return [
        "Relative gains in accuracy on held-out cases; every group costs the "
        "same training FLOPs.",
        f"The largest is {gain:+.1%}, with {group['specialists']} specialists "
        f"of {group['size']} classes called by the {number} most probable "
        f"class{'es' if number > 1 else ''}.",
    ]


def details(found, data):
    """The plot."""
    figure, axes = plots.new()
    colours = plots.COLOURS.values()
    for i, (group, colour) in enumerate(
        zip(found["groups"], colours, strict=True)
    ):
        beside = np.array(TOPS) + 0.06 * (i - 1.5)
        points = [plots.percent(top["relative_gain"]) for top in group["tops"]]
        label = f"{group['specialists']} of {group['size']} classes"
        plots.sweep(axes, beside, points, colour, label)
    axes.set_xticks(TOPS)
    axes.set_xlabel("most probable classes that call specialists (top)")
    axes.set_ylabel("relative gain, %")
    axes.legend(fontsize=8)
    text = "Relative gain against top, for groups of different sizes"
    return [pages.Plot("overlap", figure, text)]
