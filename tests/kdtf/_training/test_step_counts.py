"""kdtf._training.step_counts: how many steps an execution has."""

import types

import keras
import pytest

import kdtf
from kdtf._training import step_counts
from tests import nets


def count(rows=1000, batch_size=4, callbacks=(), student=None, row_bytes=20):
    adapter = types.SimpleNamespace(
        rows=rows,
        batch_size=batch_size,
        bytes_a_row=row_bytes,
        num_batches=-(-rows // batch_size),
    )
    return step_counts.of_arrays(
        student or nets.linear(), adapter, callbacks=list(callbacks)
    )


def test_small_steps_are_taken_together():
    assert count() == 250  # an epoch
    # 4,000 batches: at least 4 executions of at most 1,024, of equal length.
    assert count(rows=16_000) == 1000
    assert count(rows=4) == 1


def test_an_execution_is_bounded_in_operations_and_bytes(monkeypatch):
    student = nets.linear()  # 24 weights
    monkeypatch.setattr(step_counts, "_OPERATIONS", 10 * 6 * 24 * 4)
    assert count(student=student) == 10
    assert count(student=student, batch_size=400, rows=4000) == 1
    monkeypatch.undo()
    monkeypatch.setattr(step_counts, "_BYTES", 5 * 4 * 20)
    assert count() == 5
    assert count(row_bytes=10**6) == 1


def test_entries_of_a_row_count(monkeypatch):
    monkeypatch.setattr(step_counts, "_OPERATIONS", 50 * 6 * 24 * 4)
    frames = keras.Sequential(
        [keras.Input((5, nets.FEATURES)), keras.layers.Dense(nets.CLASSES)]
    )
    assert frames.count_params() == 24
    assert count(student=frames) == 10


def test_a_student_that_is_not_built_does_not_tell_its_size():
    student = keras.Sequential([keras.layers.Dense(nets.CLASSES)])
    assert count(student=student) == 1
    student.build((None, nets.FEATURES))
    assert count(student=student) == 250


class OfEpochs(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        del epoch, logs


class OfBatches(keras.callbacks.Callback):
    def on_batch_end(self, batch, logs=None):
        del batch, logs


class OwnCheckpoint(keras.callbacks.ModelCheckpoint):
    pass


@pytest.mark.parametrize(
    "callback",
    (
        OfBatches(),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_train_batch_begin=print),
        keras.callbacks.LambdaCallback(on_train_batch_end=print),
        keras.callbacks.ModelCheckpoint("a.keras", save_freq=3),
        keras.callbacks.CallbackList([]),
        OwnCheckpoint("a.keras"),
    ),
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_look_at_batches_see_each(callback):
    assert count(callbacks=[OfEpochs(), callback]) == 1


def test_other_callbacks(tmp_path):
    callbacks = (
        OfEpochs(),
        keras.callbacks.EarlyStopping(),
        keras.callbacks.LambdaCallback(on_epoch_end=print),
        keras.callbacks.ModelCheckpoint("a.keras"),
        kdtf.callbacks.BackupAndRestore(str(tmp_path)),
    )
    assert count(callbacks=callbacks) == 250
    assert count(callbacks=[None]) == 250
