"""The hints of a Distiller: what they compare and add to its loss."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import hints as hints_module
from kdtf._math import dynamic_shapes, entries
from kdtf._training import features, hyperparameters


class HintTerms:
    """Hints, with all that they need of one student and one teacher.

    An object of its own, which Keras does not look into: the Distiller lists
    the projections and the metrics among its attributes, where Keras finds
    them, and the teacher, whose layers this holds, stays unseen.

    Attributes:
      hints: list of `kdtf.Hint`, which know the teacher's shapes.
      student: list of `features.Feature`, one a hint.
      teacher: likewise; None while a loaded Distiller has no teacher.
      projections: list of built layers, of those hints that have one.
      trackers: list of `keras.metrics.Mean`, one a hint.
      weights: dict from a hint's name to its weight, a float32 variable; no
        weight of the model.
    """

    def __init__(self, hints, student, teacher, policy):
        """Finds the layers, checks their shapes and builds the projections.

        Args:
          hints: list of `kdtf.Hint`.
          student: a built `keras.Model`.
          teacher: a built `keras.Model` or `kdtf.Ensemble`; None where every
            hint knows the shape of the teacher's feature, as those of a saved
            Distiller do.
          policy: `keras.DTypePolicy` of the projections, the Distiller's.

        Raises:
          ValueError: says which hint cannot be, and why.
        """
        _check_hints(hints)
        self.hints = list(hints)
        self.student = features.find(
            student, [hint.student for hint in hints], "student"
        )
        self.teacher = None
        if teacher is not None:
            self.set_teacher(teacher)
        missing = [h.name for h in self.hints if h.teacher_shape is None]
        if missing:
            raise ValueError(
                "`teacher` must be a keras.Model or a kdtf.Ensemble where "
                "there are hints: stored logits tell nothing of its features. "
                f"Received: teacher=None and the hint {missing[0]!r}"
            )
        self._by_hint = [
            _projection(hint, feature, policy)
            for hint, feature in zip(self.hints, self.student, strict=True)
        ]
        self.projections = [each for each in self._by_hint if each is not None]
        self._row_losses = [hints_module.row_losses(h.loss) for h in self.hints]
        for parts in self._each():
            _check_shapes(*parts)
        self.trackers = [
            keras.metrics.Mean(f"{hint.name}_loss") for hint in self.hints
        ]
        self.weights = {
            hint.name: hyperparameters.Scalar(
                hint.weight, hint.name, hints_module.check_weight
            )
            for hint in self.hints
        }

    def set_teacher(self, teacher):
        """Finds the features of a teacher, or of another one.

        Args:
          teacher: as in the constructor.

        Raises:
          ValueError: if it has no such layers, or they give other shapes than
            those that the hints know.
        """
        paths = [hint.teacher for hint in self.hints]
        found = features.find(teacher, paths, "teacher")
        self.hints = [
            _knowing(hint, feature)
            for hint, feature in zip(self.hints, found, strict=True)
        ]
        self.teacher = found

    @property
    def trainable_weights(self):
        """The trainable weights of the projections."""
        return [w for each in self.projections for w in each.trainable_weights]

    def weight_values(self):
        """Dict from a name for a hint's weight to its value, a Python float."""
        return {
            f"hint_weights[{name!r}]": hyperparameters.number(weight)
            for name, weight in self.weights.items()
        }

    def row_losses(self, student_features, teacher_features):
        """The losses of the rows of features, without the hints' weights.

        Args:
          student_features: list of `[batch, ..., width]`, one a hint, as
            `features.captured` yields them, with their Keras masks.
          teacher_features: likewise; not differentiated.

        Returns:
          List of `(losses, mask)`, one a hint: `[batch, ...]` float32, and the
          Keras mask of the student's feature or None.

        Raises:
          ValueError: if there are no features of a teacher, or their shapes
            do not fit.
        """
        if len(teacher_features or ()) != len(self.hints):
            raise ValueError(
                "`teacher` must be there where there are hints: a loaded "
                "Distiller gets it by set_teacher. Received: no features"
            )
        found = []
        for hint, projection, row_losses, ours, theirs in zip(
            self.hints,
            self._by_hint,
            self._row_losses,
            student_features,
            teacher_features,
            strict=True,
        ):
            mask = keras_private.mask_of(ours)
            projected = ours if projection is None else projection(ours)
            theirs = _in_shape(hint, projected, theirs)
            rows = row_losses(
                tf.stop_gradient(tf.cast(theirs, tf.float32)),
                tf.cast(projected, tf.float32),
            )
            found.append((tf.cast(rows, tf.float32), mask))
        return found

    def by_entry(self, rows, logits):
        """The losses of rows as losses of entries.

        Args:
          rows: what `row_losses` returned.
          logits: `[..., classes]`, the student's, which tell the entries.

        Returns:
          List of `[...]` float32, one a hint.
        """
        return [_by_entry(values, mask, logits) for values, mask in rows]

    def loss(self, each, weights, logits):
        """What the hints add to the loss of a batch; each is tracked.

        Args:
          each: list of `[...]` float32, as `by_entry` returns it.
          weights: `[...]` float32 of the entries, or None.
          logits: `[..., classes]`, the tensor that may carry the mask.

        Returns:
          Scalar float32.
        """
        for tracker, values in zip(self.trackers, each, strict=True):
            tracker.update_state(values, weights)
        return tf.add_n(
            [
                tf.convert_to_tensor(self.weights[hint.name])
                * entries.mean_over_entries(values, weights, logits)
                for hint, values in zip(self.hints, each, strict=True)
            ]
        )

    def _each(self):
        return zip(
            self.hints,
            self.student,
            self._by_hint,
            self._row_losses,
            strict=True,
        )


def _check_hints(hints):
    is_list = isinstance(hints, Sequence) and not isinstance(hints, str)
    if not is_list or not all(isinstance(h, hints_module.Hint) for h in hints):
        raise ValueError(
            f"`hints` must be a list of kdtf.Hint. Received: hints={hints!r}"
        )
    names = [hint.name for hint in hints]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            "`hints` must have names that differ: give some of them a `name`. "
            f"Received: {names.count(twice[0])} hints named {twice[0]!r}"
        )
    layers = [h.projection for h in hints if not _is_text(h.projection)]
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError(
            "`hints` must each have a projection of their own. Received: one "
            f"layer for several of {names}"
        )


def _is_text(projection):
    return projection is None or isinstance(projection, str)


def _knowing(hint, feature):
    """The hint, which knows the shape of the teacher's feature."""
    known, shape = hint.teacher_shape, feature.shape[1:]
    if known is None:
        return hint.with_teacher_shape(shape)
    if not tf.TensorShape(known).is_compatible_with(shape):
        raise ValueError(
            "`teacher` must give features of the shape that the hint was made "
            f"for, {_shown(known)}. Received: the hint {hint.name!r}, and "
            f"{feature.path!r}, which gives {_shown(shape)}"
        )
    return hint


def _projection(hint, feature, policy):
    """The built layer that a hint's student's feature goes through, or None."""
    layer = hint.projection
    if layer == "auto":
        ours, theirs = feature.shape[-1], hint.teacher_shape[-1]
        if None in (ours, theirs):
            raise ValueError(
                "`projection` must be None or a layer where the width of a "
                f"feature is not known. Received: projection='auto' and "
                f"{_described(hint, feature)}"
            )
        if ours == theirs:
            return None
        layer = keras.layers.Dense(
            theirs, dtype=policy, name=f"{hint.name}_projection"
        )
    return layer


def _check_shapes(hint, feature, projection, row_losses):
    """Builds the projection; raises if it, or the loss, does not fit."""
    given = keras.Input(feature.shape[1:], dtype=feature.dtype)
    try:
        projected = given if projection is None else projection(given)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`projection` must take the student's feature. Received: "
            f"{_described(hint, feature)}, for which {projection.name!r} "
            f"raised {type(error).__name__}: {error}"
        ) from error
    ours, theirs = _shape_of(projected), hint.teacher_shape
    if not tf.TensorShape(ours).is_compatible_with(theirs):
        raise ValueError(
            f"`projection` must bring the student's feature to the shape of "
            f"the teacher's: {_remedy(hint, feature)}. Received: "
            f"projection={hint.projection!r}, which gives {_shown(ours)}, of "
            f"{_described(hint, feature)}"
        )
    _check_loss(hint, row_losses)


def _shape_of(output):
    """The shape of one tensor, without the batch; None of anything else."""
    shape = getattr(output, "shape", None)
    return None if shape is None else tuple(shape)[1:]


def _remedy(hint, feature):
    """What would bring the two features together."""
    ours, theirs = feature.shape[1:], hint.teacher_shape
    if hint.projection == "auto":
        return (
            "a linear map changes the last axis alone; for the others give a "
            "keras.Layer, such as a pooling or keras.layers.Resizing, or name "
            "layers whose outputs have the same"
        )
    if hint.projection is None and ours[:-1] == theirs[:-1]:
        return (
            f'projection="auto" would map the width {ours[-1]} to {theirs[-1]}'
        )
    return "give a keras.Layer that does"


def _described(hint, feature):
    return (
        f"the hint {hint.name!r}: student={feature.path!r} of shape "
        f"{_shown(feature.shape[1:])}, teacher={hint.teacher!r} of shape "
        f"{_shown(hint.teacher_shape)}"
    )


def _shown(shape):
    """A shape without its batch, as people write it."""
    if shape is None:
        return "no tensor"
    return f"[{', '.join(['batch', *map(str, shape)])}]"


def _check_loss(hint, row_losses):
    """Raises unless the loss of two features is a value for every row."""
    spec = tf.TensorSpec((None, *hint.teacher_shape))
    try:
        rows = (
            tf.function(lambda *pair: row_losses(*pair), autograph=False)
            .get_concrete_function(spec, spec)
            .structured_outputs
        )
    except Exception as error:  # whatever a loss raises
        raise ValueError(
            "`loss` must be of features, floating numbers "
            f"{_shown(hint.teacher_shape)}. Received: loss={hint.loss!r} of "
            f"the hint {hint.name!r}, which raised {type(error).__name__}: "
            f"{error}"
        ) from error
    shape = getattr(rows, "shape", None)
    if shape is None or not shape.rank:
        raise ValueError(
            "`loss` must return a value for every row, [batch, ...]: leave the "
            "mean over the batch to the Distiller, which weights entries. "
            f"Received: loss={hint.loss!r} of the hint {hint.name!r}, which "
            f"returns {rows!r}"
        )


def _in_shape(hint, ours, theirs):
    """The teacher's feature, which would be broadcast if it had another shape.

    Raises:
      ValueError: if a batch's features are not as those that were checked.
    """
    if not ours.shape.is_compatible_with(theirs.shape):
        raise ValueError(
            "`teacher` and `student` must give features of one shape for every "
            f"batch. Received: the hint {hint.name!r}, with features of shape "
            f"{ours.shape} of the student and {theirs.shape} of the teacher"
        )
    return dynamic_shapes.require(
        theirs, ours.shape, lambda: tf.shape(ours), "teacher"
    )


def _by_entry(rows, mask, logits):
    """Losses of rows `[batch, ...]` as losses of entries `[...]`."""
    shape = tf.shape(logits)[:-1]
    static = logits.shape[:-1]

    def spread():
        example = _mean_of_example(rows, mask)
        ones = [1] * (static.rank - 1)
        return tf.broadcast_to(tf.reshape(example, [-1, *ones]), shape)

    if not rows.shape[1:].is_compatible_with(static[1:]):
        return spread()
    if rows.shape[1:].is_fully_defined() and static[1:].is_fully_defined():
        return rows
    same = tf.reduce_all(tf.equal(tf.shape(rows)[1:], shape[1:]))
    found = tf.cond(same, lambda: rows, spread)
    found.set_shape(static)
    return found


def _mean_of_example(rows, mask):
    """`[batch]`: the mean over all axes but the first, and valid steps only.

    Args:
      rows: `[batch, ...]` float32.
      mask: `[batch, time]`, where the second axis of rows is the time; or None.
    """
    if rows.shape.rank == 1:
        return rows
    if mask is None or not mask.shape.is_compatible_with(rows.shape[:2]):
        return tf.reduce_mean(rows, axis=range(1, rows.shape.rank))
    steps = tf.reduce_mean(rows, axis=range(2, rows.shape.rank))
    valid = tf.cast(mask, tf.bool)
    return tf.math.divide_no_nan(
        tf.reduce_sum(tf.where(valid, steps, 0.0), axis=1),
        tf.reduce_sum(tf.cast(valid, tf.float32), axis=1),
    )
