"""What a row of `benchmarks.real_models` is, and who trains its student."""

import pathlib

import keras
import numpy as np

import kdtf
from benchmarks import libraries, timing

KDTF = "kdtf"
STORED = "kdtf, stored"
PLAIN = "plain Keras"
PEER = "`keras.distillation`"
_LIBRARIES = {KDTF: libraries.KDTF, PEER: libraries.KERAS_BEST}


class Row:
    """A student of a teacher, on data.

    A process makes one for itself, in a folder that all processes of the row
    share.

    Attributes:
      title: str, which architectures.
      what: str, what was run, in a sentence.
      needs: tuple of the packages that it needs beside those of the trainers.
      ways: tuple of those who train the student.
      steps: int, the steps of a timing.
      temperature: float, T.
      top_k: int or None, how many of a word's or case's logits are stored.
      fingerprint: str or None, of a teacher that is no Keras model.
    """

    title = ""
    what = ""
    needs: tuple = ()
    ways: tuple = (KDTF, PLAIN, PEER)
    steps = 20
    temperature = 2.0
    top_k: int | None = None
    fingerprint: str | None = None

    def __init__(self, folder, **sources):
        """Uses the folder, and the files of data sets.

        Args:
          folder: path of a folder, which is there.
          **sources: `data_dir` and `manual_dir`, paths or None.
        """
        self.folder = pathlib.Path(folder)
        self.sources = sources

    def prepare(self):
        """Writes the teacher and the data into the folder, once."""
        raise NotImplementedError

    def student(self):
        """A new `keras.Model` that returns logits."""
        raise NotImplementedError

    def teacher(self):
        """The teacher that `prepare` has written."""
        path = self.folder / "teacher.keras"
        return keras.saving.load_model(path, compile=False)

    def batches(self):
        """A `tf.data.Dataset` of batches `(x, y)` or `(x, y, weights)`."""
        raise NotImplementedError

    def data(self, way=KDTF):
        """A `tf.data.Dataset` of `steps` batches, for one who trains."""
        batches = self.batches()
        if way == STORED:
            batches = self._store().join(batches)
        return timing.without_autotune(batches.repeat().take(self.steps))

    def compiled(self, way):
        """A compiled model of one who trains; `fit` trains a new student."""
        student, optimizer = self.student(), keras.optimizers.Adam(1e-3)
        if way == PLAIN:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            student.compile(optimizer, loss=loss, metrics=["accuracy"])
            return student
        teacher = None if way == STORED else self.teacher()
        library = _LIBRARIES.get(way, libraries.KDTF)
        distiller = library.distiller(student, teacher, self.temperature)
        library.compile(distiller, optimizer, metrics=["accuracy"])
        return distiller

    def trainer(self, way):
        """A function that trains for `steps` further steps."""
        model, data = self.compiled(way), self.data(way)
        return lambda: model.fit(data, shuffle=False, verbose=0)

    def trained(self):
        """A `Distiller` after three epochs, and the loss in each of them."""
        distiller = self.compiled(KDTF)
        history = distiller.fit(self.data(), epochs=3, shuffle=False, verbose=0)
        return distiller, history.history["loss"]

    def save(self, **arrays):
        """Writes the data of `load`."""
        np.savez(self.folder / "data.npz", **arrays)

    def load(self):
        """The arrays that `prepare` has saved, by name."""
        with np.load(self.folder / "data.npz") as arrays:
            return dict(arrays)

    def _store(self):
        directory = self.folder / "soft_targets"
        return kdtf.SoftTargets.write(
            directory,
            self.teacher(),
            self.batches(),
            fingerprint=self.fingerprint,
            top_k=self.top_k,
            temperature=self.temperature,
            verbose=0,
        )


def train_teacher(model, data, epochs):
    """Trains a teacher on labels for a moment; it returns logits."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(data, epochs=epochs, shuffle=False, verbose=0)
