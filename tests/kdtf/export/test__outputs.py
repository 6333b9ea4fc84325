"""_outputs: what is served of students with several outputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, reference
from tests.exports import serve

HEADS = {"digit": "softmax", "traits": "sigmoid", "hidden": None}


def student(outputs=dict, dtype="float32", end=None):
    """Three digits, two traits, and the hidden layer of four units."""
    dense = keras.layers.Dense
    x = keras.Input((5,))
    hidden = dense(4, "relu", name="hidden", dtype=dtype)(x)
    digit = dense(3, end, name="digit", dtype=dtype)(hidden)
    traits = dense(2, name="traits", dtype=dtype)(hidden)
    if outputs is dict:
        named = {"digit": digit, "traits": traits, "hidden": hidden}
        return keras.Model(x, named)
    return keras.Model(x, outputs([digit, traits, hidden]))


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, np.float64)))


@pytest.mark.parametrize("outputs", (dict, list, tuple))
def test_each_output_by_its_name(tmp_path, outputs):
    net, x = student(outputs), nets.inputs()
    kdtf.export_student(
        net,
        tmp_path / "export",
        head=HEADS,
        class_names={"digit": ["a", "b", "c"]},
    )
    served = serve(tmp_path / "export", x=x)
    assert set(served) == {
        *(f"digit_{k}" for k in ("logits", "probabilities", "class")),
        *(f"traits_{k}" for k in ("logits", "probabilities", "class")),
        "digit_class_name",
        "hidden",
    }
    values = net(x)
    if outputs is not dict:
        values = dict(zip(("digit", "traits", "hidden"), values, strict=True))
    z = {name: np.asarray(value) for name, value in values.items()}
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(served["digit_logits"], z["digit"], **close)
    np.testing.assert_allclose(
        served["digit_probabilities"], reference.softmax(z["digit"]), **close
    )
    chosen = z["digit"].argmax(-1)
    np.testing.assert_array_equal(served["digit_class"], chosen)
    names = [name.decode() for name in served["digit_class_name"]]
    assert names == ["abc"[i] for i in chosen]
    np.testing.assert_allclose(
        served["traits_probabilities"], sigmoid(z["traits"]), **close
    )
    np.testing.assert_array_equal(served["traits_class"], z["traits"] > 0)
    np.testing.assert_allclose(served["hidden"], z["hidden"], **close)


def test_one_head_for_all(tmp_path):
    net, x = student(), nets.inputs()
    kdtf.export_student(net, tmp_path / "export", head="sigmoid")
    served = serve(tmp_path / "export", x=x)
    for name, z in net(x).items():
        np.testing.assert_allclose(
            served[f"{name}_probabilities"], sigmoid(z), rtol=1e-5
        )


def test_an_output_passed_on_in_half_precision_is_float32(tmp_path):
    net, x = student(dtype="mixed_bfloat16"), nets.inputs()
    kdtf.export_student(net, tmp_path / "export", head=HEADS, dtype=None)
    served = serve(tmp_path / "export", x=x)
    assert served["hidden"].dtype == np.float32
    hidden = tf.cast(net(x)["hidden"], tf.float32)
    np.testing.assert_array_equal(served["hidden"], hidden)


class Pair(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(2)
        self.second = keras.layers.Dense(3)

    def call(self, x):
        return self.first(x), self.second(x)


@pytest.mark.parametrize(
    ("head", "names"),
    (
        (None, ("output_0", "output_1")),
        ({"b": "softmax", "a": "sigmoid"}, "ba"),
    ),
)
def test_outputs_of_a_subclass(tmp_path, head, names):
    net, x = Pair(), nets.inputs()
    expected = net(x)
    kdtf.export_student(net, tmp_path / "export", head=head)
    served = serve(tmp_path / "export", x=x)
    for name, z in zip(names, expected, strict=True):
        np.testing.assert_allclose(
            served[f"{name}_logits"], z, rtol=1e-5, atol=1e-6
        )
    with pytest.raises(ValueError, match=r"`head` must be.*2 outputs.*Rec"):
        kdtf.export_student(net, tmp_path / "e", head={"a": "softmax"})


def test_a_distillers_heads_and_outputs(tmp_path):
    net, x = student(), nets.inputs()
    distiller = kdtf.Distiller(net, temperature=2.0, head=HEADS)
    kdtf.export_student(distiller, tmp_path / "export", head=dict(HEADS))
    served = serve(tmp_path / "export", x=x)
    np.testing.assert_allclose(
        served["traits_probabilities"], sigmoid(net(x)["traits"]), rtol=1e-5
    )
    np.testing.assert_allclose(served["hidden"], net(x)["hidden"], rtol=1e-5)
    with pytest.raises(ValueError, match=r"`head` must be None, or that of"):
        kdtf.export_student(distiller, tmp_path / "e", head="softmax")


@pytest.mark.parametrize(
    "head",
    (
        {"digit": "softmax"},
        {**HEADS, "other": None},
        {**HEADS, "digit": "relu"},
        ["softmax"] * 3,
        "none",
    ),
)
def test_what_are_no_heads_of_these_outputs(tmp_path, head):
    with pytest.raises(ValueError, match=r"`head` must be.*Received: head="):
        kdtf.export_student(student(), tmp_path / "export", head=head)
    assert not list(tmp_path.iterdir())


def test_a_dict_of_heads_for_one_output(tmp_path):
    with pytest.raises(ValueError, match=r"`head` must be.*one output.*Rec"):
        kdtf.export_student(nets.linear(), tmp_path / "e", head={"a": None})


@pytest.mark.parametrize(
    ("class_names", "said"),
    (
        (["a", "b", "c"], "a dict from the name of an output"),
        ({"hidden": ["a"] * 4}, "a dict from the name of an output"),
        ({"digit": ["a", "b"]}, "3 strings"),
        ({"digit": "abc"}, "3 strings"),
        ({"traits": ["a"]}, "2 strings"),
    ),
)
def test_what_are_no_class_names_of_these_outputs(tmp_path, class_names, said):
    with pytest.raises(ValueError, match=rf"`class_names`.* must be {said}"):
        kdtf.export_student(
            student(), tmp_path / "e", head=HEADS, class_names=class_names
        )
    assert not list(tmp_path.iterdir())


def test_an_output_of_probabilities(tmp_path):
    net = student(end="softmax")
    with pytest.raises(ValueError, match=r"output 'digit' ends in a softmax"):
        kdtf.export_student(net, tmp_path / "e", head=HEADS)
    heads = {**HEADS, "digit": None}
    kdtf.export_student(net, tmp_path / "export", head=heads)
    x = nets.inputs()
    served = serve(tmp_path / "export", x=x)
    np.testing.assert_allclose(served["digit"], net(x)["digit"], rtol=1e-5)


def test_an_output_of_one_class(tmp_path):
    x = keras.Input((5,))
    net = keras.Model(x, {"a": keras.layers.Dense(1)(x)})
    with pytest.raises(ValueError, match=r"output 'a'` must have two or more"):
        kdtf.export_student(net, tmp_path / "e")


def test_names_that_collide(tmp_path):
    x = keras.Input((5,))
    dense = keras.layers.Dense
    net = keras.Model(x, {"a": dense(2)(x), "a_logits": dense(3)(x)})
    with pytest.raises(ValueError, match=r"rename one.*'a_logits' twice"):
        kdtf.export_student(
            net, tmp_path / "e", head={"a": "softmax", "a_logits": None}
        )


def test_outputs_of_one_layer_need_names(tmp_path):
    x = keras.Input((5,), name="x")
    head = keras.layers.Dense(4, name="head")
    parts = [head(keras.layers.Dense(3)(x)) for _ in range(2)]
    with pytest.raises(ValueError, match=r"_student` must.*names differ.*Id"):
        kdtf.export_student(keras.Model(x, parts), tmp_path / "export")
    named = [
        keras.layers.Identity(name=name)(part)
        for name, part in zip("ab", parts, strict=True)
    ]
    student, given = keras.Model(x, named), nets.inputs()
    kdtf.export_student(student, tmp_path / "export")
    served = serve(tmp_path / "export", x=given)
    for name, expected in zip("ab", student(given), strict=True):
        np.testing.assert_allclose(served[f"{name}_logits"], expected, 1e-5)


def test_an_output_of_outputs(tmp_path):
    class Nested(keras.Model):
        def call(self, x):
            return {"a": x, "b": {"c": x}}

    net = Nested()
    net(nets.inputs())
    with pytest.raises(ValueError, match=r"output 'b'` must be one tensor"):
        kdtf.export_student(net, tmp_path / "e")
