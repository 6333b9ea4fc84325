"""Soft targets as regularisers: few labelled cases (paper, section 6).

The same small net, in as many updates, learns from

- the labels of few cases, or of all, with early stopping;
- the soft targets of the same cases, and their labels as far as `hard_weight`
  goes, to the end;
- the soft targets of all cases, and no label.

Some training cases are set aside before: they choose the epoch of the students
on labels, and no student learns from them.
"""

import dataclasses

import numpy as np

from trainers.core import statistics
from trainers.data import images
from trainers.mnist import batches, evaluation, recipes

KINDS = ("labels", "same", "all")
ALL_LABELS = 1.0  # a share
NO_LABELS = 0.0
_EPOCHS = 40  # points of a learning curve
_ASIDE = 1 / 6  # of the training cases: 10,000 of MNIST's
_DRAWS_STREAM = 1_000_033  # keeps these draws apart from those of batches


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    teachers = [teacher.eval_logits for teacher in run.teachers()]
    aside, cases = split(run.data.train_labels)
    named = _students(run.label_shares)
    trained = [arm_of(run.settings, *each, len(cases)) for each in named]
    students = train(run, trained, named)
    arms, wrong = [], {}
    for (kind, share), arm, found in zip(named, trained, students, strict=True):
        wrong[kind, share] = evaluation.wrong(found, run.data)
        arms.append(
            {
                "kind": kind,
                "share": share,
                "labelled": len(draw(run.data.train_labels[cases], share, 0)),
                "updates": arm.epochs * arm.steps,
                "stopped_at": [_stopped_at(r, arm) for r in found],
                **evaluation.summarise_arm(arm, found, teachers, run.data),
                "curves": [result.curve for result in found],
            }
        )
    return {
        **evaluation.about(run),
        "set_aside": len(aside),
        "training_cases": len(cases),
        "teacher": evaluation.summarise_errors(
            evaluation.wrong(run.teachers(), run.data).sum(1)
        ),
        "arms": arms,
        "against_labels": [
            _against_labels(share, wrong)
            for share in run.label_shares
            if share < ALL_LABELS
        ],
    }


def _students(shares):
    """Pairs of kind and share; the others are compared with labels of all."""
    labelled = sorted({*shares, ALL_LABELS})
    return [
        *(("labels", share) for share in labelled),
        *(("same", share) for share in sorted(shares)),
        ("all", NO_LABELS),
    ]


def split(train_labels):
    """The training cases that are set aside to stop by, and the others.

    Args:
      train_labels: `[cases]` array.

    Returns:
      Two disjoint arrays of indices, the same in all runs.
    """
    order = images.held_out_order(len(train_labels))
    count = round(len(order) * _ASIDE)
    return order[:count], np.sort(order[count:])


def draw(labels, share, seed):
    """Which cases have labels: a share of each class, one case at least.

    Args:
      labels: `[cases]` array.
      share: float; the cases of a larger one are those of a smaller, and more.
        None of them for `NO_LABELS`.
      seed: int.

    Returns:
      Array of indices, in order.
    """
    if share == NO_LABELS:
        return np.array([], int)
    rng = np.random.default_rng([_DRAWS_STREAM, seed])
    drawn = []
    for each in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == each))
        drawn.append(of_class[: max(1, round(share * len(of_class)))])
    return np.sort(np.concatenate(drawn))


def arm_of(settings, kind, share, cases):
    """An arm of as many updates as `sweep_epochs` of all cases are.

    Args:
      settings: `settings.Settings`.
      kind: one of `KINDS`.
      share: float, of the cases that have labels.
      cases: int, all of them.

    Returns:
      `nets.Arm`.
    """
    recipe = recipes.student if kind == "labels" else recipes.distilled
    arm = recipe(settings)
    updates = settings.sweep_epochs * batches.steps_per_epoch(
        cases, arm.batch_size
    )
    arm = dataclasses.replace(
        arm,
        name=kind,
        transfer=f"few_labels {share:g}",
        epochs=_EPOCHS,
        steps=max(1, updates // _EPOCHS),
        keep_best=kind == "labels",
    )
    if kind == "all":
        arm = dataclasses.replace(arm, soft_weight=1.0, hard_weight=0.0)
    return arm


def train(run, arms, named):
    """The `results.Result`s of some arms: a list an arm, of one a seed.

    Args:
      run: `trainers.mnist.runs.Run`.
      arms: list of `nets.Arm`.
      named: list of their kinds, each one of `KINDS`, with the shares of the
        cases that have labels.
    """
    aside, cases = split(run.data.train_labels)
    labels = run.data.train_labels[cases]

    def seen(kind, share, seed):
        return cases if kind == "all" else cases[draw(labels, share, seed)]

    drawn = [[seen(*each, s) for s in range(run.seeds)] for each in named]
    return run.students(arms, drawn, stop_by=aside)


def _stopped_at(result, arm):
    """The update whose net was taken; None for the last."""
    return result.best and result.best["epoch"] * arm.steps


def _against_labels(share, wrong):
    """What soft targets gain over the labels of a share of the cases."""
    few, every = wrong["labels", share], wrong["labels", ALL_LABELS]
    found = {"share": share}
    for kind, of in (("same", share), ("all", NO_LABELS)):
        recovered, interval = statistics.share_of_gain(
            few, every, wrong[kind, of]
        )
        found[kind] = {
            "recovered": {"mean": recovered, "ci95": interval},
            **statistics.paired_errors([wrong[kind, of]], [few]),
        }
    return found
