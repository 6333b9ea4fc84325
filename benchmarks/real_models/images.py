"""EfficientNet to MobileNet: a row of `benchmarks.real_models`."""

import keras
import numpy as np
import tensorflow as tf

import kdtf
from benchmarks.real_models import base
from trainers.data import digits

SIZE = 64


class Images(base.Row):
    """EfficientNetB0 teaches MobileNetV3Small in mixed_bfloat16."""

    title = "EfficientNetB0 to MobileNetV3Small"
    what = (
        "`keras.applications`, scikit-learn's digits as 64 x 64 x 3, batch 16; "
        "shifts and brightness in the pipeline, zoom and translation as layers "
        "of the student, which computes in mixed_bfloat16; both end in a "
        "softmax, cut by `logits_of`"
    )
    steps = 8
    temperature = 4.0

    def prepare(self):
        data = digits.load()
        self.save(images=data.train_images, labels=data.train_labels)
        teacher = keras.applications.EfficientNetB0(
            weights=None, input_shape=(SIZE, SIZE, 3), classes=10
        )
        _follow_quickly(teacher)
        batches = self.batches().take(56)
        self.train_teacher(kdtf.logits_of(teacher), 2, batches)

    def as_exported(self, student):
        # Without rounding to bfloat16 in between.
        exported = self.student("float32")
        exported.set_weights(student.get_weights())
        return exported

    def student(self, precision="mixed_bfloat16"):
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            net = keras.applications.MobileNetV3Small(
                weights=None, input_shape=(SIZE, SIZE, 3), classes=10
            )
            _follow_quickly(net)
            return keras.Sequential(
                [
                    keras.Input((SIZE, SIZE, 3)),
                    keras.layers.RandomZoom(0.1, fill_mode="constant"),
                    keras.layers.RandomTranslation(
                        0.1, 0.1, fill_mode="constant"
                    ),
                    kdtf.logits_of(net),
                ]
            )
        finally:
            keras.config.set_dtype_policy(policy)

    def batches(self):
        arrays = self.load()
        cases = (arrays["images"], arrays["labels"].astype(np.int32))
        data = tf.data.Dataset.from_tensor_slices(cases).repeat().enumerate()
        return data.map(_augmented).batch(16, drop_remainder=True)


def _follow_quickly(net):
    """Lets the means of batch normalisation follow within a few steps."""
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8


def _augmented(index, case):
    """An image of 8 x 8 as 64 x 64 x 3, shifted, of another brightness."""
    image, label = case
    seed = tf.stack([index, 0])
    image = tf.cast(image[..., None], tf.float32) * (255 / 16)
    image = tf.image.resize(image, (SIZE + 8, SIZE + 8))
    image = tf.image.stateless_random_crop(image, (SIZE, SIZE, 1), seed)
    image = tf.image.stateless_random_brightness(image, 32.0, seed)
    return tf.repeat(tf.clip_by_value(image, 0.0, 255.0), 3, axis=-1), label
