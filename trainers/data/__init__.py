"""One module a data set; each has a `load` that returns `ImageData`."""

import dataclasses

import numpy as np

_HELD_OUT_SEED = 20150309  # the day of the paper; the same split for all runs


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Labelled images, split into training and evaluation cases.

    Attributes:
      train_images: `[cases, height, width]` uint8.
      train_labels: `[cases]` int32.
      eval_images: `[cases, height, width]` uint8.
      eval_labels: `[cases]` int32.
      classes: int.
      white: int, the largest pixel value; inputs are pixels / white.
      eval_name: what the evaluation cases are: "test" or "held-out".
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    eval_images: np.ndarray
    eval_labels: np.ndarray
    classes: int
    white: int
    eval_name: str = "test"

    def hold_out(self, count):
        """Evaluates on `count` training cases instead of the test set.

        For choosing settings: the test cases are dropped, so that nothing can
        be tuned on them. The split is the same in every run.

        Args:
          count: int, from 1 to the number of training cases less one.

        Returns:
          `ImageData` whose training and evaluation cases are disjoint parts of
          this one's training cases.

        Raises:
          ValueError: where `count` is out of range.
        """
        cases = len(self.train_labels)
        if not 0 < count < cases:
            raise ValueError(
                f"`held_out` must be from 1 to {cases - 1} here. "
                f"Received: held_out={count}"
            )
        order = np.random.default_rng(_HELD_OUT_SEED).permutation(cases)
        held_out, kept = order[:count], order[count:]
        return dataclasses.replace(
            self,
            train_images=self.train_images[kept],
            train_labels=self.train_labels[kept],
            eval_images=self.train_images[held_out],
            eval_labels=self.train_labels[held_out],
            eval_name="held-out",
        )

    def inputs(self, images):
        """Images as a net sees them: `[cases, height * width]` in [0, 1]."""
        flat = images.reshape(len(images), -1)
        return flat.astype(np.float32) / self.white
