"""kdtf._training.teachers: who may teach, who is refused or warned of."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import teachers
from tests import nets, reference


def distiller_of(teacher, student=None, **arguments):
    student = student or nets.linear()
    return kdtf.Distiller(student, teacher, temperature=2.0, **arguments)


def test_a_teacher_that_was_never_built():
    """Its random weights must not teach in silence."""
    teacher = keras.Sequential([keras.layers.Dense(nets.CLASSES)])
    with pytest.raises(ValueError, match=r"`teacher` must be built.*'sequen"):
        distiller_of(teacher)
    ensemble = kdtf.Ensemble([nets.linear(), teacher])
    with pytest.raises(ValueError, match="`teacher` must be built"):
        distiller_of(ensemble)
    teacher.build((None, nets.FEATURES))
    distiller_of(teacher)


def test_a_method_of_a_model():
    model = nets.linear(7)
    for method in (model.predict, model.predict_on_batch, model.call):
        with pytest.raises(
            ValueError, match=rf"must be the model itself.*{method.__name__}"
        ):
            distiller_of(method)


def test_a_function_of_numpy_arrays():
    distiller = distiller_of(lambda x: np.asarray(x)[:, : nets.CLASSES])
    distiller.compile("sgd")
    with pytest.raises(
        ValueError, match=r"`teacher` must work on tensors.*numpy_teacher"
    ):
        distiller.fit(nets.inputs(), verbose=0)
    distiller.compile("sgd", run_eagerly=True)
    distiller.fit(nets.inputs(), verbose=0)  # where it does work


@pytest.mark.slow
def test_a_teacher_of_several_outputs():
    x = keras.Input((5,))
    logits = keras.layers.Dense(nets.CLASSES)(x)
    model = keras.Model(x, {"logits": logits, "hidden": x})
    for several in (model, keras.Model(x, [logits, x])):
        with pytest.raises(ValueError, match=r"`teacher` must have one output"):
            distiller_of(several)
        with pytest.raises(ValueError, match=r"`teacher` must return a dict"):
            distiller_of(nets.linear(7), several)
    distiller = distiller_of(lambda x: model(x))
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"one tensor.*lambda.*a dict of 2"):
        distiller.fit(nets.inputs(), verbose=0)
    distiller = distiller_of(lambda x: model(x)["logits"])
    distiller.compile("sgd")
    distiller.fit(nets.inputs(), verbose=0)


def test_logits_of_another_rank():
    frames = keras.Sequential(
        [
            keras.Input((nets.FEATURES,)),
            keras.layers.RepeatVector(3),
            keras.layers.Dense(nets.CLASSES),
        ]
    )
    with pytest.raises(ValueError, match=r"as many axes.*\(None, 3, 4\)"):
        distiller_of(frames)


def test_one_class_and_another_number_of_classes():
    one = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"`student` must have two or more"):
        kdtf.Distiller(one, temperature=2.0)
    two = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="as many classes as `student`"):
        distiller_of(two)


def test_a_student_of_one_output_that_does_not_tell():
    class Hidden(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    distiller = kdtf.Distiller(Hidden(), temperature=2.0, soft_weight=0.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r'two or more classes.*head="sigm'):
        distiller.fit(nets.inputs(), np.zeros(12), verbose=0)


@pytest.mark.slow
def test_a_student_that_would_train_its_teacher():
    shared = keras.layers.Dense(3)
    teacher = keras.Sequential(
        [keras.Input((5,)), shared, keras.layers.Dense(nets.CLASSES)]
    )
    student = keras.Sequential([shared, keras.layers.Dense(nets.CLASSES)])
    refused = r"`student` must not train weights of `teacher`.*shares.*kernel"
    with pytest.raises(ValueError, match=refused):
        distiller_of(teacher, student)
    nested = keras.Sequential([keras.Input((5,)), student])
    with pytest.raises(ValueError, match=refused):
        distiller_of(kdtf.Ensemble([nets.linear(7), teacher]), nested)
    with pytest.raises(ValueError, match=refused):
        distiller_of(nets.linear(7), nested).set_teacher(teacher)
    shared.trainable = False  # both may use what stays as it is
    distiller = distiller_of(teacher, student)
    distiller.compile("sgd")
    distiller.fit(nets.inputs(), verbose=0)


def test_an_ensemble_of_the_other_head():
    ensemble = kdtf.Ensemble([nets.linear(7)])
    with pytest.raises(ValueError, match=r'the Ensemble with head="sigmoid"'):
        distiller_of(ensemble, head="sigmoid")
    distiller_of(
        kdtf.Ensemble([nets.linear(7)], head="sigmoid"), head="sigmoid"
    )


@pytest.mark.slow
def test_a_teacher_of_another_dtype_and_a_saved_one(tmp_path):
    """What is no Keras model: a function, and a SavedModel."""
    model = nets.linear(7)
    model.export(tmp_path / "saved", verbose=False)
    layer = keras.layers.TFSMLayer(
        tmp_path / "saved", call_endpoint="serving_default"
    )
    teachers = (
        model,
        lambda x: tf.cast(model(x), tf.float64),
        lambda x: layer(x)["output_0"],
    )
    losses = []
    for teacher in teachers:
        distiller = distiller_of(teacher)
        distiller.compile("sgd", jit_compile=True)
        logs = distiller.evaluate(nets.inputs(), verbose=0, return_dict=True)
        losses.append(float(logs["loss"]))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_a_student_larger_than_its_teacher_is_warned_of():
    small, large = nets.deep(width=4), nets.deep(width=64)
    sizes = f"{large.count_params():,} .* {small.count_params():,}:"
    with pytest.warns(UserWarning, match=sizes) as found:
        kdtf.Distiller(large, small, temperature=2.0)
    assert found[0].filename == __file__


@pytest.mark.parametrize(
    "teacher", (nets.linear(1), kdtf.Ensemble([nets.linear(1)]), lambda x: x)
)
def test_others_are_not(teacher):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kdtf.Distiller(nets.linear(), teacher, temperature=2.0)


def test_a_steady_teacher_depends_on_its_weights_alone():
    def of(layer, *shape):
        return keras.Sequential([keras.Input(shape, batch_size=2), layer])

    assert teachers.is_steady(nets.deep(7, dropout=0.5))
    assert teachers.is_steady(kdtf.Ensemble([nets.linear(7), nets.linear(8)]))
    assert teachers.is_steady(of(keras.layers.GRU(3), 4, 2))
    assert not teachers.is_steady(of(keras.layers.GRU(3, stateful=True), 4, 2))
    assert not teachers.is_steady(of(keras.layers.Lambda(lambda x: x), 4))
    assert not teachers.is_steady(lambda x: x)
    pair = {"kind": nets.linear(7), "tags": lambda x: x}
    assert not teachers.is_steady(pair)


class OfKeras2:
    """As a model of tf_keras: it has layers, and those have no path."""

    def __init__(self):
        self.kernel = nets.values(nets.linear(7))[0]

    def _flatten_layers(self, recursive=True, include_self=True):
        yield self

    def __call__(self, x):
        return tf.matmul(x, self.kernel)


def test_a_teacher_of_keras_2():
    x, teacher = nets.inputs(), OfKeras2()
    distiller = distiller_of(teacher)
    distiller.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    found = distiller.fit(x, verbose=0).history["soft_loss"][0]
    logits = np.float64(x) @ np.float64(teacher.kernel)
    ours = np.asarray(distiller.student(x))
    expected = reference.soft_loss(ours, logits, 2.0).mean()
    assert found == pytest.approx(expected, rel=1e-5)
