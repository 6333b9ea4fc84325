"""kdtf._training.data_errors: what went wrong, without TensorFlow's nodes."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf._training import data_errors

SENTENCE = "`dataset` must be [good], and not bad. Received: [1, 2]"


def message_of(read):
    with pytest.raises(Exception) as caught, data_errors.in_plain_words("x"):
        read()
    assert caught.type is ValueError
    assert isinstance(caught.value.__cause__, tf.errors.OpError)
    return str(caught.value)


@pytest.mark.parametrize("in_step", (False, True))
def test_an_assertion_of_one_sentence(in_step):
    def check(value):
        tf.debugging.Assert(value < 2, [SENTENCE])
        return value

    data = tf.data.Dataset.range(4)
    data = data if in_step else data.map(check)

    @tf.function
    def step(iterator):
        return check(next(iterator)) if in_step else next(iterator)

    def read():
        iterator = iter(data)
        for _ in range(4):
            step(iterator)

    assert message_of(read) == SENTENCE


def test_a_value_error_of_a_python_function():
    def fail(value):
        raise ValueError("`labels` must be whole. Received: 0.5 in batch 3")

    data = tf.data.Dataset.range(4).map(
        lambda v: tf.numpy_function(fail, [v], tf.int64)
    )
    message = message_of(lambda: list(data))
    assert message == "`labels` must be whole. Received: 0.5 in batch 3"


@pytest.mark.parametrize(("count", "found"), ((5, "only 4"), (2, "at least 3")))
def test_another_length_than_was_asserted(count, found):
    data = tf.data.Dataset.range(4).apply(
        tf.data.experimental.assert_cardinality(count)
    )
    message = message_of(lambda: list(data))
    assert message.startswith("`x` must have as many elements")
    assert message.endswith(
        f"expected to contain {count} elements but contained {found} elements)"
    )


def test_a_damaged_file(tmp_path):
    path = str(tmp_path / "file")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"something")
    content = bytearray((tmp_path / "file").read_bytes())
    content[14] ^= 1
    (tmp_path / "file").write_bytes(content)
    message = message_of(lambda: list(tf.data.TFRecordDataset(path)))
    assert message.startswith("`x` must come from files as they were written")
    assert message.endswith("(corrupted record at 12)")


def test_other_errors_pass_as_they_are():
    with (
        pytest.raises(tf.errors.InvalidArgumentError),
        data_errors.in_plain_words("x"),
    ):
        tf.reshape(np.zeros(3), [2])
    with pytest.raises(KeyError), data_errors.in_plain_words("x"):
        {}["a"]
