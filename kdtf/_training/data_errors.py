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
_LENGTH = re.compile(r"Input dataset was expected to contain .*? elements?\.")


@contextlib.contextmanager
def in_plain_words():
    """Turns TensorFlow's errors about data into ValueErrors that say so.

    All others pass as they are.

    Raises:
      ValueError: from the error, with the sentence of the check that failed; or
        if a file is damaged, or a data set does not have its length.
    """
    try:
        yield
    except tf.errors.OpError as error:
        words = _words(error)
        if words is None:
            raise
        raise ValueError(words) from error


def _words(error):
    sentence = _SENTENCE.search(error.message)
    if sentence:
        return sentence[1]
    if isinstance(error, tf.errors.DataLossError):
        return (
            "`x` must come from files as they were written. If they are soft "
            "targets, `SoftTargets.verify` names the one to write again. "
            f"Received: a damaged file ({error.message.splitlines()[0]})"
        )
    length = _LENGTH.search(error.message)
    if length:
        return (
            "`x` must have as many elements as it was said to have; one joined "
            "to soft targets, those that were written. "
            f"Received: another data set ({length[0]})"
        )
    return None
