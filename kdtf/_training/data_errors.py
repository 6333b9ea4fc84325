"""What a data set fails with while it is read, in a user's words.

A check inside of an input pipeline, or of a step, can only fail as one of
TensorFlow's errors: its message names nodes and transformations, and has what
is wrong somewhere in the middle.
"""

import contextlib
import re

import tensorflow as tf

# An assertion of one sentence, or the ValueError of a Python function, that
# reads as all of kdtf's errors do.
_SENTENCE = re.compile(
    r"(?:assertion failed: \[|ValueError: )"
    r"(`\w+` (?:must|may) .*?Received: .*?)(?:\]?\s*\n|\]?$)",
    re.DOTALL,
)
_RECORD = re.compile(r"(?:corrupted|truncated) record at \d+")
# Of `dynamic_shapes.require` in a program of XLA's.
_SHAPE = re.compile(r"tensor with \d+ values, but the requested shape has 0\b")
_LENGTH = re.compile(
    r"Input dataset was expected to contain \d+ elements? but contained "
    r"[\w ]*?\d+ elements?"
)


@contextlib.contextmanager
def in_plain_words(argument):
    """Turns TensorFlow's errors about data into ValueErrors that say so.

    All others pass as they are.

    Args:
      argument: name of the argument that the data are given by.

    Raises:
      ValueError: from the error, with the sentence of the check that failed; or
        if a file is damaged, or a data set does not have its length.
    """
    try:
        yield
    except tf.errors.OpError as error:
        words = _words(error, argument)
        if words is None:
            raise
        raise ValueError(words) from error


def _words(error, argument):
    sentence = _SENTENCE.search(error.message)
    if sentence:
        return sentence[1]
    record = _RECORD.search(error.message)
    if record:
        return (
            f"`{argument}` must come from files as they were written. If they "
            "are soft targets, `SoftTargets.verify` names the one to write "
            f"again. Received: a damaged file ({record[0]})"
        )
    if _SHAPE.search(error.message):
        return (
            f"`{argument}` must have, in each batch, labels and teacher logits "
            "of the shape that the student's output asks for: others would be "
            "broadcast. Received: another shape"
        )
    length = _LENGTH.search(error.message)
    if length:
        return (
            f"`{argument}` must have as many elements as it was said to have, "
            "or as soft targets were written for. Received: another data set "
            f"({length[0]})"
        )
    return None
