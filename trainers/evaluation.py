"""From the arms' logits to `metrics.json`."""

import numpy as np

import kdtf
from trainers import common, statistics

ARMS = ("teacher", "student", "distilled")


def summarise(results, data, arms, dataset):
    """All figures of the experiment.

    Args:
      results: dict from arm name to a list of `arms.Result`, one a seed.
      data: the `trainers.data.ImageData` that was evaluated on.
      arms: dict from arm name to `arms.Arm`.
      dataset: name of the data set.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    wrong = {
        name: np.stack([_wrong(r.eval_logits, data) for r in results[name]])
        for name in ARMS
    }
    share, interval = statistics.gain_transferred(*wrong.values())
    return {
        "experiment": "mnist",
        "dataset": dataset,
        "evaluated_on": data.eval_name,
        "cases": len(data.eval_labels),
        "commit": common.commit(),
        "versions": common.versions(),
        "arms": {
            name: _summarise_arm(
                arms[name], wrong[name], results[name], results["teacher"], data
            )
            for name in ARMS
        },
        "mcnemar": {
            f"{first}_and_{second}": [
                statistics.mcnemar(a, b)
                for a, b in zip(wrong[first], wrong[second], strict=True)
            ]
            for first, second in (
                ("student", "distilled"),
                ("teacher", "distilled"),
            )
        },
        "gain_transferred": {"mean": share, "ci95": interval},
    }


def _wrong(logits, data):
    return logits.argmax(-1) != data.eval_labels


def _summarise_arm(arm, wrong, results, teachers, data):
    errors = wrong.sum(1)
    mean, interval = statistics.mean_and_interval(errors)
    scores = [
        _scores(result.eval_logits, teacher.eval_logits, data.eval_labels)
        for result, teacher in zip(results, teachers, strict=True)
    ]
    return {
        "units": arm.units,
        "parameters": results[0].net.count_params(),
        "epochs": arm.epochs,
        "test_errors": [int(e) for e in errors],
        "mean": mean,
        "ci95": interval,
        "seconds_per_epoch": float(
            np.mean([r.seconds_per_epoch for r in results])
        ),
        **{
            name: float(np.mean([s[name] for s in scores]))
            for name in scores[0]
        },
        "curves": [r.curve for r in results],
    }


def _scores(logits, teacher_logits, labels):
    """Fidelity and calibration of one net on the evaluation cases."""
    to_teacher = (kdtf.metrics.Agreement(), kdtf.metrics.FidelityKL())
    to_labels = (
        kdtf.metrics.NegativeLogLikelihood(),
        kdtf.metrics.BrierScore(),
        kdtf.metrics.ExpectedCalibrationError(),
    )
    for metric in to_teacher:
        metric.update_state(teacher_logits, logits)
    for metric in to_labels:
        metric.update_state(labels, logits)
    return {m.name: float(m.result()) for m in (*to_teacher, *to_labels)}
