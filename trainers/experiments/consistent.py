"""Teacher and student see the same jittered images, for long.

Consistent teaching (Beyer et al. 2022, arXiv 2106.05237). It breaks the paper's
"no translations in the transfer set" and is therefore an experiment of its own:
how good can the small net get? Beside it, the same net on labels with the same
jitter, in as many updates, and a student of the ensemble.
"""

import dataclasses

from matplotlib import ticker

from trainers import evaluation, pages, plots, recipes
from trainers.experiments import ensemble

TITLE = "Consistent teaching"


def arms_of(settings):
    """Dict from what a reader calls an arm to the arm."""
    one = recipes.jittered(recipes.distilled(settings), settings)
    return {
        "labels, jittered": recipes.jittered(
            recipes.student(settings), settings
        ),
        "one teacher": one,
        "ensemble": dataclasses.replace(one, taught_by="geometric"),
    }


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    arms = arms_of(run.settings)
    results = {name: run.students(arm) for name, arm in arms.items()}
    single = [run.teacher(seed).eval_logits for seed in range(run.seeds)]
    combined = ensemble.combined_logits(run.members(), "geometric")
    teachers = {name: single for name in arms}
    teachers["ensemble"] = [combined] * run.seeds
    labels = run.data.eval_labels
    return {
        **evaluation.about(run),
        "teachers": {
            "one teacher": evaluation.summarise_errors(
                [(z.argmax(-1) != labels).sum() for z in single]
            ),
            "ensemble": evaluation.summarise_errors(
                [(combined.argmax(-1) != labels).sum()]
            ),
        },
        "arms": {
            name: {
                **evaluation.summarise_arm(
                    arm, results[name], teachers[name], run.data
                ),
                "curves": [result.curve for result in results[name]],
            }
            for name, arm in arms.items()
        },
        "against_labels": {
            name: evaluation.compare(
                results[name], results["labels, jittered"], run.data
            )
            for name in ("one teacher", "ensemble")
        },
    }


def table(metrics):
    """The arms as a `pages.Table`."""
    head = ["learned from", "teacher's errors", "errors, mean"]
    head += ["95 % interval", "a seed", "agreement", "KL to teacher"]
    head += ["NLL", "ECE", "epochs"]
    rows = []
    for name, arm in metrics["arms"].items():
        teacher = metrics["teachers"].get(name)
        rows.append(
            [
                name,
                f"{teacher['mean']:.1f}" if teacher else "",
                f"{arm['mean']:.1f}",
                plots.interval(arm["ci95"], ".1f"),
                ", ".join(str(e) for e in arm["test_errors"]),
                f"{arm['agreement']:.2%}",
                f"{arm['fidelity_kl']:.4f}",
                f"{arm['nll']:.4f}",
                f"{arm['ece']:.2%}",
                str(arm["epochs"]),
            ]
        )
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    return [
        f"Taught by the {name} against labels with the same jitter: "
        f"{evaluation.say_difference(tests['all'])}."
        for name, tests in metrics["against_labels"].items()
    ]


def blocks(metrics, data):
    """The section's blocks."""
    del data
    settings = metrics["settings"]
    return (
        pages.Text(
            f"2 x {settings['student_units']} units, images moved by up to "
            f"{settings['jitter']} pixels; the soft targets are those of the "
            "image as it was moved."
        ),
        table(metrics),
        pages.Bullets(findings(metrics)),
        pages.Plot(
            "consistent", _plot(metrics), "Errors against the epoch, jittered"
        ),
    )


def _plot(metrics):
    figure, axes = plots.new()
    colours = ("student", "distilled", "other")
    for colour, (name, arm) in zip(
        colours, metrics["arms"].items(), strict=True
    ):
        for i, curve in enumerate(arm["curves"]):
            axes.plot(
                [point["epoch"] for point in curve],
                [point["errors"] for point in curve],
                color=plots.COLOURS[colour],
                lw=1.2,
                alpha=0.8,
                label=f"taught by: {name}" if i == 0 else None,
            )
    if plots.is_the_papers(metrics):
        plots.level(
            axes,
            plots.PAPER_ERRORS["distilled"],
            "black",
            "the paper's distilled net, without jitter",
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("epoch")
    axes.set_ylabel(plots.errors_label(metrics) + " (log scale)")
    axes.set_title(f"{metrics['dataset']}: jittered students, one line a seed")
    axes.legend(fontsize=8)
    return figure
