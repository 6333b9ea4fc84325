"""How a Distiller runs whatever it was given as a teacher."""

import keras
import tensorflow as tf

from kdtf._math import softmax
from kdtf.ensemble import Ensemble


def logits_function(teacher):
    """(x, T) -> the teacher's logits at T = 1, and u with softmax(u / T)."""
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
    """What a teacher says of stacked batches.

    Args:
      logits: function from a batch to a structure of tensors `[batch, ...]`.
      x: structure of tensors `[batches, batch, ...]`.
      among: (first, last), the batches that are wanted.

    Returns:
      That structure of `[batches, batch, ...]`, 0 where it was not wanted.
    """
    first, last = among
    one = tf.nest.map_structure(
        lambda t: tf.TensorSpec(t.shape[1:], t.dtype), x
    )
    signature = tf.function(logits).get_concrete_function(one)
    size = tf.shape(tf.nest.flatten(x)[0])[0]

    def in_place(said):
        around = [[first, size - last]] + [[0, 0]] * (said.shape.rank - 1)
        return tf.pad(said, around)

    said = tf.map_fn(
        logits,
        tf.nest.map_structure(lambda t: t[first:last], x),
        fn_output_signature=tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype),
            signature.structured_outputs,
        ),
    )
    return tf.nest.map_structure(in_place, said)


def check_class_counts(student, teacher):
    """Raises where both models say how many classes they have, and differ."""
    counts = [softmax.class_count(model) for model in (student, teacher)]
    if None not in counts and counts[0] != counts[1]:
        raise ValueError(
            "`teacher` must have as many classes as `student`. Received: a "
            f"student of {counts[0]} and a teacher of {counts[1]} classes"
        )
