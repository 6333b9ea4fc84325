"""kdtf._training.several_outputs: what is no dict by output is refused."""

import keras
import numpy as np
import pytest

import kdtf
from tests import nets

ROWS = 24
HEADS = {"kind": "softmax", "tags": "sigmoid"}


def distiller_of_two():
    distiller = kdtf.Distiller(
        nets.kind_and_tags(0),
        nets.kind_and_tags(7),
        temperature=2.0,
        head=HEADS,
    )
    distiller.compile("sgd", jit_compile=False)
    return distiller


@pytest.mark.parametrize(
    ("y", "message"),
    (
        (np.zeros(ROWS), r"`y` must be a dict by output"),
        ([np.zeros(ROWS)], r"`y` must be a dict by output.*a list of 1"),
        ({"kind": np.zeros(ROWS), "no": np.zeros(ROWS)}, r"keys \['kind', 'no"),
    ),
)
def test_labels_of_no_output(y, message):
    distiller = distiller_of_two()
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
    distiller = distiller_of_two()
    with pytest.raises(ValueError, match=message):
        distiller.compile("sgd", **given)


def labels():
    tags = np.random.default_rng(3).integers(0, 2, (ROWS, nets.TAGS))
    return {"kind": nets.labels(ROWS), "tags": tags}


@pytest.mark.parametrize(
    ("lacking", "weights", "message"),
    (
        ((), {"kin": np.ones(ROWS)}, r"`sample_weight` must be a dict by outp"),
        ((), [np.ones(ROWS)], r"`sample_weight` must be a dict by.*list of 1"),
        (("tags",), np.ones(ROWS), r"`y` must have labels of every output"),
    ),
)
def test_sample_weights_that_would_be_lost(lacking, weights, message):
    y = {n: each for n, each in labels().items() if n not in lacking}
    distiller, x = distiller_of_two(), nets.inputs(ROWS)
    with pytest.raises(ValueError, match=message):
        distiller.fit(x, y, sample_weight=weights, verbose=0)
    with pytest.raises(ValueError, match=message):
        distiller.evaluate(x, y, sample_weight=weights, verbose=0)
    with pytest.raises(ValueError, match=message):
        distiller.fit(x, validation_data=(x, y, weights), verbose=0)


@pytest.mark.slow
def test_weights_in_another_structure_than_labels():
    """Dicts and lists mean the same; without any an output counts fully."""
    weights = np.linspace(0.0, 2.0, ROWS)
    y, x = labels(), nets.inputs(ROWS)
    # In the order of the student's outputs.
    in_order = [y["tags"], y["kind"]]
    found = []
    for each, sample_weight in (
        (y, {"kind": weights, "tags": np.ones(ROWS)}),
        (y, [None, weights]),
        (in_order, {"kind": weights}),
        (in_order, [np.ones(ROWS), weights]),
    ):
        found.append(
            distiller_of_two().evaluate(
                x, each, sample_weight=sample_weight, verbose=0
            )[0]
        )
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


def test_a_teachers_list_in_another_order_goes_by_its_names():
    x = keras.Input((nets.FEATURES,))

    def net(names):
        keras.utils.set_random_seed(1)
        layers = {n: keras.layers.Dense(3, name=n) for n in "ab"}
        outputs = {n: layers[n](x) for n in "ab"}
        return keras.Model(x, [outputs[n] for n in names])

    student, teacher = net("ab"), net("ba")
    distiller = kdtf.Distiller(student, teacher, temperature=2.0)
    distiller.compile("sgd", jit_compile=False)
    logs = distiller.evaluate(nets.inputs(4), verbose=0, return_dict=True)
    # The same weights by name.
    np.testing.assert_allclose(logs["a_soft_loss"], 0.0, atol=1e-6)
    np.testing.assert_allclose(logs["b_soft_loss"], 0.0, atol=1e-6)


def test_errors_of_labels_name_their_output():
    y = labels()
    y["kind"][3] = nets.CLASSES
    with pytest.raises(ValueError, match=r"of output 'kind', row 3"):
        distiller_of_two().fit(nets.inputs(ROWS), y, verbose=0)


def test_class_weights_of_no_output():
    distiller = distiller_of_two()
    with pytest.raises(ValueError, match=r"`class_weight` must be a dict from"):
        distiller.fit(
            nets.inputs(ROWS),
            {"kind": nets.labels(ROWS)},
            class_weight={0: 1.0},
        )
