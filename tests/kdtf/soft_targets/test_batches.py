"""kdtf.soft_targets.batches: what a teacher gets, from any shard on."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf.soft_targets import batches
from tests import nets, stores

X = nets.inputs(22)


def of_range(first, last):
    return tf.data.Dataset.from_tensor_slices(X[first:last])


def brighter(x, seed):
    return x + tf.cast(seed[0] + 100 * seed[1], x.dtype)


SOURCES = {
    "stream": lambda augment: batches.of(stores.dataset(), augment, None, None),
    "ranges": lambda augment: batches.of(of_range, augment, 22, 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("augment", (None, brighter))
@pytest.mark.parametrize("kind", SOURCES)
def test_the_batches_of_any_shard_in_any_order(kind, augment):
    source = SOURCES[kind](augment)
    assert source.count == 6
    for view in (0, 1):
        shown = X
        if augment:
            shown = X + np.float32(np.arange(22) + 100 * view)[:, None]
        for first, end in ((0, 2), (2, 3), (4, 6), (1, 3), (5, 6), (0, 6)):
            found = list(source.inputs(view, first, end))
            lengths = [4, 4, 4, 4, 4, 2][first:end]
            assert [len(x) for x in found] == lengths
            expected = shown[4 * first : 4 * end]
            np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_stream_is_read_once_by_who_goes_forward():
    seen = []

    def see(x):
        tf.py_function(lambda v: seen.append(int(v)), [x], [])
        return x[None]

    data = tf.data.Dataset.range(9).map(see)
    source = batches.of(data, None, None, None)
    for first, end in ((0, 2), (2, 3), (5, 6), (7, 9)):
        found = [int(x[0]) for x in source.inputs(0, first, end)]
        assert found == list(range(first, end))
    assert seen == list(range(9))
    list(source.inputs(0, 3, 4))  # and anew by who goes back
    assert seen[9:12] == [0, 1, 2]


def test_a_range_is_read_alone():
    asked = []

    def function(first, last):
        asked.append((first, last))
        return of_range(first, last)

    source = batches.of(function, None, 22, 4)
    assert not asked
    list(source.inputs(0, 5, 6))
    assert asked == [(20, 22)]
    assert sum(len(x) for x in source.start()) == 22
    assert asked[1:] == [(0, 22)]  # of 64 examples, if there were so many
    next(source.inputs(1, 2, 4))
    assert asked[2:] == [(8, 16)]


@pytest.mark.parametrize(
    ("count", "end", "received"), ((14, 6, "4"), (30, 6, "more"), (0, 6, "0"))
)
def test_a_stream_of_another_length(count, end, received):
    counts = iter((count,))
    data = tf.data.Dataset.from_generator(
        lambda: iter(nets.inputs(next(counts))),
        output_signature=tf.TensorSpec([nets.FEATURES]),
    ).batch(4)
    source = batches.of(stores.dataset(), None, None, None)
    source._dataset = data  # as if a view were another
    with pytest.raises(ValueError, match=f"6 batches.*Received: {received}"):
        list(source.inputs(0, 0, end))


def test_of_unknown_length_the_data_may_end():
    unknown = stores.dataset().filter(lambda x, y: True)
    source = batches.of(unknown, None, None, None)
    assert source.count is None
    assert [len(x) for x in source.inputs(0, 4, 8)] == [4, 2]
    assert not list(source.inputs(0, 6, 8))
    assert not list(source.inputs(0, 8, 9))


def test_after_an_error_a_stream_begins_anew():
    bad = [2]

    def read(i):
        if i in bad:
            bad.clear()
            raise ConnectionError
        return i

    data = tf.data.Dataset.range(4).map(
        lambda i: tf.reshape(tf.py_function(read, [i], tf.int64), [1])
    )
    source = batches.of(data, None, None, None)
    with pytest.raises(tf.errors.OpError):
        list(source.inputs(0, 0, 4))
    assert [int(x[0]) for x in source.inputs(0, 2, 4)] == [2, 3]


def unknown(data):
    return data.filter(lambda *_: True)


@pytest.mark.parametrize(
    ("function", "message"),
    (
        (lambda a, b: X[a:b], "which returned float32 of shape|ndarray"),
        (lambda a, b: of_range(a, b).batch(2), r"\(8, 16\), of 8.*set of 4"),
        (lambda a, b: of_range(a, b).repeat(), "of infinitely many"),
        (lambda a, b: of_range(a, b - 1), "a data set of 7"),
        (lambda a, b: of_range(a, b + 1), "a data set of 9"),
    ),
)
def test_a_function_that_returns_something_else(function, message):
    source = batches.of(function, None, 22, 4)
    with pytest.raises(ValueError, match=rf"`dataset` must be.*{message}"):
        list(source.inputs(0, 2, 4))


@pytest.mark.parametrize("more", (-1, 1))
def test_a_function_that_gives_more_or_less_than_it_tells(more):
    source = batches.of(
        lambda a, b: unknown(of_range(a, b + more)), None, 22, 4
    )
    with pytest.raises(tf.errors.FailedPreconditionError, match="8 elements"):
        list(source.inputs(0, 2, 4))


def test_a_function_whose_ranges_differ_in_shape():
    source = batches.of(
        lambda a, b: of_range(a, b).map(lambda x: x[: 5 - (a > 0)]), None, 22, 4
    )
    list(source.start())
    message = r"same dtypes.*\[5\].*at first.*\[4\].*of \(8, 16\)"
    with pytest.raises(ValueError, match=message):
        list(source.inputs(0, 2, 4))
