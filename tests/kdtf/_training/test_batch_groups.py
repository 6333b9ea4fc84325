"""kdtf._training.batch_groups: groups hold the batches Keras would give."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import batch_groups
from tests import nets


def grouped(steps, **data):
    adapter = keras_private.get_data_adapter(**data)
    return batch_groups.GroupedAdapter(adapter, steps).get_tf_dataset()


def groups(steps, **data):
    return list(grouped(steps, **data))


def sizes(found):
    return [len(tf.nest.flatten(group.data)[0]) for group in found]


def batches(found):
    """The batches of groups, cut to their shapes."""
    for group in found:
        leaves = tf.nest.flatten(group.data)
        for i in range(len(leaves[0])):
            cut = [leaf[i].numpy() for leaf in leaves]
            if group.shapes:
                shapes = [shape[i].numpy() for shape in group.shapes]
                cut = [
                    leaf[tuple(slice(0, n) for n in shape)]
                    for leaf, shape in zip(cut, shapes, strict=True)
                ]
            yield cut


@pytest.mark.parametrize(("rows", "partial"), ((20, 4), (22, 2)))
def test_arrays(rows, partial):
    x, y = nets.inputs(rows), nets.labels(rows)
    found = groups(2, x=x, y=y, batch_size=4, shuffle=False)
    assert sizes(found) == ([2, 2, 1] if rows == 20 else [2, 2, 2])
    pairs = list(batches(found))
    assert len(pairs[-1][0]) == partial
    np.testing.assert_array_equal(np.concatenate([p[0] for p in pairs]), x)
    np.testing.assert_array_equal(np.concatenate([p[1] for p in pairs]), y)


def test_arrays_are_shuffled_as_keras_shuffles_them():
    x = nets.inputs(200)
    tf.random.set_seed(1)
    found = np.concatenate(
        [b[0] for b in batches(groups(3, x=x, shuffle=True))]
    )
    assert (found != x).any()
    np.testing.assert_array_equal(np.sort(found, 0), np.sort(x, 0))


def test_a_single_tensor_an_element_and_a_dict():
    data = tf.data.Dataset.from_tensor_slices(nets.inputs(12)).batch(4, True)
    [group] = groups(3, x=data, shuffle=False)
    assert group.data.shape == (3, 4, nets.FEATURES) and group.shapes == ()
    data = tf.data.Dataset.from_tensor_slices({"a": nets.inputs(10)}).batch(4)
    [group] = groups(3, x=data, shuffle=False)
    assert set(group.data) == {"a"}
    assert group.shapes[0][:, 0].numpy().tolist() == [4, 4, 2]


def test_ragged_batches_stay_as_they_are():
    ragged = tf.ragged.constant([[1.0], [2.0, 3.0]])
    data = tf.data.Dataset.from_tensors(ragged).repeat(3)
    assert grouped(2, x=data).element_spec == data.element_spec


@pytest.mark.parametrize(
    ("steps", "count", "bytes_of_batches", "size"),
    ((6, None, 100, 6), (6, None, 4, 3), (7, None, 4, 1), (50, 5, 100, 5)),
)
def test_groups_divide_an_execution_and_fit_into_memory(
    monkeypatch, steps, count, bytes_of_batches, size
):
    data = tf.data.Dataset.from_tensors(tf.zeros((4, 8), tf.uint8))
    data = data.repeat(count)
    monkeypatch.setattr(batch_groups, "_BYTES_A_GROUP", 33 * bytes_of_batches)
    first = next(iter(grouped(steps, x=data)))
    assert len(first.data) == size
