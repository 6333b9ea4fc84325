"""kdtf._training.several_outputs: what is no dict by output is refused."""

import numpy as np
import pytest

import kdtf
from tests import nets

ROWS = 24
HEADS = {"kind": "softmax", "tags": "sigmoid"}


@pytest.mark.parametrize(
    ("y", "message"),
    (
        (np.zeros(ROWS), r"`y` must be a dict by output"),
        ([np.zeros(ROWS)], r"`y` must be a dict by output.*a list of 1"),
        ({"kind": np.zeros(ROWS), "no": np.zeros(ROWS)}, r"keys \['kind', 'no"),
    ),
)
def test_labels_of_no_output(y, message):
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        nets.kind_and_tags(7),
        temperature=2.0,
        head=HEADS,
    )
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=message):
        distiller.fit(nets.inputs(ROWS), y, verbose=0)


@pytest.mark.parametrize(
    ("given", "message"),
    (
        ({"metrics": ["accuracy"]}, r"`metrics` must be a dict from output"),
        ({"metrics": {"no": ["accuracy"]}}, r"`metrics` must be a dict by"),
        ({"loss_weights": {"no": 1.0}}, r"`loss_weights` must be a dict"),
        ({"loss_weights": {"kind": -1.0}}, r"`loss_weights` must be a dict"),
        ({"loss_weights": 1.0}, r"`loss_weights` must be a dict"),
    ),
)
def test_what_compile_refuses(given, message):
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        nets.kind_and_tags(7),
        temperature=2.0,
        head=HEADS,
    )
    with pytest.raises(ValueError, match=message):
        distiller.compile("sgd", **given)


def test_class_weights_of_no_output():
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        nets.kind_and_tags(7),
        temperature=2.0,
        head=HEADS,
    )
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"`class_weight` must be a dict from"):
        distiller.fit(
            nets.inputs(ROWS),
            {"kind": nets.labels(ROWS)},
            class_weight={0: 1.0},
        )
