"""kdtf.soft_targets.sources: arrays and PyDatasets as a tf.data.Dataset."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf.soft_targets import sources
from tests import nets, stores


class Sliced(keras.utils.PyDataset):
    """Batches that are slices of lengths of their own."""

    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def test_a_data_set_stays_what_it_is():
    data = stores.dataset()
    assert sources.dataset(data) is data
    assert sources.batches(data, None) is data


@pytest.mark.parametrize(("size", "first"), ((None, 32), (7, 7)))
def test_arrays_come_in_batches(size, first):
    x, y = nets.inputs(40), nets.labels(40)
    batches = list(sources.batches((x, y), size))
    assert len(batches[0][0]) == first
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), x)
    np.testing.assert_array_equal(np.concatenate([b[1] for b in batches]), y)
    assert len(sources.dataset((x, y))) == 40


def test_a_list_is_several_inputs():
    first, second = np.arange(3), np.arange(3, 6)
    (inputs,) = next(iter(sources.dataset([first, second])))
    assert [int(part) for part in inputs] == [0, 3]
    inputs, label = next(iter(sources.dataset(([first, second], first))))
    assert [int(part) for part in inputs] == [0, 3]
    assert int(label) == 0


def generator():
    yield nets.inputs(4)


@pytest.mark.parametrize(
    ("data", "received"),
    (
        ([1, 2], "a list of"),
        (generator(), "a generator"),
        (generator, "a function"),
        (None, "a NoneType"),
        ((None, None), "a tuple of"),
        ((np.zeros(3), np.zeros(4)), "the shapes"),
        (np.float32(3), "the shapes"),
        ((), "a tuple"),
        (Sliced(), "one that has none"),
    ),
)
def test_what_is_no_data_is_refused(data, received):
    with pytest.raises(ValueError, match=rf"`dataset` must be.*{received}"):
        sources.dataset(data)


def test_a_py_dataset_without_end_is_refused():
    class Endless(keras.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return nets.inputs(4)

    with pytest.raises(ValueError, match="Endless, one without end"):
        sources.dataset(Endless())


def test_axes_that_differ_between_the_first_two_batches_stay_open():
    data = sources.dataset(
        Sliced(*(np.zeros((2, n, 5), np.float32) for n in (3, 4, 7)))
    )
    assert data.element_spec[0] == tf.TensorSpec([None, None, 5])
    assert int(data.cardinality()) == 3
    assert [x.shape[1] for (x,) in data] == [3, 4, 7]


def test_an_axis_that_differs_later_is_named(tmp_path):
    data = Sliced(*(np.zeros((2, n, 5), np.float32) for n in (3, 3, 7)))
    teacher = keras.Sequential([keras.Input((None, 5)), keras.layers.Dense(4)])
    message = r"`dataset` must have batches like.*batch 2.*\[2, 7, 5\]"
    with pytest.raises(ValueError, match=message):
        stores.write(tmp_path, teacher, data)


def lists():
    found = np.empty(3, object)
    found[:] = [[1], [1, 2], [3]]
    return found


@pytest.mark.parametrize(
    ("array", "received"),
    (
        (np.ones((3, 2), object), "objects, such as the int 1"),
        (lists(), r"objects, such as the list \[1\]"),
        (np.array(["a", None, "b"], object), "objects, such as the NoneType"),
        (np.zeros(3, "M8[s]"), r"datetime64\[s\]"),
        (np.zeros(3, "i4,f4"), "void"),
    ),
)
def test_arrays_that_tensorflow_cannot_have_are_refused(array, received):
    message = rf"`dataset` must be arrays of numbers.*an array of ({received})"
    for data in (array, (np.zeros((3, 2)), array)):
        with pytest.raises(ValueError, match=message):
            sources.dataset(data)


def test_text_and_numbers_of_any_byte_order_are_taken():
    x = np.array(["a", b"b", "\xe9"], object)
    y = np.arange(3, dtype=">i4")
    found = [
        (one.numpy(), int(label)) for one, label in sources.dataset((x, y))
    ]
    assert found == [(b"a", 0), (b"b", 1), (b"\xc3\xa9", 2)]


def test_batches_of_two_structures_are_refused():
    x, y = nets.inputs(4), nets.labels(4)
    for first, second in (((x, y), x), ({"a": x}, {"b": x})):
        with pytest.raises(ValueError, match="`dataset` must have batches of"):
            sources.dataset(Sliced(first, second))
