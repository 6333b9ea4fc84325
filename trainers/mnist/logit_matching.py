"""High temperatures beside logit matching (paper, section 2.1).

For a temperature that is high against zero-meaned logits, the gradient of the
soft loss approaches (z - v) / (N T^2): what logit matching has, over N T^2.
"""

import dataclasses

import numpy as np
import tensorflow as tf

import kdtf
from trainers.core import pages, plots
from trainers.mnist import columns, evaluation, figures, recipes

TITLE = "High temperatures and logit matching"
TEMPERATURES = (1.0, 4.0, 20.0, 1000.0)
# Where the gradient is compared, whatever is trained.
GRADIENT_TEMPERATURES = tuple(float(t) for t in np.geomspace(1, 1000, 13))


def arms_of(settings):
    """The arms of the temperatures, and that of logit matching."""
    sweep = recipes.for_sweep(recipes.distilled(settings), settings)
    sweep = dataclasses.replace(sweep, soft_weight=1.0, hard_weight=0.0)
    return [
        *(dataclasses.replace(sweep, temperature=t) for t in TEMPERATURES),
        dataclasses.replace(sweep, match_logits=True),
    ]


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    arms = arms_of(run.settings)
    results = run.students(arms)
    teachers = [teacher.eval_logits for teacher in run.teachers()]
    return {
        **evaluation.about(run),
        "temperatures": list(TEMPERATURES),
        "arms": [
            evaluation.summarise_arm(a, r, teachers, run.data)
            for a, r in zip(arms, results, strict=True)
        ],
        "against_matching": [
            evaluation.compare(r, results[-1], run.data)["all"]
            for r in results[:-1]
        ],
        "gradient": [
            {
                "temperature": t,
                "gap": gradient_gap(results[0][0], teachers[0], t),
            }
            for t in GRADIENT_TEMPERATURES
        ],
    }


def gradient_gap(result, teacher_logits, temperature):
    """How far the soft loss's gradient is from its limit.

    Args:
      result: `results.Result` of a student.
      teacher_logits: `[cases, classes]`, the teacher's of the same cases.
      temperature: float.

    Returns:
      |g - l| / |l|, with g the gradient of the summed soft loss and l = (z - v)
      / (N T^2) of zero-meaned logits.
    """
    z = tf.Variable(result.eval_logits)
    with tf.GradientTape() as tape:
        loss = kdtf.losses.soft_loss(z, teacher_logits, temperature=temperature)
    gradient = tape.gradient(loss, z).numpy().astype(np.float64)
    gap = result.eval_logits.astype(np.float64) - teacher_logits
    gap -= gap.mean(-1, keepdims=True)
    limit = gap / (gap.shape[-1] * temperature**2)
    return float(np.linalg.norm(gradient - limit) / np.linalg.norm(limit))


def table(metrics):
    """Errors by temperature as a `pages.Table`."""
    against = [
        evaluation.say_difference(test) for test in metrics["against_matching"]
    ]
    rows = [
        [name, *columns.of(arm), difference]
        for name, arm, difference in zip(
            _names(metrics), metrics["arms"], [*against, ""], strict=True
        )
    ]
    head = ["learned by", *columns.HEAD, "against matching"]
    return pages.Table(head, rows)


def _names(metrics):
    return [*(f"T = {t:g}" for t in metrics["temperatures"]), "logit matching"]


def findings(metrics):
    """What the figures say, as a list of sentences."""
    gaps = "; ".join(
        f"{point['gap']:.2g} at T = {point['temperature']:.3g}"
        for point in metrics["gradient"][::4]
    )
    return [
        "Distance of the soft loss's gradient from (z - v) / (N T²), as a "
        f"share of it, on the {metrics['evaluated_on']} cases: {gaps}."
    ]


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "logit_matching",
            _plot(metrics),
            "The gradient's distance from its limit, and errors, against the "
            "temperature",
        ),
    )


def _plot(metrics):
    figure, (left, right) = plots.new(columns=2)
    left.loglog(
        [point["temperature"] for point in metrics["gradient"]],
        [point["gap"] for point in metrics["gradient"]],
        "o-",
        color=plots.COLOURS["distilled"],
        ms=3,
    )
    left.set_ylabel("distance from (z - v) / (N T²), share of it")
    left.set_title("gradient of the soft loss")
    *arms, matching = metrics["arms"]
    figures.sweep(
        right,
        metrics["temperatures"],
        arms,
        plots.COLOURS["distilled"],
        "soft loss at T: mean, 95 % interval, seeds",
    )
    plots.level(
        right, matching["mean"], plots.COLOURS["other"], "logit matching"
    )
    if None not in matching["ci95"]:
        right.axhspan(
            *matching["ci95"], color=plots.COLOURS["other"], alpha=0.15
        )
    right.set_xscale("log")
    right.set_ylabel(figures.errors_label(metrics))
    right.set_title("errors of the students")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("temperature T (log scale)")
        axes.grid(alpha=0.3)
    return figure
