"""Students of several widths at several temperatures.

The paper (section 3): with 300 or more units per layer all temperatures above 8
gave fairly similar results; with 30 units, temperatures from 2.5 to 4 worked
significantly better than higher or lower ones.
"""

import dataclasses

from trainers.core import pages, plots, statistics
from trainers.mnist import evaluation, figures, recipes

TITLE = "Temperatures"
WIDTHS = {"mnist": (800, 300, 30), "digits": (24, 12, 6)}
TEMPERATURES = (1.0, 2.5, 4.0, 10.0, 20.0, 40.0)
_HIGH = 8.0  # above it temperatures are said to be alike
_MIDDLE = (2.5, 4.0)  # the best of a narrow student, it is said


def arm(settings, units, temperature):
    """The distilled arm of a width and a temperature."""
    distilled = dataclasses.replace(
        recipes.distilled(settings), temperature=temperature
    )
    return _of_width(distilled, settings, units)


def _of_width(arm, settings, units):
    """An arm of that width; the narrowest is cheap, and trained to the end."""
    epochs = settings.sweep_epochs
    if units == min(WIDTHS[settings.dataset]):
        epochs = settings.narrow_epochs
    return dataclasses.replace(arm, units=units, epochs=epochs)


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    settings = run.settings
    teachers = [teacher.eval_logits for teacher in run.teachers()]
    widths = []
    for units in WIDTHS[settings.dataset]:
        plain = _of_width(recipes.student(settings), settings, units)
        arms = [plain, *(arm(settings, units, t) for t in TEMPERATURES)]
        results = run.students(arms)
        student, *distilled = (
            evaluation.summarise_arm(a, r, teachers, run.data)
            for a, r in zip(arms, results, strict=True)
        )
        widths.append(
            {
                "units": units,
                "student": student,
                "distilled": distilled,
                **_answers(results[1:], run.data),
            }
        )
    return {
        **evaluation.about(run),
        "teacher": evaluation.summarise_errors(
            evaluation.wrong(run.teachers(), run.data).sum(1)
        ),
        "widths": widths,
    }


def _answers(results, data):
    """What the tests of the paper's two claims give, for one width."""
    wrong = {
        t: evaluation.wrong(r, data)
        for t, r in zip(TEMPERATURES, results, strict=True)
    }
    low, middle, high = (
        [t for t in TEMPERATURES if within(t)]
        for within in (
            lambda t: t < _MIDDLE[0],
            lambda t: _MIDDLE[0] <= t <= _MIDDLE[1],
            lambda t: t > _HIGH,
        )
    )

    def compare(others):
        return statistics.paired_errors(
            [wrong[t] for t in middle], [wrong[t] for t in others]
        )

    return {
        "alike_above_8": statistics.cochran_q([wrong[t].ravel() for t in high]),
        "middle_against_lower": compare(low),
        "middle_against_higher": compare(high),
    }


def table(metrics):
    """Errors by width and temperature as a `pages.Table`."""
    first = metrics["widths"][0]["distilled"]
    head = ["hidden units", "labels only"]
    head += [f"T = {a['temperature']:g}" for a in first]
    rows = []
    for width in metrics["widths"]:
        every = [width["student"], *width["distilled"]]
        cells = [_mean_and_half(arm) for arm in every]
        rows.append([f"2 x {width['units']}", *cells])
    return pages.Table(head, rows)


def _mean_and_half(arm):
    if None in arm["ci95"]:
        return f"{arm['mean']:.1f}"
    return f"{arm['mean']:.1f} ± {arm['ci95'][1] - arm['mean']:.1f}"


def findings(metrics):
    """The paper's claims, each answered, as a list of sentences."""
    said = []
    for width in metrics["widths"]:
        above = [
            a["mean"] for a in width["distilled"] if a["temperature"] > _HIGH
        ]
        q = width["alike_above_8"]
        verdict = "no" if q["p_value"] < 0.05 else "yes"
        said.append(
            f"2 x {width['units']}: are all T above 8 about as good? "
            f"{verdict}: mean errors from {min(above):.1f} to {max(above):.1f} "
            f"(Cochran's Q over seeds and cases: {pages.p_value(q)})."
        )
    for width in metrics["widths"]:
        tests = [
            width[f"middle_against_{side}"] for side in ("lower", "higher")
        ]
        better = all(t["difference"] < 0 and t["p_value"] < 0.05 for t in tests)
        below, above = (evaluation.say_difference(test) for test in tests)
        said.append(
            f"2 x {width['units']}: is T from 2.5 to 4 better than lower and "
            f"higher ones? {'yes' if better else 'no'}: {below} against lower "
            f"ones; {above} against higher ones."
        )
    return said


def introduction(metrics):
    """What is shown, a string."""
    return (
        "Mean errors and half of the 95 % interval, of students of "
        f"{metrics['settings']['sweep_epochs']} epochs."
    )


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "temperatures",
            _plot(metrics),
            "Errors against the temperature, for three widths",
        ),
    )


def _plot(metrics):
    figure, panels = plots.new(columns=len(metrics["widths"]))
    for axes, width in zip(panels, metrics["widths"], strict=True):
        figures.sweep(
            axes,
            [arm["temperature"] for arm in width["distilled"]],
            width["distilled"],
            plots.COLOURS["distilled"],
            "distilled: mean, 95 % interval, seeds",
        )
        plots.level(
            axes,
            width["student"]["mean"],
            plots.COLOURS["student"],
            "the same net on labels",
        )
        plots.level(
            axes,
            metrics["teacher"]["mean"],
            plots.COLOURS["teacher"],
            "teacher",
        )
        if figures.is_the_papers(metrics) and width["units"] == 800:
            axes.plot(
                [20],
                [figures.PAPER_ERRORS["distilled"]],
                "kx",
                label="the paper's distilled net",
            )
        wide = width["units"] >= 300
        axes.axvspan(
            *((_HIGH, 45) if wide else _MIDDLE),
            color="tab:blue" if wide else "tab:purple",
            alpha=0.12,
            label="alike, says the paper" if wide else "best, says the paper",
        )
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 4, 8, 20, 40])
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("temperature T (log scale)")
        axes.set_title(f"2 x {width['units']} units")
        axes.grid(alpha=0.3)
    plots.legend_below(figure)
    panels[0].set_ylabel(figures.errors_label(metrics))
    return figure
