"""kdtf._training.student_outputs: settings by output, and what is refused."""

import keras
import pytest

import kdtf
from tests import nets

HEADS = {"kind": "softmax", "tags": "sigmoid"}


@pytest.mark.parametrize(
    ("given", "message"),
    (
        ({"temperature": {"kind": 2.0}}, r"`temperature` must be one value"),
        ({"soft_weight": {"kind": 1, "no": 1}}, r"`soft_weight` must be one"),
        ({"head": {"kind": "softmax"}}, r"`head` must be one value for all"),
        ({"head": dict.fromkeys(HEADS)}, r"`head` must be None for outputs"),
        (
            {"hard_weight": {"kind": -1, "tags": 1}},
            r"`hard_weight` must be.*output 'kind'",
        ),
        ({"teacher": nets.linear(7)}, r"`teacher` must return a dict"),
        ({"teacher": {"kind": nets.linear(7)}}, r"one for each that learns"),
        (
            {"teacher": {"kind": nets.linear(7), "tags": nets.linear(7)}},
            r"student of 3 and a teacher of 4 classes at output 'tags'",
        ),
        (
            {"teacher": kdtf.Ensemble([nets.linear(7)])},
            r"a dict from output to Ensemble",
        ),
    ),
)
def test_what_cannot_be_right_is_refused_at_construction(given, message):
    arguments = {"temperature": 2.0, "head": HEADS, **given}
    with pytest.raises(ValueError, match=message):
        kdtf.Distiller(
            nets.kind_and_tags(0), arguments.pop("teacher", None), **arguments
        )


def test_a_dict_of_settings_or_teachers_for_one_output():
    with pytest.raises(ValueError, match=r"may be a dict of teachers"):
        kdtf.Distiller(nets.linear(), {"a": nets.linear(7)}, temperature=2.0)
    for name, value in (("head", {"a": "softmax"}), ("temperature", {"a": 2})):
        given = {"temperature": 2.0, name: value}
        with pytest.raises(ValueError, match=rf"`{name}` must be one value"):
            kdtf.Distiller(nets.linear(), nets.linear(7), **given)


def test_probabilities_at_one_of_several_outputs():
    x = keras.Input((nets.FEATURES,))
    outputs = {
        "kind": keras.layers.Dense(nets.CLASSES, activation="softmax")(x),
        "tags": keras.layers.Dense(nets.TAGS, activation="sigmoid")(x),
    }
    model = keras.Model(x, outputs)
    with pytest.raises(ValueError, match=r"`student` must return logits"):
        kdtf.Distiller(model, temperature=2.0, head=HEADS)
    with pytest.raises(ValueError, match=r"`teacher` must return logits"):
        kdtf.Distiller(
            nets.kind_and_tags(0), model, temperature=2.0, head=HEADS
        )


def test_outputs_of_one_layer_need_names():
    """A teacher's are known by their order."""
    x = keras.Input((nets.FEATURES,))
    head = keras.layers.Dense(nets.CLASSES, name="head")
    model = keras.Model(x, [head(keras.layers.Dense(3)(x)) for _ in range(2)])
    with pytest.raises(ValueError, match=r"`student` must.*names differ"):
        kdtf.Distiller(model, temperature=2.0)
    named = [keras.layers.Dense(nets.CLASSES, name=name)(x) for name in "ab"]
    kdtf.Distiller(keras.Model(x, named), model, temperature=2.0)
