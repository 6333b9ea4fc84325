"""kdtf._models: what a Keras model tells about itself."""

import keras

from kdtf import _models
from tests import nets


def test_class_count():
    assert _models.class_count(nets.linear()) == 4
    assert _models.class_count(lambda x: x) is None
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    assert _models.class_count(unbuilt) is None
