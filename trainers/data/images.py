"""Labelled images, whichever data set they come from."""

import dataclasses

import numpy as np

_HELD_OUT_SEED = 20150309  # the day of the paper; the same split for all runs


def held_out_order(cases: int) -> np.ndarray:
    """Returns the order in which cases are held out, the same in all runs.

    Args:
      cases: int, the number of training cases.

    Returns:
      `[cases]` int array, the cases in random order.
    """
    return np.random.default_rng(_HELD_OUT_SEED).permutation(cases)


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Labelled images, split into training and evaluation cases.

    Attributes:
      train_images: `[cases, height, width]` uint8 array.
      train_labels: `[cases]` int32 array.
      eval_images: `[cases, height, width]` uint8 array.
      eval_labels: `[cases]` int32 array.
      classes: int, the number of classes.
      white: int, the largest pixel value; the input of a net is pixels / white.
      eval_name: the origin of the evaluation cases, "test" or "held-out".
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    eval_images: np.ndarray
    eval_labels: np.ndarray
    classes: int
    white: int
    eval_name: str = "test"

    def hold_out(self, count: int) -> "ImageData":
        """Evaluates on `count` training cases instead of the test set.

        For the choice of settings: without the test cases, nothing can be tuned
        on them. The split is the same in every run.

        Args:
          count: int, from 1 to the number of training cases minus one.

        Returns:
          `ImageData` whose training and evaluation cases are disjoint parts of
          the training cases of this one.

        Raises:
          ValueError: if `count` is out of range.
        """
        cases = len(self.train_labels)
        if not 0 < count < cases:
            raise ValueError(
                f"`held_out` must be from 1 to {cases - 1} here. "
                f"Received: held_out={count}"
            )
        order = held_out_order(cases)
        held_out, kept = order[:count], order[count:]
        return dataclasses.replace(
            self,
            train_images=self.train_images[kept],
            train_labels=self.train_labels[kept],
            eval_images=self.train_images[held_out],
            eval_labels=self.train_labels[held_out],
            eval_name="held-out",
        )

    def inputs(self, images: np.ndarray) -> np.ndarray:
        """Converts images to the input of a net.

        Args:
          images: `[cases, height, width]` uint8 array.

        Returns:
          `[cases, height * width]` float32 array within [0, 1].
        """
        flat = images.reshape(len(images), -1)
        return flat.astype(np.float32) / self.white


@dataclasses.dataclass(frozen=True)
class SplitImages:
    """Labelled images of many classes, in three parts.

    Attributes:
      train_images: `[cases, height, width]` uint8 array, or
        `[cases, height, width, 3]` for colours.
      train_labels: `[cases]` int32 array.
      held_out_images: as `train_images`; for choices.
      held_out_labels: `[cases]` int32 array.
      test_images: as `train_images`.
      test_labels: `[cases]` int32 array.
      classes: int, the number of classes.
      white: int, the largest pixel value; the input of a net is pixels / white.
      class_names: tuple of strings, `classes` of them.
      class_images: one clear image of each class, as `train_images`, to show.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    held_out_images: np.ndarray
    held_out_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    white: int
    class_names: tuple[str, ...]
    class_images: np.ndarray
