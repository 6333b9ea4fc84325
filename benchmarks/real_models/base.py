"""What a row of `benchmarks.real_models` is, and who trains its student."""

import pathlib

import keras
import numpy as np

import kdtf
from benchmarks import timing

KDTF = "kdtf"
STORED = "kdtf, from stored soft targets"
NO_XLA = "kdtf, `jit_compile=False`"
PLAIN = "plain Keras"
PEER = "`keras.distillation`"


class Row:
    """A student of a teacher, on data.

    A process makes one for itself, in a folder that all processes of the row
    share.

    Attributes:
      title: str, which architectures.
      what: str, what was run.
      needs: tuple of the packages that it needs beside those of the trainers.
      ways: tuple of those who train the student.
      steps: int, the steps of a timing.
      temperature: float, T.
      metrics: what `compile` is given.
      top_k: int or None, how many of a word's or case's logits are stored.
      fingerprint: str or None, of a teacher that is no Keras model.
      litert: whether the student is also exported to LiteRT, in int8.
    """

    title = ""
    what = ""
    needs: tuple = ()
    ways: tuple = (KDTF, PLAIN, PEER)
    steps = 20
    temperature = 2.0
    metrics: tuple | None = ("accuracy",)
    top_k: int | None = None
    fingerprint: str | None = None
    litert = False

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

    def hints(self):
        """The `kdtf.Hint`s."""
        return []

    def labels_loss(self):
        """What plain Keras minimises, and `keras.distillation` on labels."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def peer_losses(self):
        """What `keras.distillation` minimises on the teacher's outputs."""
        return keras.distillation.LogitsDistillation(
            self.temperature, keras.losses.KLDivergence()
        )

    def as_exported(self, student):
        """A model that gives the logits that the export should give."""
        return student

    def compiled(self, way):
        """A compiled model of one who trains; `fit` trains a new student."""
        model = student = self.student()
        losses = {"loss": self.labels_loss()}
        if way == PEER:
            model = keras.distillation.Distiller(
                self.teacher(), student, self.peer_losses()
            )
        elif way != PLAIN:
            model, losses = self._distiller(student, way), {}
        metrics = self.metrics and list(self.metrics)
        xla = {"jit_compile": False} if way == NO_XLA else {}
        optimizer = keras.optimizers.Adam(1e-3)
        model.compile(optimizer, metrics=metrics, **losses, **xla)
        return model

    def trainer(self, way):
        """A function that trains for `steps` further steps."""
        model, data = self.compiled(way), self.data(way)
        return lambda: model.fit(data, shuffle=False, verbose=0)

    def trained(self):
        """A `Distiller` after three epochs, and the loss in each of them."""
        distiller = self.compiled(KDTF)
        history = distiller.fit(self.data(), epochs=3, shuffle=False, verbose=0)
        return distiller, history.history["loss"]

    def train_teacher(self, model, epochs, batches=None):
        """Trains a teacher on labels for a moment, and writes it.

        Args:
          model: `keras.Model` that returns logits.
          epochs: int.
          batches: `tf.data.Dataset`, or None for all of `batches`.
        """
        batches = self.batches() if batches is None else batches
        model.compile(keras.optimizers.Adam(1e-3), self.labels_loss())
        model.fit(batches, epochs=epochs, shuffle=False, verbose=0)
        model.save(self.folder / "teacher.keras")

    def save(self, **arrays):
        """Writes the data of `load`."""
        np.savez(self.folder / "data.npz", **arrays)

    def load(self):
        """The arrays that `prepare` has saved, by name."""
        with np.load(self.folder / "data.npz") as arrays:
            return dict(arrays)

    def _distiller(self, student, way):
        hints = self.hints()
        return kdtf.Distiller(
            student,
            None if way == STORED else self.teacher(),
            temperature=self.temperature,
            soft_weight=0.5,
            hard_weight=0.5,
            **({"hints": hints} if hints else {}),
        )

    def _store(self):
        return kdtf.SoftTargets.write(
            self.folder / "soft_targets",
            self.teacher(),
            self.batches(),
            fingerprint=self.fingerprint,
            top_k=self.top_k,
            temperature=self.temperature,
            verbose=0,
        )
