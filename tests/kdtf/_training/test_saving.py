"""A Distiller is saved without its teacher and goes on where it stood."""

import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets


def new_distiller(teacher=None, dropout=0.5):
    distiller = kdtf.Distiller(
        nets.deep(0, dropout=dropout),
        teacher,
        temperature=2.0,
        name="distiller",
    )
    distiller.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"])
    return distiller


def test_hdf5_is_refused(tmp_path):
    """Keras would write a file that it does not load: no such layer."""
    with pytest.raises(ValueError, match=r"`filepath` must end in .keras.*h5"):
        new_distiller().save(tmp_path / "d.h5")
    assert not any(tmp_path.iterdir())


def batches(epoch):
    """Data whose order is a function of the epoch."""
    order = np.random.default_rng(epoch).permutation(12)
    return tf.data.Dataset.from_tensor_slices(
        (nets.inputs()[order], nets.labels()[order])
    ).batch(4)


def train(distiller, first_epoch, last_epoch, callbacks=()):
    for epoch in range(first_epoch, last_epoch):
        distiller.fit(
            batches(epoch),
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,
            callbacks=list(callbacks),
        )


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_loaded_it_goes_on_as_if_it_had_never_stopped(tmp_path):
    teacher = nets.deep(7)
    whole = new_distiller(teacher)
    train(whole, 0, 4)
    first = new_distiller(teacher)
    train(first, 0, 2)
    first.temperature.assign(3.0)
    first.temperature.assign(2.0)
    first.save(tmp_path / "distiller.keras")
    second = keras.saving.load_model(tmp_path / "distiller.keras")
    second.set_teacher(teacher)
    train(second, 2, 4)
    assert_same(nets.values(whole.student), nets.values(second.student))
    assert_same(whole.optimizer.variables, second.optimizer.variables)


def test_hyperparameters_are_saved_as_they_stand(tmp_path):
    distiller = new_distiller()
    distiller.temperature.assign(7.0)
    distiller.hard_weight.assign(0.25)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert float(loaded.temperature) == 7.0
    assert float(loaded.hard_weight) == 0.25


@pytest.mark.slow
def test_the_file_holds_student_and_optimizer_only(tmp_path):
    teacher = nets.deep(7, width=977)  # a width found nowhere else
    distiller = new_distiller(teacher)
    train(distiller, 0, 1)
    distiller.save(tmp_path / "distiller.keras")
    sizes = []

    def add_size(_, item):
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size)

    with zipfile.ZipFile(tmp_path / "distiller.keras") as archive:
        config = archive.read("config.json")
        assert b'"units": 8' in config and b'"units": 977' not in config
        with h5py.File(archive.open("model.weights.h5")) as file:
            file.visititems(add_size)
    assert not any(size and size % 977 == 0 for size in sizes)
    student = sum(int(np.prod(w.shape)) for w in distiller.student.weights)
    optimizer = sum(
        int(np.prod(v.shape)) for v in distiller.optimizer.variables
    )
    # Beside them: three hyper-parameters, the dropout's seed, the metrics.
    assert 0 <= sum(sizes) - student - optimizer < 20


@pytest.mark.parametrize("teacher", (nets.deep, None))
def test_fit_before_set_teacher_raises(tmp_path, teacher):
    distiller = new_distiller(teacher(7) if teacher else None)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    expected = "`set_teacher" if teacher else "`y` must be"
    with pytest.raises(ValueError, match=rf"{expected}.*Received: "):
        loaded.fit(nets.inputs(), nets.labels(), verbose=0)


def test_saved_twice_without_a_teacher_it_still_awaits_it(tmp_path):
    new_distiller(nets.deep(7)).save(tmp_path / "once.keras")
    keras.saving.load_model(tmp_path / "once.keras").save(
        tmp_path / "twice.keras"
    )
    loaded = keras.saving.load_model(tmp_path / "twice.keras")
    with pytest.raises(ValueError, match="`set_teacher"):
        loaded.fit(nets.inputs(), nets.labels(), verbose=0)


def test_nothing_public_leads_to_the_teacher():
    teacher = nets.deep(7)
    distiller = new_distiller(teacher)
    owned = {id(v) for v in distiller.variables}
    assert owned.isdisjoint(id(v) for v in teacher.variables)
    for name in dir(distiller):
        if name == "losses":  # needs a forward pass
            continue
        value = getattr(distiller, name, None)
        children = value if isinstance(value, (list, tuple)) else [value]
        assert not any(child is teacher for child in children), name


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """Stops a run like a kill does, in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self._at, self._epoch = epoch, None

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._epoch == self._at and batch == 1:
            raise Killed


@pytest.mark.slow
def test_backup_and_restore_resumes_bit_for_bit(tmp_path):
    teacher = nets.deep(7)
    fixed = {"batch_size": 4, "epochs": 5, "shuffle": False, "verbose": 0}
    x, y = nets.inputs(), nets.labels()
    whole = new_distiller(teacher)
    whole.fit(x, y, **fixed)
    backup = str(tmp_path / "backup")
    with pytest.raises(Killed):
        new_distiller(teacher).fit(
            x,
            y,
            callbacks=[keras.callbacks.BackupAndRestore(backup), KillAt(3)],
            **fixed,
        )
    resumed = new_distiller(teacher)
    resumed.fit(
        x, y, callbacks=[keras.callbacks.BackupAndRestore(backup)], **fixed
    )
    assert_same(nets.values(whole.student), nets.values(resumed.student))
    assert_same(whole.optimizer.variables, resumed.optimizer.variables)


def test_weights_of_another_student_are_refused(tmp_path):
    new_distiller(dropout=0.5).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"has 3 variables.*Received: "):
        new_distiller(dropout=0.0).load_weights(tmp_path / "a.weights.h5")
