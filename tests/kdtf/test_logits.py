"""kdtf.logits_of, logits_from_probabilities and numpy_teacher."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import _models
from tests import nets

LAYERS = keras.layers


def functional(build, shape=(5,)):
    x = keras.Input(shape)
    return keras.Model(x, build(x))


def sequential(*layers, shape=(5,)):
    return keras.Sequential([keras.Input(shape), *layers])


def built_by_a_call(*layers):
    model = keras.Sequential(layers)
    model(np.zeros((1, 5), np.float32))
    return model


def dense(activation=None):
    return LAYERS.Dense(4, activation=activation)


SHOWN = {
    "activation": lambda: sequential(dense("softmax")),
    "function of TensorFlow": lambda: sequential(dense(tf.nn.softmax)),
    "sigmoid activation": lambda: sequential(dense("sigmoid")),
    "layer": lambda: sequential(dense(), LAYERS.Softmax()),
    "layer of a functional model": lambda: functional(
        lambda x: LAYERS.Softmax()(dense()(x))
    ),
    "layer of a functional model in a Sequential": lambda: sequential(
        functional(lambda x: LAYERS.Softmax()(dense()(x)))
    ),
    "activation layer": lambda: sequential(
        dense(), LAYERS.Activation("softmax", dtype="float32")
    ),
    "function of ops": lambda: functional(
        lambda x: keras.ops.softmax(dense()(x))
    ),
    "sigmoid of ops": lambda: functional(
        lambda x: keras.ops.sigmoid(dense()(x))
    ),
    "layer as activation": lambda: sequential(dense(LAYERS.Softmax())),
    "before a reshape": lambda: functional(
        lambda x: LAYERS.Reshape((2, 2))(
            LAYERS.Activation("sigmoid")(dense()(x))
        )
    ),
    "before a cast": lambda: sequential(
        dense("softmax"), LAYERS.Activation("linear", dtype="float32")
    ),
    "last axis by number": lambda: functional(
        lambda x: LAYERS.Softmax(axis=2)(dense()(x)), shape=(3, 5)
    ),
    "before a permutation": lambda: functional(
        lambda x: LAYERS.Permute((2, 1, 3))(dense("softmax")(x)),
        shape=(2, 3, 5),
    ),
    "before a flatten": lambda: sequential(
        dense("softmax"),
        LAYERS.Reshape((-1, 4)),
        LAYERS.Flatten(),
    ),
    "nested": lambda: sequential(
        dense("relu"), sequential(dense("softmax"), shape=(4,))
    ),
    "nested in a functional model": lambda: functional(
        lambda x: functional(lambda x: dense("softmax")(x))(x)
    ),
    "in every frame": lambda: functional(
        lambda x: LAYERS.TimeDistributed(dense("softmax"))(x), shape=(3, 5)
    ),
    "built by a call": lambda: built_by_a_call(dense("softmax")),
    "branches": lambda: functional(
        lambda x: dense("softmax")(LAYERS.Add()([dense()(x), dense()(x)]))
    ),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_logits_of_what_ends_in_probabilities(kind):
    model = SHOWN[kind]()
    is_sigmoid = "sigmoid" in kind or kind == "before a reshape"
    assert (_models.last_activation(model) == "sigmoid") is is_sigmoid
    logits = kdtf.logits_of(model)
    assert _models.last_activation(logits) is None
    x = np.random.default_rng(0).normal(size=(7, *model.input_shape[1:]))
    probabilities = tf.sigmoid if is_sigmoid else tf.nn.softmax
    np.testing.assert_allclose(
        probabilities(logits(x)), model(x), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("head", ("softmax", "sigmoid"))
def test_probabilities_are_refused_where_a_model_shows_them(kind, head):
    model = SHOWN[kind]()
    logits = kdtf.logits_of(SHOWN[kind]())
    refused = r"must return logits.*kdtf\.logits_of.*Received: .*ends in a"
    with pytest.raises(ValueError, match=f"`student` {refused}"):
        kdtf.Distiller(model, temperature=2.0, head=head)
    with pytest.raises(ValueError, match=f"`teacher` {refused}"):
        kdtf.Distiller(logits, model, temperature=2.0, head=head)
    with pytest.raises(ValueError, match=rf"`members\[1\]` {refused}"):
        kdtf.Ensemble([logits, model], head=head)
    kdtf.Distiller(logits, kdtf.logits_of(model), temperature=2.0, head=head)


def test_a_sparsemax_is_refused_too():
    with pytest.raises(ValueError, match=r"`student` must.*a sparsemax"):
        kdtf.Distiller(sequential(dense("sparsemax")), temperature=2.0)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = dense("softmax")

    def call(self, x):
        return self.last(x)


@pytest.mark.parametrize(
    "build",
    (
        lambda: sequential(dense()),
        lambda: sequential(dense("relu")),
        lambda: functional(lambda x: keras.ops.log_softmax(dense()(x))),
        # A gate, not the end.
        lambda: functional(
            lambda x: LAYERS.Multiply()([dense("sigmoid")(x), dense()(x)])
        ),
        lambda: functional(lambda x: [dense("relu")(x), dense()(x)]),
        Subclassed,
    ),
)
def test_what_shows_no_probabilities(build):
    model = build()
    assert _models.last_activation(model) is None
    with pytest.raises(ValueError, match=r"`model` must be.*shows neither"):
        kdtf.logits_of(model)


@pytest.mark.parametrize(
    "last",
    (
        keras.layers.Activation("linear"),
        keras.layers.Identity(),
        keras.layers.Reshape((3,)),
    ),
)
def test_a_model_that_was_never_called(last):
    dense = keras.layers.Dense(3)
    model = keras.Sequential([dense, keras.layers.Softmax(), last])
    cut = kdtf.logits_of(model)
    x = nets.inputs(4)
    np.testing.assert_allclose(cut(x), dense(x), atol=1e-6)


def test_logits_of_keeps_what_a_model_was():
    model = sequential(dense("relu"), dense("softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    logits = kdtf.logits_of(model)
    assert logits.name == model.name and not logits.compiled
    assert logits.layers[0] is model.layers[0]
    assert logits.layers[1] is not model.layers[1]
    with pytest.raises(ValueError, match=r"`model` must be a keras.Model"):
        kdtf.logits_of(dense())


@pytest.mark.parametrize(
    ("build", "message"),
    (
        (lambda x: LAYERS.Softmax(axis=1)(dense()(x)), "over axis 1"),
        (lambda x: keras.ops.softmax(dense()(x), axis=1), "over axis 1"),
        (lambda x: dense(LAYERS.Softmax(axis=(1, 2)))(x), r"axis \(1, 2\)"),
        (
            lambda x: LAYERS.TimeDistributed(LAYERS.Softmax(axis=0))(x),
            "over axis 0",
        ),
        (lambda x: LAYERS.Permute((2, 1))(dense("softmax")(x)), "'permute"),
        (lambda x: LAYERS.Flatten()(dense("softmax")(x)), "'flatten"),
        (lambda x: LAYERS.Reshape((6, 2))(dense("softmax")(x)), "'reshape"),
    ),
)
def test_classes_that_are_not_in_the_last_axis(build, message):
    with pytest.raises(
        ValueError, match=rf"`model` must.*last axis.*{message}"
    ):
        kdtf.logits_of(functional(build, shape=(3, 5)))


@keras.saving.register_keras_serializable("tests")
class Block(LAYERS.Layer):
    """Two dense layers, and an activation after the first or the last."""

    def __init__(self, activation, after, **kwargs):
        super().__init__(**kwargs)
        self.activation, self.after = keras.activations.get(activation), after
        self.hidden, self.last = LAYERS.Dense(6), LAYERS.Dense(3)

    def call(self, x):
        if self.after == "first":
            return self.last(self.activation(self.hidden(x)))
        return self.activation(self.last(self.hidden(x)))

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        own = {"activation": activation, "after": self.after}
        return {**super().get_config(), **own}


@pytest.mark.parametrize(
    "layer",
    (
        # Each state follows from the last one, probabilities as they are.
        lambda: LAYERS.SimpleRNN(3, activation="softmax"),
        lambda: LAYERS.GRU(3, activation="softmax", return_sequences=True),
        lambda: LAYERS.LSTM(3, activation="sigmoid"),
        lambda: Block("sigmoid", "first"),
    ),
)
def test_an_activation_within_a_layer(layer):
    model = sequential(layer(), shape=(4, 5))
    with pytest.raises(ValueError, match=r"(?s)`model` must .*Dense.*Received"):
        kdtf.logits_of(model)


@pytest.mark.parametrize("dtype", (None, "bfloat16"))
def test_an_activation_at_the_end_of_a_layer_of_ones_own(dtype):
    cast = LAYERS.Rescaling(1.0, dtype=dtype)  # what the block then gets
    model = sequential(cast, Block("sigmoid", "last"))
    z = np.asarray(kdtf.logits_of(model)(nets.inputs()), np.float64)
    np.testing.assert_allclose(
        1 / (1 + np.exp(-z)), model(nets.inputs()), rtol=1e-5
    )


class OwnConv(LAYERS.Conv2D):
    """A layer of one's own, for images of its kernel's size or larger."""


def test_a_layer_of_ones_own_that_needs_more_than_the_sizes_it_tells():
    layer = OwnConv(3, 5, activation="softmax")
    model = sequential(layer, shape=(None, None, 2))
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)
    z = kdtf.logits_of(model)(x)
    np.testing.assert_allclose(tf.nn.softmax(z), model(x), atol=1e-6)


def test_weights_of_low_rank_count_as_much_as_they_did():
    model, x = sequential(dense("softmax")), nets.inputs()
    last = model.layers[-1]
    last.enable_lora(2, lora_alpha=8)
    last.lora_kernel_b.assign(np.random.default_rng(0).normal(size=(2, 4)))
    a, b, kernel = map(
        np.array, (last.lora_kernel_a, last.lora_kernel_b, last._kernel)
    )
    np.testing.assert_allclose(
        kdtf.logits_of(model)(x), x @ (kernel + 8 / 2 * a @ b), atol=1e-5
    )


def test_a_softmax_that_is_called_elsewhere_too():
    """Cut there as well, the model would be another one."""
    x = keras.Input((5,))
    last = LAYERS.Activation("softmax")
    gated = LAYERS.Multiply()([last(dense()(x)), dense()(x)])
    model = keras.Model(x, last(dense()(gated)))
    with pytest.raises(ValueError, match=r"softmax or sigmoid once.*again"):
        kdtf.logits_of(model)


def test_a_softmax_that_is_called_with_a_mask():
    """Without it the model would be another one."""
    x, mask = keras.Input((5,)), keras.Input((4,), dtype="bool")
    model = keras.Model([x, mask], LAYERS.Softmax()(dense()(x), mask=mask))
    with pytest.raises(ValueError, match=r"`model` must.*without a mask"):
        kdtf.logits_of(model)


def test_cut_models_are_saved_as_others_are(tmp_path):
    for kind in ("activation layer", "layer", "in every frame"):
        model = kdtf.logits_of(SHOWN[kind]())
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        x = np.ones((2, *model.input_shape[1:]))
        np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.slow
def test_logits_of_an_application(tmp_path):
    model = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(32, 32, 3), classes=5
    )
    teacher = kdtf.logits_of(model)
    teacher.save(tmp_path / "teacher.keras")
    loaded = keras.saving.load_model(tmp_path / "teacher.keras")
    x = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)) * 255
    np.testing.assert_allclose(
        tf.nn.softmax(loaded(x)), model(x), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("head", ("softmax", "sigmoid"))
def test_logits_from_probabilities(head):
    p = np.array([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0]])
    z = kdtf.logits_from_probabilities(p, head=head)
    assert isinstance(z, np.ndarray) and z.dtype == np.float64
    again = tf.nn.softmax(z) if head == "softmax" else tf.sigmoid(z)
    np.testing.assert_allclose(again, p, atol=3e-7)
    assert np.isfinite(z).all()
    tensor = kdtf.logits_from_probabilities(tf.constant(p, "float32"))
    assert tf.is_tensor(tensor) and tensor.dtype == tf.float32
    graph = tf.function(lambda p: kdtf.logits_from_probabilities(p, head=head))
    np.testing.assert_allclose(graph(tf.constant(p)), z)


@pytest.mark.parametrize(
    ("p", "head", "pattern"),
    (
        ([[0.5, 0.6]], "softmax", "sum to 1 over the classes"),
        ([[-1.0, 2.0]], "softmax", "be from 0 to 1"),
        ([[3.0, 0.5]], "sigmoid", "be from 0 to 1"),
        ([[np.nan, 0.5]], "sigmoid", "be from 0 to 1"),
    ),
)
def test_what_is_no_probability(p, head, pattern):
    with pytest.raises(ValueError, match=rf"`probabilities` must.*{pattern}"):
        kdtf.logits_from_probabilities(p, head=head)
    kdtf.logits_from_probabilities([[0.5, 0.6]], head="sigmoid")


@pytest.mark.parametrize("floor", (0.0, 0.5, -1.0, np.nan))
def test_floor_is_a_small_probability(floor):
    with pytest.raises(ValueError, match=r"`floor` must.*Received: floor="):
        kdtf.logits_from_probabilities([[0.5, 0.5]], floor=floor)


@pytest.mark.parametrize(
    "jit_compile", (False, pytest.param(True, marks=pytest.mark.slow))
)
@pytest.mark.parametrize("steps", (1, 4))
def test_numpy_teacher_teaches_as_its_net_does(jit_compile, steps):
    weights = nets.values(nets.linear(7))

    def function(x):
        assert isinstance(x, np.ndarray)
        return x @ weights[0] + weights[1]

    trained = []
    for teacher in (
        nets.linear(7),
        kdtf.numpy_teacher(function, shape=(nets.CLASSES,)),
    ):
        student = nets.linear()
        distiller = kdtf.Distiller(student, teacher, temperature=2.0)
        distiller.compile(
            "sgd", jit_compile=jit_compile, steps_per_execution=steps
        )
        distiller.fit(nets.inputs(), nets.labels(), 3, shuffle=False, verbose=0)
        trained.append(nets.values(student))
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_numpy_teacher_of_several_inputs_and_frames():
    teacher = kdtf.numpy_teacher(lambda x: x["a"] - x["b"], shape=(None, 2))
    x = {"a": tf.ones((3, 4, 2)), "b": tf.zeros((3, 4, 2))}
    np.testing.assert_array_equal(teacher(x), np.ones((3, 4, 2)))
    traced = tf.function(teacher).get_concrete_function(x)
    assert traced.structured_outputs.shape.as_list() == [3, None, 2]


def test_what_numpy_teachers_are_not():
    with pytest.raises(ValueError, match=r"`shape` must.*Received: shape="):
        kdtf.numpy_teacher(len, shape=())
    with pytest.raises(ValueError, match=r"`shape` must.*Received: shape=3"):
        kdtf.numpy_teacher(len, shape=3)
    wrong = kdtf.numpy_teacher(lambda x: x[:, :2], shape=(3,))
    with pytest.raises(ValueError, match=r"`function` must return logits of"):
        wrong(tf.zeros((5, 3)))


def test_numpy_teachers_give_logits():
    """What is forgotten first: scikit-learn gives probabilities."""
    forgot = kdtf.numpy_teacher(
        lambda x: np.full((len(x), 4), 0.25), shape=(4,)
    )
    with pytest.raises(ValueError, match=r"`function` must give logits, not"):
        forgot(nets.inputs())
    distiller = kdtf.Distiller(nets.linear(), forgot, temperature=2.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"`function` must give logits, not"):
        distiller.fit(nets.inputs(), verbose=0)


def test_numpy_teacher_of_a_decision_function():
    teacher = kdtf.numpy_teacher(lambda x: x[:, 0], shape=(1,))
    np.testing.assert_array_equal(
        teacher(tf.constant(nets.inputs())), nets.inputs()[:, :1]
    )


@pytest.mark.parametrize("structure", (dict, list))
def test_outputs_are_cut_each(structure):
    """A softmax, a sigmoid, and an output that is left as it is."""
    x = keras.Input((5,))
    hidden = LAYERS.Dense(6, "relu")(x)
    parts = {
        "kind": LAYERS.Dense(4, activation="softmax")(hidden),
        "tags": LAYERS.Activation("sigmoid")(LAYERS.Dense(3)(hidden)),
        "hidden": hidden,
    }
    model = keras.Model(x, parts if structure is dict else [*parts.values()])
    cut, inputs = kdtf.logits_of(model), nets.inputs()
    before, after = model(inputs), cut(inputs)
    if structure is list:
        before, after = (
            dict(zip(parts, found, strict=True)) for found in (before, after)
        )
    kind, tags = tf.nn.softmax(after["kind"]), tf.sigmoid(after["tags"])
    np.testing.assert_allclose(kind, before["kind"], atol=1e-6)
    np.testing.assert_allclose(tags, before["tags"], atol=1e-6)
    np.testing.assert_array_equal(after["hidden"], before["hidden"])
    assert np.ptp(after["kind"]) > 1.01  # no probabilities
    for output in cut.outputs:
        assert _models.last_activation(cut, output) is None
