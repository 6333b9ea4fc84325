"""The tasks that `benchmarks.faults` disturbs: store, trainer, export, fit."""

import contextlib
import hashlib
import json
import os
import re
import runpy
import sys

import h5py
import keras
import numpy as np
import tensorflow as tf

# The forks run it; importing it there would take each of them a second.
import trainers.mnist.__main__  # noqa: F401
from benchmarks import fault_trials
from benchmarks.fault_trials import Victim
from kdtf import Distiller, SoftTargets, callbacks, export_student

_FEATURES, _CLASSES = 5, 4
_SHA256 = re.compile("[0-9a-f]{64}")


class Store(Victim):
    """`SoftTargets.write`: two views in six shards each, many small batches."""

    name = "store"

    def run(self, folder):
        """Writes the store."""
        SoftTargets.write(
            folder / "store",
            _net(),
            _data(1600).batch(4),
            shards=6,
            views=2,
            augment=lambda x, seed: x + tf.cast(seed[1], x.dtype),
            verbose=0,
        )

    def use(self, folder):
        """Opens the store and verifies it."""
        SoftTargets(folder / "store").verify()

    def state(self, folder):
        """All bytes."""
        return {path.name: _bytes(path) for path in fault_trials.files(folder)}


class Trainer(Victim):
    """`python -m trainers.mnist --tiny --dataset=digits`."""

    name = "trainer"

    def run(self, folder):
        """Runs the command, with a checkpoint an epoch."""
        # Not this checkout's commit, which may change meanwhile; and no git
        # that a full disk could make leave a lock in it.
        os.environ["GIT_DIR"] = os.devnull
        sys.argv = [
            "trainers.mnist",
            "--tiny",
            "--dataset=digits",
            f"--run_dir={folder / 'run'}",
            "--checkpoint_every=1",
        ]
        try:
            runpy.run_module("trainers.mnist", run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise

    def use(self, folder):
        """Runs the command again, and verifies the soft targets of the run."""
        self.run(folder)
        SoftTargets(folder / "run" / "seed0" / "soft_targets").verify()

    def state(self, folder):
        """All files: arrays by their values, figures without times."""
        found = _hashes(folder)
        export = folder / "run" / "export"
        if export.exists():
            found = {k: v for k, v in found.items() if "/export/" not in k}
            inputs = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 64)
            found["run/export"] = _served(export, inputs)
        return found


class Export(Victim):
    """`kdtf.export_student` over an export that is being served."""

    name = "export"
    always_readable = True

    def start(self, folder):
        """Exports another student."""
        export_student(_net(seed=1), folder / "export")

    def run(self, folder):
        """Exports the student."""
        export_student(_net(), folder / "export", overwrite=True)

    def use(self, folder):
        """Loads the export, and nothing else."""
        tf.saved_model.load(str(folder / "export"))

    def state(self, folder):
        """What the export answers."""
        inputs = _examples(8)[0]
        return {"export": _served(folder / "export", inputs)}


class Fit(Victim):
    """`Distiller.fit` with dropout, a live teacher, and a backup an epoch."""

    name = "fit"
    _epochs, _steps = 20, 5

    def run(self, folder):
        """Trains from the backup to the last epoch."""
        self._train(folder)

    def make_files(self, folder):
        """Trains, and stops half way."""
        half = self._epochs // 2

        class Stopped(Exception):
            pass

        def stop(epoch, logs):
            if epoch == half:
                raise Stopped

        with contextlib.suppress(Stopped):
            self._train(
                folder, keras.callbacks.LambdaCallback(on_epoch_begin=stop)
            )

    def state(self, folder):
        """Weights, optimizer and seeds at the end."""
        return _hashes(folder / "backup" / "backup")

    def _train(self, folder, *others):
        student = keras.Sequential(
            [
                keras.Input((_FEATURES,)),
                keras.layers.Dense(16, "relu", kernel_initializer=_init(2)),
                keras.layers.Dropout(0.3, seed=0),
                keras.layers.Dense(_CLASSES, kernel_initializer=_init(3)),
            ]
        )
        distiller = Distiller(student, _net(), temperature=2.0)
        distiller.compile("adam")
        backup = callbacks.BackupAndRestore(
            folder / "backup", delete_checkpoint=False
        )
        distiller.fit(
            *_examples(8 * self._steps),
            batch_size=8,
            shuffle=False,
            epochs=self._epochs,
            verbose=0,
            callbacks=[backup, *others],
        )


VICTIMS = {
    victim.name: victim for victim in (Store(), Trainer(), Export(), Fit())
}


def _init(seed):
    return keras.initializers.GlorotUniform(seed)


def _net(seed=0):
    return keras.Sequential(
        [
            keras.Input((_FEATURES,), name="x"),
            keras.layers.Dense(_CLASSES, kernel_initializer=_init(seed)),
        ]
    )


def _examples(count):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, _FEATURES)).astype(np.float32)
    return x, draw.integers(0, _CLASSES, count).astype(np.int32)


def _data(count):
    return tf.data.Dataset.from_tensor_slices(_examples(count))


def _served(export, inputs):
    """Hash of what a SavedModel returns."""
    serve = tf.saved_model.load(str(export)).signatures["serving_default"]
    [name] = serve.structured_input_signature[1]
    outputs = serve(**{name: tf.constant(inputs)})
    return _hash(*(outputs[key].numpy().tobytes() for key in sorted(outputs)))


def _hashes(folder):
    """Dict from the name of each file to a hash of what it says."""
    return {
        str(path.relative_to(folder)): _READERS.get(path.suffix, _bytes)(path)
        for path in fault_trials.files(folder)
    }


def _bytes(path):
    return _hash(path.read_bytes())


def _json_without_times(path):
    """Nor checksums, which may be of times."""

    def keep(pairs):
        return {
            name: value
            for name, value in pairs
            if "seconds" not in name and not _is_checksum(value)
        }

    content = json.loads(path.read_text(), object_pairs_hook=keep)
    return _hash(json.dumps(content).encode())


def _is_checksum(value):
    return isinstance(value, str) and bool(_SHA256.fullmatch(value))


def _hdf5_arrays(path):
    """HDF5 also has bytes that mean nothing, such as gaps."""
    found = []
    with h5py.File(path) as file:

        def add(name, item):
            if isinstance(item, h5py.Dataset):
                found.append(f"{name} {item.dtype} {item.shape}".encode())
                found.append(item[()].tobytes())

        file.visititems(add)
    return _hash(*found)


def _numpy_array(path):
    array = np.load(path)
    return _hash(f"{array.dtype} {array.shape}".encode(), array.tobytes())


_READERS = {
    ".json": _json_without_times,
    ".h5": _hdf5_arrays,
    ".npy": _numpy_array,
}


def _hash(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
