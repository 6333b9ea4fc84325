"""Residual nets, by hints and of two outputs: rows of `real_models`."""

import keras
import numpy as np
import tensorflow as tf

import kdtf
from benchmarks.real_models import base
from trainers.data import digits

SIZE = 16
DIGIT, BOTH = {"digit": 10}, {"digit": 10, "odd": 2}


class Outputs(base.Row):
    """A residual net of two outputs teaches a thinner one."""

    title = "residual net of two outputs"
    what = (
        "three residual blocks of 32 channels with batch normalisation to "
        "those of 8; a dict of two outputs, which digit and whether it is odd; "
        "scikit-learn's digits as 16 x 16, batch 32"
    )
    heads = BOTH
    metrics = None  # `keras.distillation` takes none of single outputs

    def prepare(self):
        data = digits.load()
        self.save(images=data.train_images, labels=data.train_labels)
        teacher = _net(32, self.heads)
        self.train_teacher(teacher, 3)

    def student(self):
        return _net(8, self.heads)

    def batches(self):
        arrays = self.load()
        images = arrays["images"][..., None].astype(np.float32) / 16
        images = tf.image.resize(images, (SIZE, SIZE)).numpy()
        labels = arrays["labels"].astype(np.int32)
        y = {"digit": labels, "odd": labels % 2}
        y = {name: y[name] for name in self.heads}
        if len(y) == 1:
            (y,) = y.values()
        data = tf.data.Dataset.from_tensor_slices((images, y))
        return data.batch(32, drop_remainder=True)

    def labels_loss(self):
        return {name: super(Outputs, self).labels_loss() for name in BOTH}

    def peer_losses(self):
        each = {name: keras.losses.KLDivergence() for name in BOTH}
        return keras.distillation.LogitsDistillation(self.temperature, each)


class Hints(Outputs):
    """A residual net teaches a thinner one its hidden features, too."""

    title = "residual net, features matched"
    what = (
        "the same nets of one output; what the second of three blocks gives is "
        "matched by MSE, with a projection from 8 channels to 32"
    )
    heads = DIGIT
    metrics = ("accuracy",)
    matched = "block_2"

    def hints(self):
        return [kdtf.Hint(self.matched, self.matched, loss="mse")]

    def labels_loss(self):
        return base.Row.labels_loss(self)

    def peer_losses(self):
        features = keras.distillation.FeatureDistillation(
            "mse",
            teacher_layer_name=self.matched,
            student_layer_name=self.matched,
        )
        return [base.Row.peer_losses(self), features]


def _net(width, heads):
    x = inputs = keras.Input((SIZE, SIZE, 1), name="image")
    x = keras.layers.Conv2D(width, 3, padding="same")(x)
    for block in (1, 2, 3):
        branch = keras.layers.BatchNormalization()(x)
        branch = keras.layers.ReLU()(branch)
        branch = keras.layers.Conv2D(width, 3, padding="same")(branch)
        x = keras.layers.Add(name=f"block_{block}")([x, branch])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    logits = {
        name: keras.layers.Dense(classes, name=name)(x)
        for name, classes in heads.items()
    }
    if len(logits) == 1:
        (logits,) = logits.values()
    return keras.Model(inputs, logits)
