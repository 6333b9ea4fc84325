"""ClassSets: which specialist knows which classes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf._types import Tensor, TensorLike
from kdtf.specialists import _checks


class ClassSets:
    """The sets of classes of M specialists, as index tables.

    Attributes:
      sets: list of M int32 arrays, the classes of each in the given order.
      num_classes: int, classes of the generalist.
      top: int, how many of its most probable classes call specialists.
      most_active: int, specialists that one case can call: A.
      largest: int, classes of the largest set: S.
      members: `[M + 1, S]` int32, the classes of each set, then 0. The last
        row, to which -1 leads, is an empty set.
      is_member: `[M + 1, S]` bool, False where `members` is padding.
      groups: `[M + 1, G]` int32, the groups of each set, then that of no
        class. Classes that are in the same sets are a group.
      group_of: `[M + 1, S]` int32, the place of a member's group in `groups`.
      group_sets: `[groups + 1, M + 1]` bool, which sets have a group; the last
        is the group of no class.

    Example:
      >>> sets = kdtf.specialists.ClassSets([[0, 1], [1, 2]], 4)
      >>> sets.active([[0.0, 9.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]]).numpy()
      array([[ 0,  1],
             [ 0, -1]], dtype=int32)
    """

    def __init__(
        self,
        sets: Sequence[npt.ArrayLike],
        num_classes: int,
        *,
        top: int = 1,
    ) -> None:
        """Builds the tables.

        Args:
          sets: non-empty list of non-empty lists of classes, each class at
            most once, not all classes. Sets may overlap, or leave classes out.
          num_classes: int, the number of classes.
          top: int, from 1 to `num_classes`.

        Raises:
          ValueError: if an argument is not so.
        """
        _checks.integer("num_classes", num_classes, 2)
        _checks.integer("top", top, 1, num_classes)
        checked = _checks.class_sets("sets", sets, num_classes)
        self.sets = [each.astype(np.int32) for each in checked]
        self.num_classes, self.top = int(num_classes), int(top)
        count = len(self.sets)
        self.largest = max(len(each) for each in self.sets)
        self.members = np.zeros((count + 1, self.largest), np.int32)
        self.is_member = np.zeros((count + 1, self.largest), bool)
        self._covers = np.zeros((self.num_classes, count + 1), bool)
        for m, each in enumerate(self.sets):
            self.members[m, : len(each)] = each
            self.is_member[m, : len(each)] = True
            self._covers[each, m] = True
        self.group_sets, self.groups, self.group_of = self._grouped()
        most = int(self._covers.sum(axis=1).max())
        self.most_active = min(count, self.top * most)

    def active(self, generalist_logits: TensorLike) -> Tensor:
        """The specialists whose sets have one of the `top` classes.

        Args:
          generalist_logits: `[batch, num_classes]`.

        Returns:
          `[batch, A]` int32, indices of specialists in ascending order, then
          -1.
        """
        _, classes = tf.math.top_k(generalist_logits, self.top)
        called = tf.gather(tf.constant(self._covers[:, :-1]), classes)
        called = tf.cast(tf.reduce_any(called, axis=1), tf.int32)
        # Among equals, top_k takes the lower index first.
        is_called, specialists = tf.math.top_k(called, self.most_active)
        return tf.where(is_called > 0, specialists, -1)

    def can_cover_all(self) -> bool:
        """Whether the sets that one case calls could have every class."""
        sizes = sorted(len(each) for each in self.sets)
        together = sum(sizes[-self.most_active :])
        return bool(self._covers.any(1).all()) and together >= self.num_classes

    def _grouped(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`group_sets`, `groups` and `group_of`."""
        patterns, of_class = np.unique(
            self._covers, axis=0, return_inverse=True
        )
        of_class = of_class.reshape(-1)
        none = np.zeros_like(patterns[:1])
        found = [np.unique(of_class[each]) for each in self.sets]
        width = max(len(each) for each in found)
        groups = np.full((len(found) + 1, width), len(patterns), np.int32)
        group_of = np.zeros(self.members.shape, np.int32)
        for m, each in enumerate(found):
            groups[m, : len(each)] = each
            places = np.searchsorted(each, of_class[self.sets[m]])
            group_of[m, : len(places)] = places
        return np.concatenate([patterns, none]), groups, group_of
