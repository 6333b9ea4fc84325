"""What a net says of labelled images, case by case."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from trainers.specialists import batches

_BLOCK = 4096  # cases that are predicted at a time
_FEW = 3 * _BLOCK  # cases that are predicted without a trace
_BINS = 15  # of the calibration error, equally wide (Guo et al. 2017)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Predictions of labelled cases.

    Attributes:
      labels: `[cases]` int array.
      choices: `[cases]` int array, the most probable class.
      among: `[cases]` int array, the most probable of the classes that
        specialists cover.
      log_p: `[cases]` float array, log-probability of the label.
      confidence: `[cases]` float array, the probability of the choice.
    """

    labels: np.ndarray
    choices: np.ndarray
    among: np.ndarray
    log_p: np.ndarray
    confidence: np.ndarray

    @property
    def right(self):
        """`[cases]` bool array."""
        return self.choices == self.labels

    @property
    def accuracy(self):
        """float."""
        return float(self.right.mean())

    @property
    def nll(self):
        """float, mean negative log-likelihood."""
        return float(-self.log_p.mean())

    @property
    def calibration_error(self):
        """float, the expected calibration error."""
        bins = np.minimum((self.confidence * _BINS).astype(int), _BINS - 1)
        gaps = np.bincount(bins, self.confidence - self.right, _BINS)
        return float(np.abs(gaps).sum() / len(bins))

    def conditional(self, covered):
        """Accuracy on cases of covered classes, with choices among these.

        Args:
          covered: `[classes]` bool array, the one that `among` was made with.
        """
        cases = covered[self.labels]
        return float((self.among == self.labels)[cases].mean())


def of(model, images, labels, white, covered=None):
    """`Scores` of a model.

    Args:
      model: `keras.Model` from pixels to logits.
      images: `[cases, ...]` uint8 array.
      labels: `[cases]` int array.
      white: int, the pixel value that becomes 1.
      covered: `[classes]` bool array, or None for all classes.
    """
    parts = [
        _of_logits(block, some, covered)
        for block, some in _blocks(model, images, labels, white)
    ]
    return Scores(
        labels, *(np.concatenate(p) for p in zip(*parts, strict=True))
    )


def logits(model, images, white):
    """Yields `[block, classes]` float32 logits, without noise.

    A model of many nets takes longer to trace than to predict a few blocks.

    Args:
      model: `keras.Model` from pixels to logits.
      images: `[cases, ...]` uint8 array.
      white: int, the pixel value that becomes 1.
    """
    call = functools.partial(model, training=False)
    if len(images) > _FEW:
        shape = [None, batches.flat(images).shape[1]]
        # Of a partial, not of a lambda: TensorFlow counts the traces of one
        # piece of code, and would warn of those of different models.
        call = tf.function(
            call, input_signature=[tf.TensorSpec(shape)], autograph=False
        )
    for x in inputs(images, white):
        yield call(x).numpy()


def inputs(images, white):
    """Yields `[block, pixels]` float32 arrays, at least one."""
    pixels = batches.flat(images)
    for begin in range(0, max(1, len(pixels)), _BLOCK):
        block = pixels[begin : begin + _BLOCK]
        yield block.astype(np.float32) / white


def _blocks(model, images, labels, white):
    begin = 0
    for block in logits(model, images, white):
        yield block, labels[begin : begin + len(block)]
        begin += len(block)


def _of_logits(block, labels, covered):
    rows = np.arange(len(block))
    choices = block.argmax(-1)
    among = choices
    if covered is not None:
        among = np.where(covered, block, -np.inf).argmax(-1)
    highest = block.max(-1)
    total = np.log(np.exp(block - highest[:, None]).sum(-1, dtype=np.float64))
    log_p = block[rows, labels] - highest - total
    return choices, among, log_p, np.exp(-total)
