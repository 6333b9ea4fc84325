"""Stores of a sigmoid head, and of teachers that give probabilities."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets

LABELS = 3


def net(seed=7, units=LABELS, activation=None):
    return keras.Sequential(
        [
            keras.Input((nets.FEATURES,)),
            keras.layers.Dense(
                units,
                activation,
                kernel_initializer=keras.initializers.RandomNormal(seed=seed),
            ),
        ]
    )


def dataset():
    y = np.random.default_rng(0).integers(-1, 2, (12, LABELS))
    return tf.data.Dataset.from_tensor_slices((nets.inputs(), y)).batch(4)


def write(path, teacher, head="sigmoid", **arguments):
    arguments = {"verbose": 0, "dtype": "float32", **arguments}
    return kdtf.SoftTargets.write(
        path, teacher, dataset(), head=head, **arguments
    )


def test_logits_of_labels_are_stored_as_they_are(tmp_path):
    teacher = net()
    joined = write(tmp_path, teacher).join(dataset())
    stored = np.concatenate([y["teacher_logits"] for _, y in joined])
    np.testing.assert_array_equal(stored, teacher(nets.inputs()))
    assert "teacher_head=sigmoid" in joined.element_spec[1]


@pytest.mark.slow
def test_a_student_learns_as_from_the_teacher_itself(tmp_path):
    trained = []
    for stored in (False, True):
        student = net(0)
        teacher = None if stored else net()
        data = dataset()
        if stored:
            data = write(tmp_path, net()).join(data)
        distiller = kdtf.Distiller(
            student, teacher, temperature=2.0, head="sigmoid"
        )
        distiller.compile(keras.optimizers.SGD(0.1))
        distiller.fit(data, epochs=2, verbose=0)
        trained.append(nets.values(student))
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", ("softmax", "sigmoid"))
@pytest.mark.parametrize("steps", (1, 3))
def test_a_distiller_of_the_other_head_refuses_them(tmp_path, head, steps):
    joined = write(tmp_path, net(), head).join(dataset())
    other = {"softmax": "sigmoid", "sigmoid": "softmax"}[head]
    distiller = kdtf.Distiller(net(0), temperature=2.0, head=other)
    distiller.compile("sgd", jit_compile=True, steps_per_execution=steps)
    data = joined.map(lambda x, y: (x, {**y, "labels": y["labels"][:, 0]}))
    with pytest.raises(ValueError, match=rf'`y`.*head="{other}".*for {head}'):
        distiller.fit(data, verbose=0)


def test_a_store_of_the_other_head_is_another_store(tmp_path):
    write(tmp_path, net())
    with pytest.raises(ValueError, match="head sigmoid there and softmax now"):
        write(tmp_path, net(), "softmax")


def test_what_a_sigmoid_head_is_not(tmp_path):
    with pytest.raises(ValueError, match="`top_k` must be None for a sigmoid"):
        write(tmp_path, net(), top_k=2, temperature=2.0)
    with pytest.raises(ValueError, match=r"`head` must be.*Received: head="):
        write(tmp_path, net(), "linear")
    softmax = kdtf.Ensemble([net(), net(1)])
    with pytest.raises(ValueError, match=r'the Ensemble with head="sigmoid"'):
        write(tmp_path, softmax, temperature=2.0)
    assert not list(tmp_path.iterdir())


def test_an_arithmetic_ensemble(tmp_path):
    teacher = kdtf.Ensemble([net(), net(1)], head="sigmoid")
    joined = write(tmp_path, teacher, temperature=2.0).join(dataset())
    stored = np.concatenate([y["teacher_logits"] for _, y in joined])
    expected = teacher.tempered_logits(nets.inputs(), 2.0)
    np.testing.assert_allclose(stored, expected, rtol=1e-5, atol=1e-6)


class Subclassed(keras.Model):
    """Does not tell what it ends in."""

    def __init__(self, activation):
        super().__init__()
        self.dense = keras.layers.Dense(LABELS, activation)

    def call(self, x):
        return self.dense(x)


def test_probabilities_are_seen_in_the_first_batch(tmp_path):
    with pytest.raises(ValueError, match=r"kdtf\.logits_of\(teacher\)"):
        write(tmp_path, net(activation="softmax"), "softmax")
    hidden = Subclassed("softmax")
    hidden(nets.inputs())
    with pytest.raises(ValueError, match=r"`teacher` must give logits, not"):
        write(tmp_path, hidden, "softmax")
    one = net(units=1)
    with pytest.raises(ValueError, match="two or more classes"):
        write(tmp_path, one, "softmax")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("head", ("softmax", "sigmoid"))
def test_what_may_be_probabilities_of_labels_is_warned_of(head, tmp_path):
    """Of classes, too, which a teacher may tell apart one by one."""
    hidden = Subclassed("sigmoid")
    x = np.random.default_rng(1).normal(size=(40, nets.FEATURES))
    hidden(x)
    with pytest.warns(UserWarning, match="must give logits"):
        kdtf.SoftTargets.write(tmp_path, hidden, x, head=head, verbose=0)
