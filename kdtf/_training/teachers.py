"""How a Distiller runs whatever it was given as its teacher."""

import keras
import tensorflow as tf

from kdtf import _models
from kdtf.ensemble import Ensemble


def logits_function(teacher):
    """Function (x, T) -> (logits at T = 1, u with softmax(u / T))."""
    if isinstance(teacher, Ensemble):

        def ensemble_logits(x, temperature):
            members = teacher.member_logits(x)
            return (
                teacher.combine_logits(members, 1.0),
                teacher.combine_logits(members, temperature),
            )

        return ensemble_logits

    def single_logits(x, temperature):
        del temperature  # one net's logits do not depend on it
        in_inference_mode = (
            {"training": False} if isinstance(teacher, keras.Layer) else {}
        )
        logits = tf.convert_to_tensor(teacher(x, **in_inference_mode))
        return logits, logits

    return single_logits


def batch_by_batch(logits, x, among):
    """A teacher's logits on stacked batches.

    Args:
      logits: function from a batch to a structure of tensors `[batch, ...]`.
      x: structure of tensors `[batches, batch, ...]`.
      among: (first, last), the range of batches that are needed.

    Returns:
      That structure of `[batches, batch, ...]`, 0 for all other batches.
    """
    first, last = among
    one = tf.nest.map_structure(
        lambda t: tf.TensorSpec(t.shape[1:], t.dtype), x
    )
    signature = tf.function(logits).get_concrete_function(one)
    size = tf.shape(tf.nest.flatten(x)[0])[0]

    def in_place(found):
        around = [[first, size - last]] + [[0, 0]] * (found.shape.rank - 1)
        return tf.pad(found, around)

    found = tf.map_fn(
        logits,
        tf.nest.map_structure(lambda t: t[first:last], x),
        fn_output_signature=tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype),
            signature.structured_outputs,
        ),
    )
    return tf.nest.map_structure(in_place, found)


def check_class_counts(student, teacher):
    """Raises if both models tell their number of classes, and differ."""
    counts = [_models.class_count(model) for model in (student, teacher)]
    if None not in counts and counts[0] != counts[1]:
        raise ValueError(
            "`teacher` must have as many classes as `student`. Received: a "
            f"student of {counts[0]} and a teacher of {counts[1]} classes"
        )
