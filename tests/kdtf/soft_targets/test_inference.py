"""kdtf.soft_targets.inference: which teachers there are, and their names."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf.soft_targets import inference
from tests import nets, stores

KERNEL = np.random.default_rng(0).normal(size=(nets.FEATURES, nets.CLASSES))


class Module(tf.Module):
    """A teacher of TensorFlow alone."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(KERNEL, dtype=tf.float32)

    @tf.function
    def __call__(self, x):
        return x @ self.kernel


def in_numpy(x):
    assert isinstance(x, tf.Tensor)  # of values: it can become an array
    return x.numpy() @ KERNEL


def saved(directory):
    module = Module()
    module(tf.zeros((4, nets.FEATURES)))
    shape = tf.TensorSpec([None, nets.FEATURES])
    call = module.__call__.get_concrete_function(shape)
    tf.saved_model.save(module, directory, {"serving_default": call})
    return tf.saved_model.load(directory)


@pytest.mark.parametrize(
    "kind", ("numpy", "module", "function", "loaded", "layer")
)
def test_teachers_that_are_no_keras_models(tmp_path, kind):
    if kind == "loaded":
        teacher = saved(str(tmp_path / "saved"))
    elif kind == "layer":
        saved(str(tmp_path / "saved"))
        teacher = keras.layers.TFSMLayer(
            str(tmp_path / "saved"), call_endpoint="__call__"
        )
    else:
        module = Module()
        teacher = {
            "numpy": in_numpy,
            "module": module,
            "function": tf.function(lambda x: module(x)),
        }[kind]
    store = stores.write(
        tmp_path / "store", teacher, fingerprint="v1", dtype="float32"
    )
    found = stores.read(store.join(stores.dataset()))[1]["teacher_logits"]
    logits = nets.inputs(22) @ KERNEL
    np.testing.assert_allclose(
        found, logits - logits.max(-1, keepdims=True), atol=1e-5
    )
    with pytest.raises(ValueError, match=r"teacher .* there and .* now"):
        stores.write(tmp_path / "store", teacher, fingerprint="v2")


def test_top_k_of_a_teacher_in_numpy(tmp_path):
    options = {"top_k": 2, "temperature": 2.0, "fingerprint": "v1"}
    store = stores.write(tmp_path, in_numpy, **options)
    found = stores.read(store.join(stores.dataset()))[1]
    order = np.argsort(-(nets.inputs(22) @ KERNEL), axis=-1)
    np.testing.assert_array_equal(found["teacher_top_classes"], order[:, :2])


@pytest.mark.slow
def test_model_predict_is_a_teacher(tmp_path):
    model = nets.linear(3)
    stores.write(
        tmp_path / "a", lambda x: model.predict(x, verbose=0), fingerprint="a"
    )
    stores.write(tmp_path / "b", model)
    found = [
        stores.read(kdtf.SoftTargets(tmp_path / name).join(stores.dataset()))
        for name in "ab"
    ]
    np.testing.assert_array_equal(
        found[0][1]["teacher_logits"], found[1][1]["teacher_logits"]
    )


def nothing(x):
    return x


@pytest.mark.parametrize(
    ("teacher", "fingerprint", "message"),
    (
        (3, "a", "`teacher` must be a keras.Model, an Ensemble"),
        (nothing, None, r"`fingerprint` must be given.*nothing"),
        (keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(2.0)]),
         None, "`fingerprint` must be given"),
        (nothing, "", "`fingerprint` must be a string"),
        (nothing, 3, "`fingerprint` must be a string"),
        (keras.Sequential([keras.layers.Dense(4)], name="fresh"), None,
         "`teacher` must be built.*'fresh'"),
        (keras.layers.Dense(4, name="fresh"), "a", "'fresh', which is not"),
        (kdtf.Ensemble([keras.Sequential([keras.layers.Dense(4)])]), None,
         "`teacher` must be built"),
    ),
)  # fmt: skip
def test_teachers_that_cannot_be_told(tmp_path, teacher, fingerprint, message):
    with pytest.raises(ValueError, match=message):
        stores.write(
            tmp_path / "store",
            teacher,
            fingerprint=fingerprint,
            temperature=1.0,
        )
    assert not (tmp_path / "store").exists()


def test_an_ensemble_is_built_when_its_members_are(tmp_path):
    member = keras.Sequential([keras.layers.Dense(4)])
    ensemble = kdtf.Ensemble([member])
    member(nets.inputs(2))
    assert len(stores.write(tmp_path, ensemble, temperature=1.0)) == 22


def test_weights_and_fingerprint_both_tell():
    one, same, other = nets.linear(3), nets.linear(3), nets.linear(4)
    assert inference.identify(one, None) == inference.identify(same, None)
    told = {
        inference.identify(one, None),
        inference.identify(other, None),
        inference.identify(one, "a"),
        inference.identify(one, "b"),
    }
    assert len(told) == 4


@pytest.mark.parametrize(
    ("output", "received"),
    (
        (np.zeros(4, "float32"), r"float32 of shape \(4,\)"),
        (np.zeros((3, 4)), r"float64 of shape \(3, 4\) for a batch of 4"),
        (tf.zeros((4, 5), tf.int32), r"int32 of shape \(4, 5\)"),
        ([np.zeros((4, 5)), np.zeros((4, 5))], "a list, "),
        ({"output": np.zeros((4, 5))}, "a dict, .*output.*float64"),
        (np.array([["a"]]), "str"),
        (np.array([[None]]), "object of shape"),
        (None, "a NoneType"),
    ),
)
def test_what_is_no_logits_is_refused(tmp_path, output, received):
    message = rf"`teacher` must return logits \[batch, .*Received: {received}"
    with pytest.raises(ValueError, match=message):
        stores.write(tmp_path / "a", lambda x: output, fingerprint="a")
    assert not (tmp_path / "a").exists()


def test_so_it_is_of_a_layer(tmp_path):
    class Constant(keras.Model):
        def call(self, x):
            return [x, x]

    constant = Constant()
    constant(nets.inputs(2))
    with pytest.raises(ValueError, match=r"`teacher` must return.*a list"):
        stores.write(tmp_path, constant, fingerprint="a")


def test_logits_of_other_classes_later_are_refused(tmp_path):
    calls = iter((4, 4, 4, 3))

    def teacher(x):
        return np.zeros((len(x), next(calls)))

    with pytest.raises(ValueError, match="4 classes at first, later logits"):
        stores.write(tmp_path, teacher, fingerprint="a")


def test_what_a_teacher_raises_is_shown_as_it_is(tmp_path):
    """And what was complete is kept: a remote teacher may fail at any time."""
    answers = iter([True] * 5)

    def teacher(x):
        if not next(answers, False):
            raise ConnectionError("no answer")
        return np.zeros((len(x), 4))

    with pytest.raises(ConnectionError, match=r"^no answer$"):
        stores.write(tmp_path, teacher, fingerprint="a")
    assert len(list(tmp_path.glob("*.tfrecord"))) == 2


def test_data_that_are_not_batched(tmp_path):
    teacher = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    single = tf.data.Dataset.from_tensor_slices(nets.inputs())
    with pytest.raises(ValueError, match=r"`teacher` must take the batches of"):
        kdtf.SoftTargets.write(tmp_path / "s", teacher, single, verbose=0)
