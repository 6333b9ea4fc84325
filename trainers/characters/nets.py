"""One arm: a convolutional net, its training, and the result."""

import dataclasses
import math

import keras
import numpy as np

from trainers.characters import views
from trainers.core import results, strategies, training

_AT_ONCE = 1000  # cases that are predicted at a time


@dataclasses.dataclass(frozen=True)
class Arm:
    """What defines an arm; the same arm and seed give the same net.

    Attributes:
      name: "teacher", "labels" or "distilled".
      width: int, channels of the first convolution.
      learning_rate: float, Adam's at the start; falls to 0 along a cosine.
      epochs: int.
      batch_size: int.
      augmentation: float, see `views`.
      dropout: float, share of the last channels that are dropped.
      l2: float, weight of the squared kernels in the loss.
      temperature: float.
      soft_weight: float; 0 for an arm that learns from labels alone.
      hard_weight: float.
      teacher: the `Arm` of its teacher, of the same seed; None without one.
    """

    name: str
    width: int
    learning_rate: float
    epochs: int
    batch_size: int
    augmentation: float
    dropout: float = 0.0
    l2: float = 0.0
    temperature: float = 1.0
    soft_weight: float = 0.0
    hard_weight: float = 1.0
    teacher: "Arm | None" = None

    def directory_name(self):
        """A name that no other arm has, and that a reader understands."""
        return f"{self.name}-{self.width}-{training.digest(self)}"


def build_net(arm, size, classes, seed):
    """Three convolutions with BatchNorm, a mean over the image, and logits.

    Students of one seed and width start from the same weights, so that their
    comparison is a paired one.

    Args:
      arm: an `Arm`.
      size: int, height and width of a view.
      classes: int.
      seed: int.

    Returns:
      A built `keras.Model`, `[batch, size, size, 1]` to `[batch, classes]`.
    """
    seeds = np.random.SeedSequence([seed, arm.width]).generate_state(5)
    seeds = iter(int(s) for s in seeds // 2)
    layers, regularizer = keras.layers, None
    if arm.l2:
        regularizer = keras.regularizers.L2(arm.l2)
    inputs = x = keras.Input((size, size, 1), name="views")
    for channels in (arm.width, 2 * arm.width, 4 * arm.width):
        x = layers.Conv2D(
            channels,
            3,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(next(seeds)),
            kernel_regularizer=regularizer,
        )(x)
        # Of the last hundred steps: a thousandth would outlast a short run.
        x = layers.BatchNormalization(momentum=0.97)(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(arm.dropout, seed=next(seeds))(x)
    logits = layers.Dense(
        classes,
        kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
        kernel_regularizer=regularizer,
    )(x)
    return keras.Model(inputs, logits, name=arm.name)


def multiply_adds(net):
    """int, of a prediction of a net of `build_net`."""
    return sum(
        math.prod(layer.kernel.shape)
        # A dense layer's kernel is used once, a convolution's at each place.
        * math.prod(layer.output.shape[1:-1])
        for layer in net.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
    )


def train(arm, data, seed, directory, *, teacher, checkpoint_every):
    """Trains an arm, resumes a killed training, or loads the result.

    Args:
      arm: an `Arm`.
      data: a `trainers.data.images.SplitImages`, its images twice as high and
        wide as views.
      seed: int.
      directory: `pathlib.Path` of this arm and seed.
      teacher: function without arguments to its trained `keras.Model`; not
        called if the result is there, or the arm has none.
      checkpoint_every: int, epochs between two checkpoints.

    Returns:
      A `results.Result` with the logits of the test cases.
    """
    size = data.train_images.shape[1] // 2
    with strategies.scope():
        net = build_net(arm, size, data.classes, seed)

    def train_it():
        model = training.compiled_distiller(net, arm, _steps(arm, data))
        if arm.teacher:
            model.set_teacher(teacher())
        state = _fit(model, arm, data, seed, directory, checkpoint_every)
        tested = predict(net, views.plain(data.test_images, data.white))
        results.save(net, state, directory, eval_logits=tested)

    return results.of(net, directory, train_it)


def _fit(model, arm, data, seed, directory, checkpoint_every):
    held_out = views.plain(data.held_out_images, data.white)

    def batches(first_step, last_step):
        return views.of_cases(
            data.train_images,
            data.train_labels,
            white=data.white,
            augmentation=arm.augmentation,
            batch_size=arm.batch_size,
            seed=seed,
            first_step=first_step,
            last_step=last_step,
        )

    def held_out_accuracy():
        choices = predict(model.student, held_out).argmax(-1)
        return {
            "held_out_accuracy": float(np.mean(choices == data.held_out_labels))
        }

    return training.fit(
        model,
        batches,
        directory,
        steps=_steps(arm, data),
        epochs=arm.epochs,
        checkpoint_every=checkpoint_every,
        evaluate=held_out_accuracy,
        title=f"seed{seed} {arm.directory_name()}",
        shown=("held_out_accuracy",),
    )


def _steps(arm, data):
    return len(data.train_labels) // arm.batch_size


def predict(net, inputs):
    """The net's logits `[cases, classes]` as a float32 array."""
    parts = np.array_split(inputs, max(1, len(inputs) // _AT_ONCE))
    return np.concatenate([net(p, training=False).numpy() for p in parts])
