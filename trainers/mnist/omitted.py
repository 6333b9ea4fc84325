"""Digits left out of the transfer set, and biases that bring them back.

The student learns from soft targets alone, of images of some digits only
(paper, section 3). What it knows of the others comes from those soft targets;
that they are rare there is repaired by another bias of some digits, chosen

- without labels: their mean predicted shares on all training images become
  those that are known (`kdtf.output_bias.match_prior`), or those of all digits
  do, each by a bias of its own;
- on labelled training images that the student has not learned from
  (`kdtf.output_bias.fewest_errors`);
- on the evaluation cases, as in the paper: an oracle, to compare with.
"""

import dataclasses

import numpy as np

from kdtf import output_bias
from trainers.core.errors import FlagsError
from trainers.mnist import batches, evaluation, nets, recipes

_SPLIT_SEED = 20150309  # the day of the paper
_LABELLED_SHARE = 1 / 12  # of the training cases: 5,000 of MNIST's
SWEEP = [float(bias) for bias in np.arange(-12.0, 12.01, 0.5)]


@dataclasses.dataclass(frozen=True)
class Omission:
    """An experiment.

    Attributes:
      name: of the experiment.
      transferred: tuple of the digits in the transfer set.
      shifted: tuple of the digits whose biases are chosen.
    """

    name: str
    transferred: tuple
    shifted: tuple

    def is_omitted(self, labels):
        """Which of these labels are of digits that were left out."""
        return ~np.isin(labels, self.transferred)


OMIT_3 = Omission("omit_3", (0, 1, 2, 4, 5, 6, 7, 8, 9), (3,))
ONLY_7_8 = Omission("only_7_8", (7, 8), (7, 8))


def measure(omission, run):
    """Trains what is missing, and chooses the biases.

    Args:
      omission: `Omission`.
      run: `trainers.mnist.runs.Run`, of the ten digits.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    data = run.data
    labelled, kept = split(omission, data.train_labels)
    _require_digits(omission, data, labelled, kept)
    arm = arm_of(omission, run.settings, len(data.train_labels), len(kept))
    by_seed = []
    [students] = run.students([arm], [[kept] * run.seeds])
    for result in students:
        train_logits = nets.predict(result.net, data.inputs(data.train_images))
        by_seed.append(
            evaluate(omission, data, train_logits, labelled, result.eval_logits)
        )
    return {
        **evaluation.about(run),
        "experiment": omission.name,
        "omitted_cases": int(omission.is_omitted(data.eval_labels).sum()),
        "shifted": list(omission.shifted),
        **summarise(by_seed),
    }


def _require_digits(omission, data, labelled, kept):
    """Raises a FlagsError where cases lack what is learned or counted."""
    omitted = data.eval_labels[omission.is_omitted(data.eval_labels)]
    learned = np.unique(data.train_labels)
    if (
        len(labelled)
        and len(kept)
        and len(omitted)
        and len(learned) == data.classes
    ):
        return
    raise FlagsError(
        "--held_out must leave cases of every digit to train on, and hold out "
        f"some of the digits that --experiment={omission.name} omits: give "
        "another number. Received: "
        f"--held_out={len(data.eval_labels)} of "
        f"{len(data.train_labels) + len(data.eval_labels)} cases"
    )


def split(omission, train_labels):
    """The training cases whose labels may be used, and the transfer set.

    Args:
      omission: `Omission`.
      train_labels: `[cases]` array.

    Returns:
      Two disjoint arrays of indices.
    """
    cases = len(train_labels)
    order = np.random.default_rng(_SPLIT_SEED).permutation(cases)
    count = round(cases * _LABELLED_SHARE)
    labelled, others = order[:count], np.sort(order[count:])
    return labelled, others[~omission.is_omitted(train_labels[others])]


def arm_of(omission, settings, cases, kept):
    """The distilled arm, in as many updates as of the whole transfer set."""
    arm = recipes.distilled(settings)
    whole, part = (
        batches.steps_per_epoch(n, arm.batch_size) for n in (cases, kept)
    )
    return dataclasses.replace(
        arm,
        transfer=omission.name,
        learning_rate=settings.omitted_learning_rate,
        epochs=round(arm.epochs * whole / part),
    )


def evaluate(omission, data, train_logits, labelled, eval_logits):
    """Errors before and after a shift, chosen in three ways.

    Args:
      omission: `Omission`.
      data: `trainers.data.ImageData`.
      train_logits: `[training cases, classes]`, the student's.
      labelled: indices of the training cases whose labels may be used.
      eval_logits: `[evaluation cases, classes]`, the student's.

    Returns:
      Dict from way to {"shift", "errors", "omitted_errors"}, and "sweep" to a
      list of them, with the same bias on all digits that are shifted.
    """
    shares = np.bincount(data.train_labels, minlength=data.classes)
    shares = shares / shares.sum()

    def errors(shift):
        wrong = (eval_logits + shift).argmax(-1) != data.eval_labels
        omitted = omission.is_omitted(data.eval_labels)
        return {
            "shift": [float(shift[digit]) for digit in omission.shifted],
            "errors": int(wrong.sum()),
            "omitted_errors": int((wrong & omitted).sum()),
        }

    def swept(bias):
        shift = np.zeros(data.classes)
        shift[list(omission.shifted)] = bias
        return errors(shift)

    by_prior = output_bias.match_prior(
        train_logits, {digit: shares[digit] for digit in omission.shifted}
    )
    # Softmax is the same under a shift of all classes: one is left out.
    of_all = output_bias.match_prior(
        train_logits, dict(enumerate(shares[1:], start=1))
    )
    of_all -= np.delete(of_all, omission.shifted).mean()
    by_labels, by_oracle = (
        output_bias.fewest_errors(logits, labels, omission.shifted)
        for logits, labels in (
            (train_logits[labelled], data.train_labels[labelled]),
            (eval_logits, data.eval_labels),
        )
    )
    return {
        "none": swept(0.0),
        "prior": errors(by_prior),
        "prior_of_all": errors(of_all),
        "labels": errors(by_labels),
        "oracle": errors(by_oracle),
        "sweep": [swept(bias) for bias in SWEEP],
    }


def summarise(by_seed):
    """Means and intervals over seeds of what `evaluate` returned for each."""

    def over_seeds(each):
        summary = {"shift": np.mean([e["shift"] for e in each], 0).tolist()}
        for name in ("errors", "omitted_errors"):
            summary[name] = evaluation.summarise_errors([e[name] for e in each])
        return summary

    ways = {
        way: over_seeds([result[way] for result in by_seed])
        for way in by_seed[0]
        if way != "sweep"
    }
    sweeps = zip(*(result["sweep"] for result in by_seed), strict=True)
    return {"ways": ways, "sweep": [over_seeds(each) for each in sweeps]}
