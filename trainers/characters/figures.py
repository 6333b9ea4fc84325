"""Figures of nets: what metrics.json holds."""

import numpy as np

import kdtf
from trainers.characters import nets
from trainers.core import statistics


def of_arm(arm, results, teachers, run):
    """All figures of an arm on test cases.

    Args:
      arm: `nets.Arm`.
      results: list of `results.Result`, one a seed.
      teachers: the same of its teachers.
      run: `run.Run`.

    Returns:
      Dict of what JSON can hold; fidelity and calibration are means over seeds.
    """
    scores = [
        _scores(ours.eval_logits, theirs.eval_logits, run.data.test_labels)
        for ours, theirs in zip(results, teachers, strict=True)
    ]
    net = results[0].model
    return {
        "width": arm.width,
        "epochs": arm.epochs,
        "parameters": net.count_params(),
        "multiply_adds": nets.multiply_adds(net),
        "accuracy": statistics.over_seeds(1 - run.wrong(results).mean(1)),
        "seconds_per_epoch": float(
            np.mean([r.seconds_per_epoch for r in results])
        ),
        **{n: float(np.mean([s[n] for s in scores])) for n in scores[0]},
        "curves": [r.curve for r in results],
    }


def _scores(logits, teacher_logits, labels):
    metrics = {
        kdtf.metrics.Agreement(): teacher_logits,
        kdtf.metrics.NegativeLogLikelihood(): labels,
        kdtf.metrics.ExpectedCalibrationError(): labels,
    }
    for metric, target in metrics.items():
        metric.update_state(target, logits)
    return {metric.name: float(metric.result()) for metric in metrics}
