"""kdtf._models: what a Keras model tells about itself."""

import keras
import numpy as np
import pytest

import kdtf
from kdtf import _models
from tests import nets, reference


def test_class_count():
    assert _models.class_count(nets.linear()) == 4
    assert _models.class_count(lambda x: x) is None
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    assert _models.class_count(unbuilt) is None


def of_inputs(*names):
    """A model of a dict of inputs, which tells them apart."""
    inputs = {name: keras.Input((2,), name=name) for name in names}
    joined = keras.ops.concatenate(list(inputs.values()), axis=-1)
    return keras.Model(inputs, joined)


def test_a_model_gets_its_own_inputs_of_those_of_a_batch():
    """Keras feeds it the first ones of the dict, and warns."""
    x = {name: np.full((1, 2), i) for i, name in enumerate("abc")}
    for names, expected in ((("a", "c"), [0, 0, 2, 2]), ("bc", [1, 1, 2, 2])):
        found = _models.call(of_inputs(*names), x, training=False)
        assert np.array(found).tolist() == [expected]
    with pytest.raises(ValueError, match='input "d"'):
        _models.call(of_inputs("a", "d"), x, training=False)


@pytest.mark.parametrize("form", (tuple, list))
def test_labels_among_the_inputs_are_refused(form):
    """Keras would train on x alone, and only warn."""
    distiller = kdtf.Distiller(nets.linear(0), nets.linear(1), temperature=2.0)
    distiller.compile("adam")
    both = form((nets.inputs(), nets.labels()))
    for run in (distiller.fit, distiller.evaluate, distiller.predict):
        with pytest.raises(
            ValueError,
            match=r"`x` must be .* inputs: 1\. .* fit\(x, y\);.* of 2",
        ):
            run(both, verbose=0)


def test_a_model_of_two_inputs_takes_both():
    two = [keras.Input((2,)), keras.Input((2,))]
    x = [np.full((1, 2), 3.0), np.full((1, 2), 4.0)]
    found = _models.call(keras.Model(two, two[0] - two[1]), x, training=False)
    np.testing.assert_array_equal(found, [[-1.0, -1.0]])


@pytest.mark.slow
def test_student_and_teachers_of_different_inputs():
    x = {n: nets.inputs(8)[:, i : i + 2] for i, n in enumerate("abc")}

    def model(*names):
        inputs = of_inputs(*names)
        return keras.Model(inputs.input, keras.layers.Dense(3)(inputs.output))

    student, teacher = model("a", "c"), model("a", "b", "c")
    ensemble = kdtf.Ensemble([model("b", "c"), teacher])
    for teaching in (teacher, ensemble):
        distiller = kdtf.Distiller(student, teaching, temperature=2.0)
        distiller.compile("sgd")
        logs = distiller.evaluate(x, verbose=0, return_dict=True)
        z = student({n: x[n] for n in "ac"})
        members = [teacher({n: x[n] for n in "abc"})]
        if teaching is ensemble:
            members.append(ensemble.members[0]({n: x[n] for n in "bc"}))
        p = np.mean([reference.softmax(v, 2.0) for v in members], axis=0)
        q = reference.log_softmax(z, 2.0)
        expected = (p * (np.log(p) - q)).sum(-1).mean()
        assert logs["soft_loss"] == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(distiller.predict(x, verbose=0), z, 1e-5)
