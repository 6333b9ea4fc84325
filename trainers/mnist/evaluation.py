"""From the arms' logits to the figures of `metrics.json`."""

import numpy as np

import kdtf
from trainers.core import pages, run_directory, statistics


def about(run):
    """What every experiment records of its run, a dict."""
    return {
        **run_directory.about(run, run.data.eval_name),
        "cases": len(run.data.eval_labels),
    }


def wrong(results, data):
    """`[seeds, cases]` bool: which evaluation cases nets get wrong."""
    choices = np.stack([result.eval_logits.argmax(-1) for result in results])
    return choices != data.eval_labels


def summarise_errors(errors):
    """The errors of each seed, their mean and its 95 % t-interval."""
    mean, interval = statistics.mean_and_interval(errors)
    return {
        "test_errors": [int(e) for e in errors],
        "mean": mean,
        "ci95": interval,
    }


def summarise_arm(arm, results, teacher_logits, data):
    """All figures of an arm.

    Args:
      arm: `nets.Arm`.
      results: list of `results.Result`, one a seed.
      teacher_logits: list of `[cases, classes]`, of the teachers that the nets
        are compared with, one a seed.
      data: the `trainers.data.ImageData` that was evaluated on.

    Returns:
      Dict of what JSON can hold; fidelity and calibration are means over seeds.
    """
    scores = [
        _scores(result.eval_logits, teacher, data.eval_labels)
        for result, teacher in zip(results, teacher_logits, strict=True)
    ]
    return {
        "units": arm.units,
        "temperature": arm.temperature,
        "soft_weight": arm.soft_weight,
        "hard_weight": arm.hard_weight,
        "parameters": results[0].model.count_params(),
        "epochs": arm.epochs,
        **summarise_errors(wrong(results, data).sum(1)),
        "seconds_per_epoch": float(
            np.mean([r.seconds_per_epoch for r in results])
        ),
        **{
            name: float(np.mean([s[name] for s in scores]))
            for name in scores[0]
        },
    }


def summarise_taught(run, named, *, against, teachers_of=None):
    """All figures of arms that differ in what teaches them.

    Args:
      run: `trainers.mnist.runs.Run`; trains what is missing.
      named: dict from what a reader calls an arm to the `nets.Arm`.
      against: name of the arm that the others are compared with.
      teachers_of: name of the arm whose teachers those on labels alone are
        compared with; None for their seed's.

    Returns:
      Dict: "teachers", `summarise_errors` of what teaches each arm that has
      soft targets; "arms", `summarise_arm` with "curves"; and "against",
      `compare` of each other arm with that one.
    """
    found = run.students(list(named.values()))
    results = dict(zip(named, found, strict=True))
    logits = {
        name: run.teacher_logits(
            arm if arm.soft_weight or not teachers_of else named[teachers_of]
        )
        for name, arm in named.items()
    }
    labels = run.data.eval_labels

    def summarise_teacher(name):
        # All seeds share an ensemble.
        each = logits[name][:1] if named[name].ensemble else logits[name]
        return summarise_errors([(z.argmax(-1) != labels).sum() for z in each])

    return {
        "teachers": {
            name: summarise_teacher(name)
            for name, arm in named.items()
            if arm.soft_weight
        },
        "arms": {
            name: {
                **summarise_arm(arm, results[name], logits[name], run.data),
                "curves": [result.curve for result in results[name]],
            }
            for name, arm in named.items()
        },
        "against": {
            name: compare(results[name], results[against], run.data)
            for name in named
            if name != against
        },
    }


def compare(first, second, data):
    """Whether two nets make equally many errors on the same cases.

    Args:
      first: list of `results.Result`, one a seed.
      second: list of `results.Result`, of the same seeds.
      data: the `trainers.data.ImageData` that was evaluated on.

    Returns:
      Dict: "seeds", a list of `statistics.mcnemar`; "all", the
      `statistics.paired_errors` of all seeds together.
    """
    ours, theirs = wrong(first, data), wrong(second, data)
    return {
        "seeds": [
            statistics.mcnemar(a, b) for a, b in zip(ours, theirs, strict=True)
        ],
        "all": statistics.paired_errors([ours], [theirs]),
    }


def say_difference(test):
    """A `statistics.paired_errors` in words."""
    return f"{test['difference']:+.1f} errors, {pages.p_value(test)}"


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
