"""kdtf.callbacks: a backup is whole at any moment."""

import contextlib
import os
import random

import keras
import numpy as np
import pytest

import kdtf
from tests import backup_writer, disks, nets
from tests.processes import CONTEXT

EPOCHS = 5


class Killed(Exception):
    """In place of a kill."""


class KillIn(keras.callbacks.Callback):
    """Kills `fit` when an epoch begins."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._epoch:
            raise Killed


class Look(keras.callbacks.Callback):
    """Notes where `fit` goes on, and kills it there."""

    def on_epoch_begin(self, epoch, logs=None):
        self.found = epoch, int(self.model.optimizer.iterations)
        raise Killed


def make_model(kind):
    student = nets.deep(0, dropout=0.5)
    if kind == "keras":
        student.compile("adam", "sparse_categorical_crossentropy")
        return student
    distiller = kdtf.Distiller(student, nets.deep(7), temperature=2.0)
    distiller.compile("adam", steps_per_execution=2)
    return distiller


def fit(model, *callbacks):
    return model.fit(
        nets.inputs(),
        nets.labels(),
        batch_size=3,
        shuffle=False,
        epochs=EPOCHS,
        verbose=0,
        callbacks=list(callbacks),
    )


def backup(directory, **options):
    return kdtf.callbacks.BackupAndRestore(directory / "backup", **options)


def assert_same(ours, theirs):
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def resumed_at(directory):
    """Epoch and step at which Keras's own model goes on."""
    look = Look()
    with pytest.raises(Killed):
        fit(make_model("keras"), backup(directory), look)
    return look.found


@pytest.mark.slow
@pytest.mark.parametrize("delete", (True, False))
def test_a_distiller_resumes_bit_for_bit(tmp_path, delete):
    whole = make_model("kdtf")
    fit(whole)
    with pytest.raises(Killed):
        fit(make_model("kdtf"), backup(tmp_path), KillIn(3))
    assert os.listdir(tmp_path) == ["backup"]
    resumed = make_model("kdtf")
    history = fit(resumed, backup(tmp_path, delete_checkpoint=delete))
    assert history.epoch == [3, 4]
    assert_same(resumed, whole)
    assert os.listdir(tmp_path) == ([] if delete else ["backup"])
    if not delete:  # all is done, and the weights are there
        again = make_model("kdtf")
        assert fit(again, backup(tmp_path)).epoch == []
        assert_same(again, whole)


def test_any_model_resumes(tmp_path):
    with pytest.raises(Killed):
        fit(make_model("keras"), backup(tmp_path), KillIn(2))
    # An epoch is twelve cases, three at a time.
    assert resumed_at(tmp_path) == (2, 2 * 4)


@pytest.mark.slow
def test_backups_between_epochs(tmp_path):
    """Of the steps that the interrupted epoch had done, none is lost."""
    with pytest.raises(Killed):
        fit(make_model("keras"), backup(tmp_path, save_freq=3), KillIn(2))
    # Two epochs are eight steps, and the last backup is that of the sixth.
    assert resumed_at(tmp_path) == (1, 6)


class FullDisk(keras.callbacks.Callback):
    """The disk is full when an epoch ends, until `fit` does."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch
        self._full = contextlib.ExitStack()

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._epoch:
            self._full.enter_context(disks.full())

    def close(self):
        self._full.close()


def test_a_full_disk_is_named_and_leaves_the_last_backup(tmp_path):
    full = FullDisk(2)
    with pytest.raises(OSError) as raised, contextlib.closing(full):
        fit(make_model("keras"), full, backup(tmp_path))
    message = str(raised.value)
    assert message.startswith("`backup_dir` must be writable, on a disk with")
    assert str(tmp_path / "backup") in message and "too large" in message
    assert resumed_at(tmp_path) == (2, 2 * 4)


def test_a_full_disk_when_a_run_goes_on(tmp_path):
    with pytest.raises(Killed):
        fit(make_model("keras"), backup(tmp_path), KillIn(2))
    model = make_model("keras")
    with disks.full(), pytest.raises(OSError, match="`backup_dir` must be"):
        fit(model, backup(tmp_path))
    assert resumed_at(tmp_path) == (2, 2 * 4)


@pytest.mark.parametrize(
    "name", ("latest.weights.h5", "training_metadata.json", "checksums.json")
)
def test_a_backup_that_has_changed_is_refused(tmp_path, name):
    with pytest.raises(Killed):
        fit(make_model("keras"), backup(tmp_path), KillIn(1))
    [path] = tmp_path.rglob(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match="`backup_dir` must hold a backup as"):
        fit(make_model("keras"), backup(tmp_path))


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"`backup_dir` must.*thesis\.txt"):
        fit(make_model("keras"), backup(tmp_path))
    assert os.listdir(tmp_path / "backup") == ["thesis.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(ValueError, match=r"`backup_dir` must be a folder.*up,"):
        fit(make_model("keras"), backup(tmp_path))
    assert (tmp_path / "backup").read_text() == "precious"


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    """Ever and again: there is a backup, its weights and epoch belong together.

    With the callback of Keras, several of these kills are fatal.
    """
    draw = random.Random(0)
    before = 0
    for _ in range(12):
        ours, theirs = CONTEXT.Pipe()
        child = CONTEXT.Process(
            target=backup_writer.write, args=(tmp_path, theirs)
        )
        child.start()
        theirs.close()  # or a child that dies early would be waited for
        assert ours.recv() == "ready"
        child.join(draw.uniform(0, 0.3))
        assert child.is_alive()
        child.kill()
        child.join()
        look = Look()
        with pytest.raises(Killed):
            backup_writer.fit(tmp_path, look)
        epoch, iterations = look.found
        assert epoch > before and iterations == epoch * backup_writer.STEPS
        before = epoch


@pytest.mark.parametrize("killed", (True, False))
def test_a_second_fit_begins_with_its_own_first_epoch(tmp_path, killed):
    """What was restored told the first one where to go on."""
    if killed:
        with pytest.raises(Killed):
            fit(make_model("keras"), backup(tmp_path), KillIn(2))
    else:
        fit(make_model("keras"), backup(tmp_path, delete_checkpoint=False))
    model = make_model("keras")
    rest = [2, 3, 4] if killed else []
    assert fit(model, backup(tmp_path)).epoch == rest
    assert fit(model).epoch == list(range(EPOCHS))


@pytest.mark.slow
def test_a_second_fit_of_a_distiller_after_keras_own_callback(tmp_path):
    own = keras.callbacks.BackupAndRestore
    with pytest.raises(Killed):
        fit(make_model("kdtf"), own(tmp_path / "backup"), KillIn(2))
    distiller = make_model("kdtf")
    assert fit(distiller, own(tmp_path / "backup")).epoch == [2, 3, 4]
    assert fit(distiller).epoch == list(range(EPOCHS))
