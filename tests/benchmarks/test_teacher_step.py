"""benchmarks.teacher_step: the teacher with one dropout layer or the other."""

import keras
import pytest

from benchmarks import teacher_step
from trainers.mnist import dropout


@pytest.mark.parametrize(
    "layer, kind",
    (
        (teacher_step.keras_dropout, keras.layers.Dropout),
        (dropout.Dropout, dropout.Dropout),
    ),
)
def test_nets_differ_in_the_dropout_alone(layer, kind):
    net, other = teacher_step.net(layer), teacher_step.net(dropout.Dropout)
    assert [each.name for each in net.layers] == [
        each.name for each in other.layers
    ]
    layers = [each for each in net.layers if "dropout" in each.name]
    assert layers and all(type(each) is kind for each in layers)
    assert [each.rate for each in layers] == [
        each.rate for each in other.layers if "dropout" in each.name
    ]
