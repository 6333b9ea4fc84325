"""Generalists of many kinds, and inputs for them."""

import keras
import numpy as np

import kdtf

CLASSES = 7
layers = keras.layers


def inputs(shape=(5,), count=6, seed=0):
    """`[count, *shape]` float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *shape)).astype("float32")


def randomised(model, seed=1):
    """The model with random weights everywhere: biases are 0 at first."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.uniform(0.2, 1.2, weight.shape)  # variances are positive
        if "kernel" in weight.path:
            value -= 0.7
        weight.assign(value)
    return model


def dense(**options):
    return layers.Dense(CLASSES, **options)


def sequential():
    hidden = layers.Dense(4, "tanh")
    return keras.Sequential([keras.Input((5,)), hidden, dense()])


def without_bias():
    head = dense(use_bias=False, kernel_regularizer="l2")
    return keras.Sequential([keras.Input((5,)), head])


def images():
    """Convolution, normalisation, dropout, Flatten; mixed precision."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x = given = keras.Input((4, 4, 1))
        for layer in (
            layers.Conv2D(3, 2, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            dense(),
            layers.Activation("linear", dtype="float32"),
        ):
            x = layer(x)
        return keras.Model(given, x)
    finally:
        keras.config.set_dtype_policy("float32")


def residual():
    x = given = keras.Input((5,))
    return keras.Model(given, dense()(x + layers.Dense(5, "relu")(x)))


def nested():
    """The head at the end of a model in a model; one that is used twice."""
    twice = keras.Sequential([keras.Input((5,)), layers.Dense(5, "relu")])
    x = given = keras.Input((5,))
    head = keras.Sequential([keras.Input((5,)), layers.Dense(4), dense()])
    return keras.Model(given, head(twice(twice(x))))


def two_inputs():
    """A dict of inputs, and a layer that both share."""
    a, b = (keras.Input((5,), name=name) for name in "ab")
    shared = layers.Dense(3, "tanh")
    x = layers.Concatenate()([shared(a), shared(b)])
    return keras.Model({"a": a, "b": b}, dense()(x))


def normalised():
    """State beside the weights: what `adapt` computed."""
    layer = layers.Normalization()
    layer.adapt(9 * inputs(count=50) + 4)
    return keras.Sequential([keras.Input((5,)), layer, dense()])


def words():
    """A vocabulary, which is no weight."""
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(["yes", "no", "maybe"])
    return keras.Sequential([keras.Input((), dtype="string"), lookup, dense()])


def cut():
    """What is left of a classifier without its softmax."""
    classifier = keras.Sequential(
        [keras.Input((5,)), dense(), layers.Softmax()]
    )
    return kdtf.logits_of(classifier)


def low_rank():
    model = sequential()
    for layer in model.layers:
        layer.enable_lora(2)
    return model


def compiled():
    """Its loss cannot be found by its name."""
    model = sequential()
    model.compile("sgd", lambda y, z: keras.ops.mean(z))
    return model


def of_dtype(dtype):
    given = keras.Input((5,))
    return keras.Model(given, dense(dtype=dtype)(given))


ALL = {
    "Sequential": sequential,
    "no bias": without_bias,
    "images": images,
    "residual": residual,
    "nested": nested,
    "two inputs": two_inputs,
    "adapted": normalised,
    "words": words,
    "logits_of": cut,
    "LoRA": low_rank,
    "compiled": compiled,
    "bfloat16": lambda: of_dtype("bfloat16"),
    "float16": lambda: of_dtype("float16"),
    "float64": lambda: of_dtype("float64"),
}


def of_kind(kind):
    """A built generalist with random weights, and a batch of its inputs."""
    model = ALL[kind]()
    if kind != "adapted":
        randomised(model)
    x = inputs((4, 4, 1) if kind == "images" else (5,))
    if kind == "two inputs":
        x = {"a": x, "b": x[::-1].copy()}
    if kind == "words":
        x = np.array(["no", "yes", "no", "perhaps", "maybe", "yes"])
        x = keras.ops.convert_to_tensor(x)
    return model, x
