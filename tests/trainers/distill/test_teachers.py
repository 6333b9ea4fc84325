"""trainers.distill.teachers: one model from whatever the user has."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import reference
from tests.distill_cases import arrays, data_of
from trainers.distill import teachers


def net(outputs=3, activation=None, shape=(5,)):
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Flatten(),
            keras.layers.Dense(outputs, activation),
        ]
    )


def values(teacher, **others):
    return types.SimpleNamespace(
        **{
            "teacher": teacher,
            "combine": "arithmetic",
            "teacher_preprocess": "none",
            "teacher_signature": "serving_default",
            "teacher_output": None,
            "teacher_gives": "logits",
            **others,
        }
    )


def saved(path, model):
    model.save(path)
    return str(path)


def load(given, data=None, **others):
    source = teachers.source(values(given, **others))
    return teachers.load(source, data or data_of("table"))


def log_softmax(z):
    return np.log(reference.softmax(np.asarray(z, np.float64)))


@pytest.fixture
def x():
    return arrays(data_of("table").test)[0]


def test_a_keras_file(tmp_path, x):
    model = net()
    teacher = load([saved(tmp_path / "t.keras", model)])
    np.testing.assert_array_equal(teacher(x), model(x))
    assert teachers.head_of(teacher) == "softmax"


def test_a_last_softmax_is_cut_off(tmp_path, x):
    model = net(activation="softmax")
    teacher = load([saved(tmp_path / "t.keras", model)])
    np.testing.assert_allclose(
        log_softmax(teacher(x)), np.log(model(x)), atol=1e-5
    )
    assert np.abs(np.asarray(teacher(x)).sum(-1) - 1).min() > 1e-3


def test_one_output_is_yes_or_no(tmp_path):
    data = data_of("table", classes=("no", "yes"))
    teacher = load([saved(tmp_path / "t.keras", net(1, "sigmoid"))], data)
    assert teachers.head_of(teacher) == "sigmoid"
    assert teachers.outputs_of(teacher) == 1


@pytest.mark.parametrize("combine", ("arithmetic", "geometric"))
def test_several_files_are_an_ensemble(tmp_path, x, combine):
    members = [net(), net()]
    paths = [
        saved(tmp_path / f"{i}.keras", model) for i, model in enumerate(members)
    ]
    teacher = load(paths, combine=combine)
    logs = np.stack([log_softmax(m(x)) for m in members])
    mean = {
        "arithmetic": np.log(np.exp(logs).mean(0)),
        "geometric": log_softmax(logs.mean(0)),
    }[combine]
    np.testing.assert_allclose(log_softmax(teacher(x)), mean, atol=1e-5)


def test_a_saved_model(tmp_path, x):
    model = net()
    path = str(tmp_path / "export")
    kdtf.export_student(model, path)
    data = data_of("table")
    with pytest.raises(ValueError, match=r"^--teacher_output must be one"):
        load([path], data)
    with pytest.raises(ValueError, match=r"^--teacher_signature must be one"):
        load([path], data, teacher_signature="other")
    teacher = load([path], data, teacher_output="logits")
    np.testing.assert_allclose(teacher(x), model(x), atol=1e-6)
    # Probabilities, too, where the flags say so.
    options = {"teacher_output": "probabilities"}
    with pytest.raises(ValueError, match="--teacher_gives=probabilities say"):
        load([path], data, **options)
    teacher = load([path], data, teacher_gives="probabilities", **options)
    np.testing.assert_allclose(
        log_softmax(teacher(x)), log_softmax(model(x)), atol=1e-5
    )


@pytest.mark.parametrize(
    "rows, dtype, said",
    (
        (4, tf.float32, "Graph execution error"),
        (1, tf.uint8, "expected to be a uint8 tensor"),
    ),
)
def test_a_saved_model_of_other_batches(rows, dtype, said, tmp_path):
    """Is seen when it is asked for the first time, and named."""
    module = tf.Module()
    module.net = net()

    def serve(x):
        return {"y": module.net(tf.cast(x, tf.float32) + tf.ones([rows, 5]))}

    spec = tf.TensorSpec([None, 5], dtype)
    function = tf.function(serve, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "saved"), function)
    with pytest.raises(
        ValueError, match=rf"^--teacher must .*any size\..*saved .*{said}"
    ):
        load([str(tmp_path / "saved")])


def test_a_saved_model_that_ends_in_a_sigmoid(tmp_path):
    data = data_of("table", classes=("no", "yes"))
    inputs = keras.Input(data.input_shape)
    logit = keras.layers.Dense(1)(inputs)
    path = str(tmp_path / "export")
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(logit))
    model.export(path, verbose=False)
    with pytest.raises(ValueError, match="from 0 to 1 in 64 cases"):
        load([path], data)
    teacher = load([path], data, teacher_gives="probabilities")
    x, _ = arrays(data.test)
    expected = keras.Model(inputs, logit)(x)
    np.testing.assert_allclose(teacher(x), expected, atol=1e-4)


def test_a_teacher_scales_its_own_pixels(tmp_path):
    data = data_of("images")
    model = net(shape=data.input_shape)
    path = saved(tmp_path / "t.keras", model)
    x, _ = arrays(data.test)
    teacher = load([path], data, teacher_preprocess="unit")
    np.testing.assert_allclose(teacher(x), model(x / 255), atol=1e-5)


def test_a_name_is_trained_and_not_loaded():
    source = teachers.source(values(["mlp:8", "4"]))
    assert source.is_trained_here and source.specs == ("mlp:8,4",)
    assert teachers.source(values([])) is None


@pytest.mark.parametrize(
    "flag, given, teachers_are",
    (
        ("combine", "geometric", ["a.keras"]),
        ("combine", "geometric", ["mlp:8", "4"]),
        ("teacher_signature", "other", ["a.keras"]),
        ("teacher_output", "logits", ["a.keras", "b.keras"]),
        ("teacher_output", "logits", ["mlp:8"]),
        ("teacher_gives", "probabilities", ["mlp:8"]),
        ("teacher_gives", "probabilities", []),
        ("teacher_preprocess", "unit", []),
    ),
)
def test_flags_that_a_teacher_ignores(tmp_path, flag, given, teachers_are):
    specs = [
        saved(tmp_path / spec, net()) if spec.endswith(".keras") else spec
        for spec in teachers_are
    ]
    with pytest.raises(
        ValueError, match=f"^--{flag} must be left out.*--{flag}={given} with"
    ):
        teachers.source(values(specs, **{flag: given}))


def test_what_tells_a_teacher_changes_with_its_file(tmp_path):
    path = saved(tmp_path / "t.keras", net())
    before = teachers.source(values([path]))
    saved(path, net())
    assert teachers.source(values([path])).digests != before.digests


class Probabilities(keras.layers.Layer):
    """Hides its softmax from `kdtf.logits_of`."""

    def call(self, x):
        return tf.nn.softmax(x)


@pytest.mark.parametrize(
    ("model", "said"),
    (
        (net(4), "have an output for each of the 3 classes"),
        (net(1), "have an output for each of the 3 classes"),
        (net(shape=(6,)), r"take the cases of --data, \(5,\)"),
        (
            keras.Sequential([keras.Input((5,), 4), net()]),
            "take batches of any size",
        ),
        (
            keras.Sequential([net(), keras.layers.Rescaling(np.inf)]),
            "give finite numbers",
        ),
    ),
    ids=("classes", "one output", "input", "batch", "infinite"),
)
def test_models_that_cannot_teach(tmp_path, model, said):
    path = saved(tmp_path / "t.keras", model)
    with pytest.raises(ValueError, match=rf"^--teacher must {said}") as caught:
        load([path])
    assert path in str(caught.value)


def test_hidden_probabilities_are_seen(tmp_path, x):
    inner = net()
    hidden = Probabilities()
    model = keras.Model(inner.inputs, hidden(inner.outputs[0]))
    path = saved(tmp_path / "t.keras", model)
    with keras.saving.custom_object_scope({"Probabilities": Probabilities}):
        with pytest.raises(ValueError, match="whose outputs are from 0 to 1"):
            load([path])
        teacher = load([path], teacher_gives="probabilities")
    np.testing.assert_allclose(
        log_softmax(teacher(x)), np.log(model(x)), atol=1e-5
    )


@pytest.mark.parametrize("gives", ("logits", "probabilities"))
def test_sigmoids_of_each_class_are_no_distribution(tmp_path, gives):
    model = keras.Sequential([net(), keras.layers.Activation("sigmoid")])
    model.export(tmp_path / "t", verbose=False)
    with pytest.raises(
        ValueError,
        match=r"^--teacher must .* before its sigmoids.*not sum to 1",
    ):
        load([str(tmp_path / "t")], teacher_gives=gives)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"^--teacher must be a file or"):
        teachers.source(values([str(tmp_path / "missing.keras")]))
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"^--teacher must be a Keras model"):
        load([str(damaged)])
    good = saved(tmp_path / "t.keras", net())
    with pytest.raises(ValueError, match="where resnet is no file"):
        teachers.source(values([good, "resnet"]))
