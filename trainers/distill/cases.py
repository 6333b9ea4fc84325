"""The cases of a run, whichever source they come from."""

import dataclasses
import hashlib
import pathlib

import numpy as np
import tensorflow as tf

# Training cases whose x is looked at for a digest; a store of soft targets has
# a checksum of each.
_LOOKED_AT = 1024
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Split:
    """Cases in a fixed order.

    Attributes:
      dataset: `tf.data.Dataset` of single cases, `(x, label)` or
        `(x, label, weight)`: x float32, label int32 and weight float32 scalars.
        It has a known cardinality, may be larger than memory, and yields the
        same each time.
      labels: `[cases]` int32 array; -1 for a case without a label.
    """

    dataset: tf.data.Dataset
    labels: np.ndarray

    @property
    def cases(self) -> int:
        """How many there are."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set, as nets take it.

    Attributes:
      kind: what x is: "images" (`[height, width, channels]`, 0 to 255), "sound"
        (`[frames, bands, 1]`, logarithms of energies), "table" (`[features]`)
        or "arrays" (any shape).
      train: `Split` to learn from.
      held_out: `Split` for choices and learning curves.
      test: `Split` that nothing is chosen by.
      class_names: tuple of strings.
      columns: of a table, the names of its features, in their order.
      cut_clips: of sound, how many of all clips lose their end.
    """

    kind: str
    train: Split
    held_out: Split
    test: Split
    class_names: tuple[str, ...]
    columns: tuple[str, ...] = ()
    cut_clips: int = 0

    @property
    def classes(self) -> int:
        """How many classes labels name."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of x."""
        return tuple(self.train.dataset.element_spec[0].shape)

    @property
    def digest(self) -> str:
        """Twelve characters of a checksum, to tell other cases from these.

        Of all labels, and of x of all held-out and test cases and of the first
        training cases.
        """
        found = hashlib.sha256(repr(self.class_names).encode())
        for split in (self.train, self.held_out, self.test):
            found.update(split.labels.tobytes())
            most = _LOOKED_AT if split is self.train else split.cases
            for batch in split.dataset.take(most).batch(_BATCH):
                for part in batch:
                    found.update(part.numpy().tobytes())
        return found.hexdigest()[:12]

    def save(self, directory: pathlib.Path) -> None:
        """Writes what makes x of a case as it comes, where that is needed.

        Args:
          directory: folder that exists.
        """
