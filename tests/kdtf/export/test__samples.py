"""_samples: representative data, in whatever form it comes, and bad ones."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf.export import _samples

ONE = tf.TensorSpec((1, 3), tf.float32, "x")
TWO = {
    "b": tf.TensorSpec((1, 2), tf.float32, "b"),
    "a": tf.TensorSpec((1, 4), tf.int32, "a"),
}
X = np.arange(15, dtype="float32").reshape(5, 3)
PAIR = {
    "a": np.arange(20).reshape(5, 4),
    "b": np.ones((5, 2), "float32"),
}
Dataset = tf.data.Dataset


def batches(data):
    return Dataset.from_tensor_slices(data).batch(2)


@pytest.mark.parametrize(
    "data",
    (
        X,
        X.astype("float64"),
        X.astype("int64"),
        X.tolist(),
        tf.constant(X),
        batches(X),
        batches((X, np.zeros(5))),
        batches((X, np.zeros(5), np.ones(5))),
        Dataset.from_generator(
            lambda: iter([X[:2], X[2:]]),
            output_signature=tf.TensorSpec((None, 3)),
        ),
    ),
)
def test_examples_of_one_input(data):
    examples = _samples.examples_of(data, ONE)
    assert [set(example) for example in examples] == [{"x"}] * 5
    for i, example in enumerate(examples):
        assert example["x"].dtype == np.float32
        np.testing.assert_array_equal(example["x"], X[i : i + 1])


@pytest.mark.parametrize("data", (PAIR, batches(PAIR), batches((PAIR, X))))
def test_examples_of_a_dict(data):
    examples = _samples.examples_of(data, TWO)
    assert len(examples) == 5
    for i, example in enumerate(examples):
        assert example["a"].dtype == np.int32
        np.testing.assert_array_equal(example["a"], PAIR["a"][i : i + 1])
        np.testing.assert_array_equal(example["b"], PAIR["b"][i : i + 1])


def test_examples_of_a_list():
    specs = [TWO["b"], TWO["a"]]
    for data in ([PAIR["b"], PAIR["a"]], (PAIR["b"], PAIR["a"])):
        example = _samples.examples_of(data, specs)[2]
        np.testing.assert_array_equal(example["a"], PAIR["a"][2:3])
        np.testing.assert_array_equal(example["b"], PAIR["b"][2:3])


def bad(value):
    x = X.copy()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("data", "specs", "said"),
    (
        (X[:0], ONE, "at least one example"),
        (batches(X).take(0), ONE, "at least one example"),
        (batches(X).repeat(), ONE, "finite: take"),
        (bad(np.nan), ONE, "finite numbers"),
        (bad(np.inf), ONE, "finite numbers"),
        (batches(bad(-np.inf)), ONE, "finite numbers"),
        (X[:, :2], ONE, r"float32 \[examples, 3\].*float32 \[5, 2\]"),
        (X[0], ONE, r"float32 \[examples, 3\].*float32 \[3\]"),
        (Dataset.from_tensor_slices(X), ONE, r"in batches.*float32 \[3\]"),
        (X[None], ONE, r"float32 \[1, 5, 3\]"),
        (7, ONE, r"float32 \[examples, 3\]"),
        ([[1.0, 2.0, 3.0], [1.0]], ONE, r"float32 \[examples, 3\]"),
        (X.astype(str), ONE, r"float32 \[examples, 3\]"),
        (X.astype(complex), ONE, r"float32 \[examples, 3\]"),
        ({"x": X}, ONE, r"one array .*dict with the keys \['x'\]"),
        ((X, X), ONE, r"one array .*a tuple of 2"),
        ({**PAIR, "a": PAIR["a"] + 0.5}, TWO, r"int32 \[examples, 4\]"),
        ({"a": PAIR["a"]}, TWO, r"a dict .*keys \['a'\]"),
        ([PAIR["a"], PAIR["b"]], TWO, "a dict .*a list of 2"),
        (X, TWO, "a dict .*a ndarray"),
        ({**PAIR, "b": PAIR["b"][:4]}, TWO, "as many examples"),
        ([X], [ONE, ONE], "a list .*a list of 1"),
    ),
)
def test_what_is_no_representative_data(data, specs, said):
    with pytest.raises(
        ValueError, match=rf"^`representative_data` must be .*{said}"
    ):
        _samples.examples_of(data, specs)
