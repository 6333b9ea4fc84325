"""Small nets and data for the tests."""

import keras
import numpy as np

CLASSES, FEATURES, TAGS = 4, 5, 3


def linear(seed=0, **kwargs):
    """One dense layer: its gradients are derived in a line of numpy."""
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(
                CLASSES,
                kernel_initializer=keras.initializers.RandomNormal(seed=seed),
                **kwargs,
            ),
        ]
    )


def deep(seed=0, dropout=0.0, width=8):
    """A hidden layer, batch normalisation, and dropout where asked for."""
    initializer = keras.initializers.GlorotUniform
    layers = [
        keras.Input((FEATURES,)),
        keras.layers.Dense(
            width, "relu", kernel_initializer=initializer(seed=seed)
        ),
        keras.layers.BatchNormalization(),
    ]
    if dropout:
        layers.append(keras.layers.Dropout(dropout, seed=seed))
    layers.append(
        keras.layers.Dense(CLASSES, kernel_initializer=initializer(seed + 1))
    )
    return keras.Sequential(layers)


def inputs(count=12, seed=1):
    """`[count, FEATURES]` float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, FEATURES)).astype(np.float32)


def labels(count=12, seed=2, unlabelled=()):
    """`[count]` int32, -1 at the rows in `unlabelled`."""
    values = np.random.default_rng(seed).integers(0, CLASSES, count)
    values[list(unlabelled)] = -1
    return values.astype(np.int32)


def values(model):
    """Copies of a model's weights."""
    return [np.array(weight) for weight in model.weights]


def kind_and_tags(seed=0, structure=dict):
    """Two linear outputs, of classes and of tags, in a dict, list or tuple."""
    x = keras.Input((FEATURES,))

    def dense(units, name, seed):
        initializer = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        return keras.layers.Dense(
            units, kernel_initializer=initializer, name=name
        )(x)

    kind, tags = dense(CLASSES, "kind", seed), dense(TAGS, "tags", seed + 1)
    if structure is dict:
        return keras.Model(x, {"tags": tags, "kind": kind})
    return keras.Model(x, structure([kind, tags]))
