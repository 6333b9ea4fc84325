"""A random forest, and a search over T: rows of `benchmarks.real_models`."""

import pickle

import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets, ensemble

import kdtf
from benchmarks.real_models import base
from trainers.data import digits


class Forest(base.Row):
    """scikit-learn's random forest teaches a net."""

    title = "random forest to a net"
    what = (
        "scikit-learn's forest of 200 trees, `numpy_teacher` and "
        "`logits_from_probabilities`, to 64-64-2 units with normalisation; its "
        "breast cancer table of 30 columns, batch 32; all logits stored"
    )
    ways = (
        base.KDTF,
        base.STORED,
        base.PLAIN,
        base.PEER,
    )
    steps = 100
    fingerprint = "200 trees, seed 0"

    def prepare(self):
        x, y = datasets.load_breast_cancer(return_X_y=True)
        self.save(x=x.astype(np.float32), y=y.astype(np.int32))
        forest = ensemble.RandomForestClassifier(200, random_state=0)
        with open(self.folder / "forest.pickle", "wb") as file:
            pickle.dump(forest.fit(x, y), file)

    def teacher(self):
        with open(self.folder / "forest.pickle", "rb") as file:
            forest = pickle.load(file)
        return kdtf.numpy_teacher(
            lambda x: kdtf.logits_from_probabilities(forest.predict_proba(x)),
            shape=(2,),
        )

    def student(self):
        normalisation = keras.layers.Normalization(name="normalisation")
        normalisation.adapt(self.load()["x"])
        return keras.Sequential(
            [
                keras.Input((30,), name="columns"),
                normalisation,
                keras.layers.Dense(64, "relu"),
                keras.layers.Dense(64, "relu"),
                keras.layers.Dense(2),
            ]
        )

    def batches(self):
        arrays = self.load()
        data = tf.data.Dataset.from_tensor_slices((arrays["x"], arrays["y"]))
        return data.batch(32, drop_remainder=True)


class Tuner(base.Row):
    """KerasTuner searches for the best T."""

    title = "KerasTuner over T"
    what = (
        "`GridSearch` over T of 1, 4 and 16 on a hypermodel that builds a "
        "`kdtf.Distiller`; scikit-learn's digits, 64-256-256-10 units to "
        "64-32-10, batch 32, two epochs a trial; a step's time has its share "
        "of compiling and of checkpoints"
    )
    needs = ("keras_tuner",)
    ways = (
        base.KDTF,
        base.NO_XLA,
        base.PLAIN,
        base.PEER,
    )
    steps = 3 * 2 * 28
    temperatures = (1.0, 4.0, 16.0)

    def prepare(self):
        data = digits.load()
        images = data.train_images.reshape(-1, 64).astype(np.float32) / 16
        self.save(x=images, y=data.train_labels)
        self.train_teacher(_dense(256, 256), 10)

    def student(self):
        return _dense(32)

    def batches(self):
        arrays = self.load()
        cases = (arrays["x"], arrays["y"].astype(np.int32))
        data = tf.data.Dataset.from_tensor_slices(cases)
        return data.batch(32, drop_remainder=True)

    def data(self, way=base.KDTF):
        return self.batches()

    def trainer(self, way):
        return lambda: self._search(way)

    def trained(self):
        best = self._search(base.KDTF).get_best_models()[0]
        history = best.fit(self.data(), epochs=3, verbose=0).history
        return best, history["loss"]

    def _search(self, way):
        import keras_tuner

        def hypermodel(values):
            # An attribute of this object alone: `compiled` reads it.
            self.temperature = values.Choice("temperature", self.temperatures)
            return self.compiled(way)

        tuner = keras_tuner.GridSearch(
            hypermodel,
            objective="val_accuracy",
            directory=self.folder,
            project_name=str(self.ways.index(way)),
            overwrite=True,
        )
        data = self.data()
        tuner.search(data, validation_data=data, epochs=2, verbose=0)
        return tuner


def _dense(*hidden):
    return keras.Sequential(
        [keras.Input((64,), name="pixels")]
        + [keras.layers.Dense(units, "relu") for units in hidden]
        + [keras.layers.Dense(10)]
    )
