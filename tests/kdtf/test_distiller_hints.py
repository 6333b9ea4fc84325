"""Hints in `fit`: their share of the loss, one pass, saving, export."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, reference

ROWS = 10  # batches of 4, 4 and 2


class Net(keras.Model):
    """A subclass that counts its calls, in eager and in traced steps."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(width, "relu", name="hidden")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.out = keras.layers.Dense(nets.CLASSES, name="out")
        self.calls = 0

    def build(self, shape):
        self.hidden.build(shape)
        self.norm.build((None, self.hidden.units))
        self.out.build((None, self.hidden.units))

    def call(self, x, training=None):
        self.calls += 1
        return self.out(self.norm(self.hidden(x), training=training))


def subclass(width):
    model = Net(width)
    model(nets.inputs(2))
    return model


def functional(width):
    return keras.Sequential(
        [
            keras.Input((nets.FEATURES,)),
            keras.layers.Dense(width, "relu", name="hidden"),
            keras.layers.Dense(nets.CLASSES, name="out"),
        ]
    )


def distiller_of(make=functional, hints=None, compiled=None, **kwargs):
    keras.utils.set_random_seed(3)
    student, teacher = make(3), make(7)
    if hints is None:
        hints = [kdtf.Hint("hidden", "hidden", weight=0.5)]
    arguments = {"temperature": 2.0, "hints": hints, **kwargs}
    distiller = kdtf.Distiller(student, teacher, **arguments)
    compiled = compiled or {"jit_compile": False}
    distiller.compile(keras.optimizers.SGD(0.1), **compiled)
    return distiller, teacher


def fitted(distiller, epochs=1):
    x, y = nets.inputs(ROWS), nets.labels(ROWS)
    return distiller.fit(
        x, y, batch_size=4, epochs=epochs, shuffle=False, verbose=0
    ).history


def test_the_loss_is_that_of_the_logits_and_of_the_hints():
    distiller, teacher = distiller_of()
    student = distiller.student
    x, y = nets.inputs(ROWS), nets.labels(ROWS)
    found = distiller.evaluate(x, y, verbose=0, return_dict=True)
    [projection] = distiller._hint_projections
    ours = projection(student.get_layer("hidden")(x))
    theirs = teacher.get_layer("hidden")(x)
    hint = np.mean((np.float64(ours) - np.float64(theirs)) ** 2)
    logits = reference.distillation_loss(
        student(x), teacher(x), y, 2.0, 0.9, 0.1
    ).mean()
    np.testing.assert_allclose(found["hidden_hint_loss"], hint, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], logits + 0.5 * hint, rtol=1e-5)


@pytest.fixture(scope="module")
def eager():
    """History and weights of two epochs, step by step."""
    distiller, _ = distiller_of(subclass, compiled={"run_eagerly": True})
    distiller.student.calls = 0
    history = fitted(distiller, epochs=2)
    return history, nets.values(distiller), distiller.student.calls


def test_the_student_runs_once_a_batch(eager):
    assert eager[2] == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiled",
    (
        {"jit_compile": False},
        {"jit_compile": True},
        {"jit_compile": True, "steps_per_execution": 3},
    ),
)
def test_compiled_steps_are_those_of_eager_ones(eager, compiled):
    """Weights, moving statistics and the trained projection among them."""
    distiller, _ = distiller_of(subclass, compiled=compiled)
    history = fitted(distiller, epochs=2)
    assert sorted(history) == sorted(eager[0])
    for name, values in history.items():
        np.testing.assert_allclose(values, eager[0][name], rtol=1e-4)
    for value, expected in zip(nets.values(distiller), eager[1], strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_replicas_train_as_one_process_does(mirrored_strategy):
    """Also where one of them has no row: the last batch has only one."""
    x, y = nets.inputs(9), nets.labels(9)
    one, _ = distiller_of()
    with mirrored_strategy.scope():
        two, _ = distiller_of()
    for distiller in (one, two):
        distiller.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for ours, theirs in zip(nets.values(one), nets.values(two), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_weight_is_assigned_between_epochs_without_a_new_trace():
    """A weight of 0 trains as no hint does."""
    distiller, _ = distiller_of()
    plain, _ = distiller_of(hints=[])
    distiller.hint_weights["hidden_hint"].assign(0.0)
    history, expected = fitted(distiller), fitted(plain)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-6)
    traced = distiller.train_function
    distiller.hint_weights["hidden_hint"].assign(2.0)
    again, expected = fitted(distiller), fitted(plain)
    assert distiller.train_function is traced
    assert again["loss"][0] > expected["loss"][0]
    assert again["hidden_hint_loss"][0] < history["hidden_hint_loss"][0]


def test_hints_and_labels_alone():
    distiller, _ = distiller_of(soft_weight=0.0, hard_weight=1.0)
    history = fitted(distiller)
    assert sorted(history) == ["hard_loss", "hidden_hint_loss", "loss"]
    with pytest.raises(ValueError, match="made for"):
        distiller.set_teacher(functional(6))


@pytest.mark.slow
def test_a_loaded_distiller_goes_on_where_it_was(tmp_path):
    hints = [
        kdtf.Hint("hidden", "hidden", weight=0.5),
        kdtf.Hint("out", "out", loss=keras.losses.Huber(0.1), name="second"),
    ]
    distiller, teacher = distiller_of(hints=hints)
    fitted(distiller)
    distiller.hint_weights["second"].assign(0.125)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert float(loaded.hint_weights["second"]) == 0.125
    loaded.set_teacher(teacher)
    assert fitted(loaded) == fitted(distiller)
    for ours, theirs in zip(
        nets.values(loaded), nets.values(distiller), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_projection_keeps_its_precision(tmp_path):
    """Whatever the global policy is when it is loaded."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = functional(3)
    finally:
        keras.config.set_dtype_policy("float32")
    distiller = kdtf.Distiller(
        student,
        functional(7),
        temperature=2.0,
        hints=[kdtf.Hint("hidden", "hidden")],
    )
    distiller.compile("sgd")
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    for each in (distiller, loaded):
        [projection] = each._hint_projections
        assert projection.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.slow
def test_a_mask_that_attention_takes_off_counts():
    """Keras's MultiHeadAttention removes it from its own inputs."""

    def net(seed):
        keras.utils.set_random_seed(seed)
        x = keras.Input((5,), dtype="int32")
        seen = keras.layers.Embedding(9, 8, mask_zero=True)(x)
        seen = keras.layers.Dense(8, name="feature")(seen)
        seen = keras.layers.MultiHeadAttention(2, 4)(seen, seen)
        seen = keras.layers.GlobalAveragePooling1D()(seen)
        return keras.Model(x, keras.layers.Dense(3)(seen))

    student, teacher = net(0), net(7)
    distiller = kdtf.Distiller(
        student,
        teacher,
        temperature=2.0,
        hints=[kdtf.Hint("feature", "feature")],
    )
    distiller.compile("sgd", jit_compile=False)
    x = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]])
    logs = distiller.evaluate(x, verbose=0, return_dict=True)

    def features(model):
        embedded = model.layers[1](x)
        return np.float64(model.get_layer("feature")(embedded))

    each = ((features(student) - features(teacher)) ** 2).mean(-1)
    steps = (x > 0).sum(1)
    expected = ((each * (x > 0)).sum(1) / steps).mean()
    found = logs["feature_hint_loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_weights_files_tell_that_they_change_a_hints_weight(tmp_path):
    distiller, _ = distiller_of()
    path = tmp_path / "distiller.weights.h5"
    distiller.save_weights(path)
    distiller.hint_weights["hidden_hint"].assign(0.25)
    with pytest.warns(UserWarning, match=r"hidden_hint'\] from 0.25 to 0.5"):
        distiller.load_weights(path)
    with pytest.raises(ValueError, match=r"`hidden_hint` must be one number"):
        distiller.hint_weights["hidden_hint"].assign(-1.0)


def test_hints_beside_outputs_without_a_teacher():
    """Of several outputs, of which none has soft targets."""
    distiller = kdtf.Distiller(
        two_outputs(0),
        functional(6),
        temperature=2.0,
        soft_weight=0.0,
        hints=[kdtf.Hint("hidden", "hidden")],
    )
    distiller.compile("sgd")
    y = {"row": nets.labels(ROWS)}
    with pytest.raises(ValueError, match="no labels for output 'steps'"):
        distiller.fit(nets.inputs(ROWS), y, verbose=0)
    y["steps"] = np.zeros((ROWS, 3), np.int32)
    history = distiller.fit(nets.inputs(ROWS), y, verbose=0).history
    assert "hidden_hint_loss" in history and "row_soft_loss" not in history


def test_an_export_has_no_projection(tmp_path):
    distiller, _ = distiller_of()
    kdtf.export_student(distiller, tmp_path / "export")
    served = tf.saved_model.load(tmp_path / "export")
    assert len(distiller.trainable_weights) == 6
    assert len(served.student_variables) == 4


@pytest.mark.slow
def test_an_ensemble_teaches_features_too():
    x, y = nets.inputs(ROWS), nets.labels(ROWS)
    members = [functional(7), functional(7)]
    distiller = kdtf.Distiller(
        functional(7),
        kdtf.Ensemble(members),
        temperature=2.0,
        hints=[kdtf.Hint("hidden", f"{members[1].name}/hidden")],
    )
    distiller.compile("sgd")
    found = distiller.evaluate(x, y, verbose=0, return_dict=True)
    ours = distiller.student.get_layer("hidden")(x)
    theirs = members[1].get_layer("hidden")(x)
    expected = np.mean((np.float64(ours) - np.float64(theirs)) ** 2)
    np.testing.assert_allclose(found["hidden_hint_loss"], expected, rtol=1e-5)


def test_hints_beside_several_outputs():
    """Each example counts as all others."""

    def two_heads(width):
        x = keras.Input((nets.FEATURES,))
        hidden = keras.layers.Dense(width, "relu", name="hidden")(x)
        first = keras.layers.Dense(nets.CLASSES, name="first")(hidden)
        second = keras.layers.Dense(nets.CLASSES, name="second")(hidden)
        return keras.Model(x, {"first": first, "second": second})

    x, y = nets.inputs(ROWS), nets.labels(ROWS)
    distiller, teacher = distiller_of(two_heads)
    plain, _ = distiller_of(two_heads, hints=[])
    data = (x, {"first": y, "second": y})
    found = distiller.evaluate(*data, verbose=0, return_dict=True)
    expected = plain.evaluate(*data, verbose=0, return_dict=True)["loss"]
    [projection] = distiller._hint_projections
    ours = projection(distiller.student.get_layer("hidden")(x))
    theirs = teacher.get_layer("hidden")(x)
    hint = np.mean((np.float64(ours) - np.float64(theirs)) ** 2)
    np.testing.assert_allclose(found["hidden_hint_loss"], hint, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], expected + 0.5 * hint, rtol=1e-5)


def two_outputs(seed):
    """A hidden layer, and logits of a row and of each of three steps."""
    x = keras.Input((nets.FEATURES,))
    initializer = keras.initializers.GlorotUniform(seed)
    hidden = keras.layers.Dense(
        6, "relu", kernel_initializer=initializer, name="hidden"
    )(x)
    steps = keras.layers.Dense(6, name="wide")(hidden)
    return keras.Model(
        x,
        {
            "row": keras.layers.Dense(nets.CLASSES)(hidden),
            "steps": keras.layers.Reshape((3, 2))(steps),
        },
    )


@pytest.mark.slow
def test_hints_of_several_outputs_are_means_over_them():
    """Weights of one output alone count for its share."""
    student, teacher = two_outputs(0), two_outputs(7)
    distiller = kdtf.Distiller(
        student,
        teacher,
        temperature=2.0,
        hints=[kdtf.Hint("hidden", "hidden")],
    )
    plain = kdtf.Distiller(student, teacher, temperature=2.0)
    x = nets.inputs(ROWS)
    weights = {
        "row": np.linspace(0.0, 2.0, ROWS),
        "steps": np.ones((ROWS, 3)),
    }
    y = {
        "row": nets.labels(ROWS),
        "steps": np.random.default_rng(5).integers(0, 2, (ROWS, 3)),
    }
    found = []
    for each in (distiller, plain):
        each.compile("sgd")
        found.append(
            each.evaluate(
                x, y, sample_weight=weights, verbose=0, return_dict=True
            )
        )
    gap = np.float64(student.get_layer("hidden")(x)) - np.float64(
        teacher.get_layer("hidden")(x)
    )
    each = (gap**2).mean(-1)
    expected = ((each * weights["row"]).mean() + each.mean()) / 2
    added = found[0]["loss"] - found[1]["loss"]
    np.testing.assert_allclose(added, expected, rtol=1e-4)
