"""Table, findings and plots of `table`."""

import itertools

from trainers.core import pages, plots
from trainers.specialists import figures, gallery

MAIN = "specialists, top 1"
# What costs as much training as generalist and specialists, or more.
_RIVALS = (
    "longer",
    "ensemble of 2, arithmetic",
    "ensemble of 2, geometric",
    "wide",
    "random sets",
    "specialists, half own",
    "ensemble of 3, geometric",
)


def tests(seeds):
    """Dict from system to how the specialists compare with it, case by case."""
    return {
        name: {
            **figures.paired(seeds, name, MAIN),
            "relative_gain": figures.relative_gain(seeds, MAIN, name),
        }
        for name in ("generalist", *_RIVALS)
    } | {
        "conditional": {
            "relative_gain": figures.relative_gain(
                seeds, MAIN, figure="conditional"
            )
        }
    }


def table(found):
    """The systems, what they are worth, and what they cost."""
    head = (
        "system",
        "test accuracy",
        "interval",
        "conditional",
        "NLL",
        "calibration error",
        "training FLOPs",
        "examples seen",
        "weights",
        "multiply-adds a prediction",
    )
    rows = []
    for name, system in found["systems"].items():
        costs = found["costs"][name]
        rows.append(
            (
                name,
                f"{system['accuracy']['mean']:.2%}",
                _interval(system["accuracy"]),
                f"{system['conditional']['mean']:.2%}",
                f"{system['nll']['mean']:.3f}",
                f"{system['calibration_error']['mean']:.3f}",
                f"{costs['training_flops']:.2f}",
                f"{costs['examples']:.2f}",
                _thousands(costs["weights"]),
                _thousands(costs["multiply_adds"]),
            )
        )
    return pages.Table(head, tuple(rows))


def _interval(accuracy):
    """None for an ensemble that is the same one for every seed."""
    if len(set(accuracy["each"])) == 1:
        return "-"
    return pages.interval(accuracy["ci95"], ".2%")


def _thousands(count):
    return "-" if count is None else f"{count / 1000:,.0f} k"


def findings(found):
    """What the figures say."""
    said = [_gain(found), _conditional(found), _rivals(found), _wide(found)]
    return [*said, _covering(found), _sets(found), _calibration(found)]


def _gain(found):
    test = found["tests"]["generalist"]
    gain = test["relative_gain"]
    systems = found["systems"]
    return (
        f"At {found['costs'][MAIN]['training_flops']:.2f} times the "
        "generalist's training FLOPs the specialists raise test accuracy from "
        f"{systems['generalist']['accuracy']['mean']:.1%} to "
        f"{systems[MAIN]['accuracy']['mean']:.1%}: {gain['mean']:+.1%} relative"
        f" ({pages.interval(gain['ci95'], '+.1%')}; the paper: +4.4%)."
    )


def _conditional(found):
    gain = found["tests"]["conditional"]["relative_gain"]
    systems = found["systems"]
    return (
        "Conditional accuracy, on cases of classes that specialists cover and "
        "with choices among these, goes from "
        f"{systems['generalist']['conditional']['mean']:.1%} to "
        f"{systems[MAIN]['conditional']['mean']:.1%}: {gain['mean']:+.1%} "
        "relative (the paper: 43.1% to 45.9%, +6.5%)."
    )


def _against(found, name):
    test = found["tests"][name]
    points = test["points"]
    return (
        f"{100 * points['mean']:+.2f} points "
        f"({_in_points(points['ci95'])}; {pages.p_value(test)}) "
        f"against {_THE[name]}"
    )


_THE = {
    "longer": "a generalist trained for as long",
    "ensemble of 2, arithmetic": "an ensemble of two, arithmetic mean",
    "ensemble of 2, geometric": "an ensemble of two, geometric mean",
    "ensemble of 3, geometric": "an ensemble of three, geometric mean",
    "wide": "a wide net",
    "random sets": "specialists of random sets",
    "specialists, half own": "specialists of half own cases, as the paper's",
}


def _in_points(bounds):
    return pages.interval([b and 100 * b for b in bounds], "+.2f")


def _rivals(found):
    others = [_against(found, n) for n in _RIVALS if n != "wide"]
    return (
        "The same cost spent otherwise, by paired tests on shared cases: the "
        f"specialists are {'; '.join(others)} (which costs 3.00). Ensembles "
        "of different seeds share members: their intervals are too narrow."
    )


def _wide(found):
    costs = found["costs"]
    return (
        f"They are {_against(found, 'wide')} of "
        f"{costs['wide']['training_flops']:.2f} times the training FLOPs and "
        f"{costs['wide']['multiply_adds'] / 1000:,.0f} thousand multiply-adds "
        "a prediction (specialists "
        f"{costs[MAIN]['multiply_adds'] / 1000:,.0f} thousand): a wide net is "
        "the rival to try where the generalist may be trained again. One "
        f"specialist costs {_one_specialist(found):.1%} of the generalist's "
        "training FLOPs; trained at once, all of them take no longer."
    )


def _one_specialist(found):
    """A specialist's training FLOPs over the generalist's."""
    extra = found["costs"][MAIN]["training_flops"] - 1
    return extra / found["settings"]["specialists"]


def _covering(found):
    rows = _with_gain(found["covering"])
    gains = "; ".join(
        f"{row['relative']:+.1%} with {row['specialists']} ({row['cases']:,})"
        for row in rows
    )
    rises = all(
        a["relative"] <= b["relative"] for a, b in itertools.pairwise(rows)
    )
    return (
        "Relative gain by the number of specialists that cover the correct "
        f"class (cases of all seeds): {gains}. It "
        f"{'rises' if rises else 'does not rise steadily'} with their number "
        "(in the paper it does, from 0.0% to 14.1%)."
    )


def _sets(found):
    sets = found["sets"]
    share = sets["covered_confusion"]
    classes = ", ".join(map(str, sets["covered_classes"]))
    return (
        f"The sets cover {classes} of {found['classes']} classes, and "
        f"{share['mean']:.0%} of the mass that the generalist gives to other "
        "classes than its choice, a figure that needs no labels. A case calls "
        + ", ".join(
            f"{active:.2f} specialists (top {top})"
            for top, active in enumerate(sets["active"], 1)
        )
        + "."
    )


def _calibration(found):
    parts = []
    for name, row in found["corrections"].items():
        mass = row["own_mass"]
        parts.append(
            f"{name}: {row['accuracy']['mean']:.2%} (held out "
            f"{row['held_out_accuracy']['mean']:.2%}), NLL "
            f"{row['nll']['mean']:.3f}, mass {mass[0]:.3f} for {mass[1]:.3f} "
            f"of all cases and {mass[2]:.3f} for {mass[3]:.3f} of those that "
            "call the specialist"
        )
    return (
        "The dustbin's correction, with the accuracy it gives and the mean "
        "mass of a specialist's own classes against the share of cases that "
        f"are of them: {'; '.join(parts)}."
    )


def details(found, data):
    """The plots, and the drawn classes and cases."""
    return [
        pages.Plot("specialists", _plot(found), _PLOT_TEXT),
        *gallery.blocks(found["gallery"], data),
    ]


_PLOT_TEXT = (
    "Test accuracy of all systems against the cost of their training, and the "
    "relative gain by the number of specialists that cover the correct class"
)


def _plot(found):
    figure, (left, right) = plots.new(columns=2)
    _draw_systems(left, found)
    _draw_covering(right, found["covering"])
    return figure


def _draw_systems(axes, found):
    """A row each, those that cost least above."""
    costs = {n: c["training_flops"] for n, c in found["costs"].items()}
    names = sorted(reversed(found["systems"]), key=costs.get, reverse=True)
    for y, name in enumerate(names):
        point = plots.percent(found["systems"][name]["accuracy"])
        kind = name.split(",")[0].split(" of ")[0]
        colour = plots.COLOURS[_COLOURS.get(kind, "student")]
        axes.plot(point.values, [y] * len(point.values), ".", color=colour)
        axes.plot([point.mean], [y], "|", color=colour, ms=12, mew=2)
        if None not in point.interval:
            axes.hlines(y, *point.interval, color=colour, alpha=0.5)
    axes.set_yticks(
        range(len(names)),
        [f"{name}, {costs[name]:.2f}" for name in names],
        fontsize=7,
    )
    axes.set_ylabel("system, and its training FLOPs / the generalist's")
    axes.set_xlabel("test accuracy, %")
    axes.grid(axis="x", alpha=0.3)


_COLOURS = {
    "generalist": "teacher",
    "specialists": "distilled",
    "ensemble": "other",
}


def _draw_covering(axes, covering):
    rows = _with_gain(covering)
    axes.bar(
        range(len(rows)),
        [100 * row["relative"] for row in rows],
        color=plots.COLOURS["distilled"],
    )
    axes.set_xticks(
        range(len(rows)),
        [f"{row['specialists']}\n{row['cases']:,}" for row in rows],
        fontsize=8,
    )
    axes.set_xlabel("covering specialists, and cases")
    axes.set_ylabel("relative gain in correct cases, %")


def _with_gain(covering):
    """The rows whose cases the generalist has right now and then."""
    return [row for row in covering if row["relative"] is not None]
