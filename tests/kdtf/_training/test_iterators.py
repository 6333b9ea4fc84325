"""Tests of iterators that end in a thread of their own."""

import gc
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import iterators


class _Slow:
    """Batches whose pipeline ends only when it is let, if not read on."""

    def __init__(self):
        self.may_end, self.has_ended = threading.Event(), threading.Event()
        x = tf.TensorSpec([2, 3])
        y = tf.TensorSpec([2], tf.int32)
        self.endless = tf.data.Dataset.from_generator(
            self._read, output_signature=(x, y)
        )

    def _read(self):
        try:
            while True:
                yield np.zeros([2, 3], np.float32), np.zeros([2], np.int32)
        finally:
            self.may_end.wait(60)
            self.has_ended.set()

    def ends_without_a_wait(self):
        """Whether nobody has waited for the end that comes now."""
        waited = self.has_ended.is_set()
        self.may_end.set()
        return self.has_ended.wait(60) and not waited


@pytest.fixture
def slow():
    data = _Slow()
    yield data
    data.may_end.set()


@pytest.fixture(scope="module")
def distiller():
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    distiller = kdtf.Distiller(
        student, temperature=1.0, soft_weight=0.0, hard_weight=1.0
    )
    distiller.compile("sgd", jit_compile=False)
    return distiller


def _assert_length(dataset, batches):
    return dataset.apply(tf.data.experimental.assert_cardinality(batches))


def test_an_iterator_that_takes_long_to_end_keeps_nobody_waiting(slow):
    iterator = iter(slow.endless)
    next(iterator)
    iterators.end_elsewhere(iterator)

    del iterator

    assert slow.ends_without_a_wait()


def test_it_goes_on_as_long_as_someone_holds_it():
    iterator = iter(tf.data.Dataset.range(2))
    iterators.end_elsewhere(iterator)

    assert [int(number) for number in iterator] == [0, 1]


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_a_run_does_not_wait_for_the_end_of_whole_epochs(
    distiller, slow, method
):
    getattr(distiller, method)(_assert_length(slow.endless, 4), verbose=0)

    assert slow.ends_without_a_wait()


def test_fit_does_not_wait_for_the_end_of_validation_data(distiller, slow):
    x, y = np.zeros([2, 3], np.float32), np.zeros([2], np.int32)

    distiller.fit(
        x, y, validation_data=_assert_length(slow.endless, 4), verbose=0
    )

    assert slow.ends_without_a_wait()


@pytest.mark.parametrize("batches", [2, 4])
def test_with_a_number_of_steps_an_iterator_ends_with_the_run(
    distiller, slow, batches
):
    slow.may_end.set()

    distiller.fit(
        _assert_length(slow.endless, 4), steps_per_epoch=batches, verbose=0
    )

    assert slow.has_ended.is_set()


def test_an_epoch_that_is_cut_short_ends_where_it_is_dropped(distiller, slow):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    slow.may_end.set()

    distiller.fit(
        _assert_length(slow.endless, 4), callbacks=[Stop()], verbose=0
    )
    gc.collect()  # Keras holds it in a cycle

    assert slow.has_ended.is_set()


def test_a_file_cache_that_is_not_finished_may_be_read_again(
    distiller, tmp_path
):
    data = tf.data.Dataset.from_tensor_slices(
        (np.zeros([8, 3], np.float32), np.zeros([8], np.int32))
    )
    data = data.batch(2).cache(str(tmp_path / "cache"))

    for _ in range(3):
        distiller.evaluate(data, steps=2, verbose=0)


def _ended(monkeypatch, expected, x, steps, ran):
    """The number of iterators that end elsewhere after `ran`, a function."""
    ended = []
    monkeypatch.setattr(iterators, "end_elsewhere", ended.append)
    ends = iterators.Ends()
    ends.expect("train", x, steps)
    ran(ends)
    assert len(ended) == expected


def test_batches_are_counted_to_the_last(monkeypatch):
    data = tf.data.Dataset.range(5)
    first, second = iter(data), iter(data)

    def run(steps, count, iterator=first):
        def ran(ends):
            for _ in range(count):
                ends.ran("train", iterator, steps)

        return ran

    _ended(monkeypatch, 0, data, None, run(1, 4))
    _ended(monkeypatch, 1, data, None, run(1, 5))
    _ended(monkeypatch, 1, data, None, run(3, 2))
    _ended(monkeypatch, 0, data, 5, run(1, 5))
    _ended(monkeypatch, 1, np.zeros([5]), None, run(1, 3))
    _ended(monkeypatch, 0, (n for n in "ab"), None, run(1, 3))
    _ended(monkeypatch, 0, data, None, run(1, 5, iterator=iter([1, 2])))

    def epochs(ends):
        for iterator in (first, second):
            for _ in range(5):
                ends.ran("train", iterator, 1)

    _ended(monkeypatch, 2, data, None, epochs)


def test_data_that_run_out_have_ended(monkeypatch):
    data = tf.data.Dataset.range(5).filter(lambda number: number > 2)
    iterator, other = iter(data), iter(data)

    def ran(ends):
        ends.ran("train", iterator, 1)
        ends.ran_out("train", other)
        ends.ran_out("train", iterator)
        ends.ran_out("train", iterator)

    _ended(monkeypatch, 1, data, None, ran)
