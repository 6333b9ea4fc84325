"""A Distiller with rows_at_a_time trains as one that makes its logits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import linear_head

CLASSES, ROWS = 30, 10
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 5)).astype(np.float32)
LABELS = RNG.integers(-1, CLASSES, ROWS)
WEIGHTS = RNG.uniform(size=ROWS).astype(np.float32)
TOKENS = RNG.integers(1, CLASSES, (6, 4))
TOKENS[:, 2:] *= RNG.integers(0, 2, (6, 2))


def net(units=4, last=None):
    last = last or keras.layers.Dense(CLASSES)
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(units, "relu"), last]
    )


def language_model(units=4, tied=True, **options):
    """Tied embeddings and a mask of tokens that are 0."""
    inputs = keras.Input((4,), dtype="int32", name="tokens")
    embedding = keras.layers.ReversibleEmbedding(
        CLASSES, units, tie_weights=tied, **options
    )
    hidden = keras.layers.Dense(units, "tanh")(embedding(inputs))
    return keras.Model(inputs, embedding(hidden, reverse=True))


def masked_model(units=4):
    inputs = keras.Input((4,), dtype="int32")
    hidden = keras.layers.Embedding(CLASSES, units, mask_zero=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden))


def trained(make, rows_at_a_time, x, y, teacher=None, weights=None, **options):
    """History and weights of a student after an epoch and its evaluation."""
    keras.utils.set_random_seed(1)
    student = make()
    distiller = kdtf.Distiller(
        student,
        teacher,
        temperature=2.0,
        soft_weight=0.7,
        hard_weight=0.3,
        rows_at_a_time=rows_at_a_time,
    )
    optimizer = options.pop("optimizer", keras.optimizers.SGD(0.5))
    distiller.compile(optimizer, metrics=["accuracy"], **options)
    history = distiller.fit(
        x,
        y,
        batch_size=4,
        shuffle=False,
        verbose=0,
        sample_weight=weights,
        validation_data=(x, y) if y is not None else None,
    )
    return history.history, student.get_weights()


def assert_same(make, x, y, rtol=1e-5, **options):
    fused, own = trained(make, 3, x, y, **options)
    apart, theirs = trained(make, None, x, y, **options)
    assert set(fused) == set(apart)
    for name in apart:
        np.testing.assert_allclose(fused[name], apart[name], rtol=rtol)
    for a, b in zip(own, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    (
        {"jit_compile": False},
        {"jit_compile": True, "steps_per_execution": 2},
        {"run_eagerly": True},
    ),
)
def test_trains_as_without(how):
    keras.utils.set_random_seed(2)
    assert_same(net, X, LABELS, teacher=net(7), weights=WEIGHTS, **how)


@pytest.mark.slow
@pytest.mark.parametrize("tied", (True, False))
def test_tied_embeddings_get_the_gradients_of_both_uses(tied):
    keras.utils.set_random_seed(2)
    assert_same(
        lambda: language_model(tied=tied),
        TOKENS,
        np.roll(TOKENS, -1, 1),
        teacher=language_model(7),
        jit_compile=False,
    )


@pytest.mark.slow
def test_masked_tokens_weigh_nothing():
    labels = np.where(TOKENS > 3, TOKENS, -1)
    weights = np.ones(TOKENS.shape, np.float32)
    weights[:, 0] = 0.5
    assert_same(
        masked_model,
        TOKENS,
        labels,
        teacher=masked_model(),
        weights=weights,
        jit_compile=False,
    )


@pytest.mark.slow
def test_a_teacher_that_is_no_model_gives_logits():
    kernel = RNG.normal(size=(5, CLASSES)).astype(np.float32)
    assert_same(
        net, X, LABELS, teacher=lambda x: tf.tanh(x @ kernel), jit_compile=False
    )


def constant(logits):
    """A net that gives the same logits, -20 of classes that are not named."""
    model = net()
    bias = np.full(CLASSES, -20.0)
    bias[list(logits)] = list(logits.values())
    model.layers[-1].set_weights([np.zeros((4, CLASSES)), bias])
    return model


@pytest.mark.slow
def test_an_ensemble_agrees_by_its_logits_at_1():
    """Its mean is largest at class 2, but at T = 4 at class 1."""
    ensemble = kdtf.Ensemble(
        [constant({0: 6.0, 1: 5.0}), constant({1: 8.0, 2: 10.0})]
    )
    at_1, at_4 = (
        np.argmax(ensemble.combine_logits(ensemble.member_logits(X), t)[0])
        for t in (1.0, 4.0)
    )
    assert (at_1, at_4) == (2, 1)
    distiller = kdtf.Distiller(
        constant({2: 1.0}), ensemble, temperature=4.0, rows_at_a_time=3
    )
    distiller.compile(jit_compile=False)
    found = distiller.evaluate(X, LABELS, verbose=0, return_dict=True)
    assert found["agreement"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("top", (False, True))
def test_targets_from_the_data(top):
    logits = RNG.normal(size=(ROWS, CLASSES)).astype(np.float32)
    y = {"labels": LABELS, "teacher_logits": logits}
    if top:
        parts = kdtf.TopLogits.of(logits, 4, 2.0)
        y = {
            "labels": LABELS,
            "teacher_top_logits": parts.logits.numpy(),
            "teacher_top_classes": parts.classes.numpy(),
            "teacher_tail": parts.tail.numpy(),
        }
    assert_same(net, X, y, jit_compile=False)


@pytest.mark.slow
def test_labels_alone():
    for rows in (3, None):
        student = net()
        distiller = kdtf.Distiller(
            student, temperature=1.0, soft_weight=0.0, rows_at_a_time=rows
        )
        distiller.compile("sgd", jit_compile=False)
        student.set_weights([np.ones(w.shape) for w in student.get_weights()])
        history = distiller.fit(X, LABELS, verbose=0).history
        # All logits are the same.
        np.testing.assert_allclose(
            history["hard_loss"], np.log(CLASSES), rtol=1e-6
        )
        assert set(history) == {"loss", "hard_loss"}


@pytest.mark.slow
@pytest.mark.parametrize("policy", ("mixed_bfloat16", "mixed_float16"))
def test_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        teacher = net(7)
        fused, own = trained(net, 3, X, LABELS, teacher=teacher)
        apart, theirs = trained(net, None, X, LABELS, teacher=teacher)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(fused["loss"], apart["loss"], rtol=1e-2)
    for a, b in zip(own, theirs, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=5e-3)


def test_saved_and_loaded(tmp_path):
    distiller = kdtf.Distiller(net(), temperature=2.0, rows_at_a_time=3)
    distiller.compile("sgd")
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert loaded.get_config()["rows_at_a_time"] == 3
    assert len(loaded.weights) == len(distiller.weights)
    np.testing.assert_allclose(
        loaded.predict(X, verbose=0),
        distiller.student.predict(X, verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )
    assert loaded.predict(X, verbose=0).shape == (ROWS, CLASSES)


def test_logits_of_a_classifier_are_split():
    classifier = net(last=keras.layers.Dense(CLASSES, activation="softmax"))
    keras_head = keras.Sequential(
        [keras.Input((5,)), *net().layers, keras.layers.Activation("softmax")]
    )
    for model in (classifier, keras_head):
        cut = kdtf.logits_of(model)
        split = linear_head.SplitModel(cut, "student")
        hidden = split.hidden(X, training=False)
        parts = split.logits(hidden)
        np.testing.assert_allclose(
            hidden @ parts.kernel + parts.bias, cut(X), rtol=1e-5, atol=1e-6
        )


def test_einsum_dense_is_split():
    last = keras.layers.EinsumDense("ab,bc->ac", CLASSES, bias_axes="c")
    model = net(last=last)
    split = linear_head.SplitModel(model, "student")
    hidden = split.hidden(X, training=False)
    parts = split.logits(hidden)
    np.testing.assert_allclose(
        hidden @ parts.kernel + parts.bias, model(X), rtol=1e-5, atol=1e-6
    )


class CodeOfItsOwn(keras.Model):
    def call(self, x):
        return x


class Confident(kdtf.Distiller):
    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        return super().compute_loss(x, y, y_pred, sample_weight)


def with_lora():
    model = net()
    model.layers[-1].enable_lora(2)
    return model


@pytest.mark.parametrize(
    ("student", "message"),
    (
        (lambda: net(last=keras.layers.Dense(CLASSES, "relu")), "activation"),
        (lambda: net(last=keras.layers.LayerNormalization()), "none of them"),
        (lambda: language_model(logit_soft_cap=3.0), "logit_soft_cap"),
        (CodeOfItsOwn, "shows no layers"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "shows no layers"),
        (with_lora, "LoRA"),
    ),
)
def test_students_that_are_refused(student, message):
    with pytest.raises(ValueError, match=f"`student` must be.*{message}"):
        kdtf.Distiller(student(), temperature=1.0, rows_at_a_time=3)


@pytest.mark.slow
@pytest.mark.parametrize("run_eagerly", (False, True))
@pytest.mark.parametrize("role", ("student", "teacher"))
def test_models_that_are_quantized_later_are_refused(role, run_eagerly):
    models = {"student": net(), "teacher": net(7)}
    distiller = kdtf.Distiller(**models, temperature=1.0, rows_at_a_time=3)
    models[role].quantize("int8")
    distiller.compile("sgd", run_eagerly=run_eagerly)
    with pytest.raises(ValueError, match=f"`{role}` must.*was quantized after"):
        distiller.evaluate(X, LABELS, verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"rows_at_a_time": 0}, "be a positive int"),
        ({"head": "sigmoid"}, "the head is"),
        ({"check_inputs": True}, "check_inputs"),
        ({"hints": [kdtf.Hint("a", "b")]}, "hints"),
    ),
)
def test_options_that_are_refused(options, message):
    options = {"temperature": 1.0, "rows_at_a_time": 3, **options}
    with pytest.raises(ValueError, match=f"`rows_at_a_time` must .*{message}"):
        kdtf.Distiller(net(), **options)


def test_subclasses_and_strategies_are_refused(mirrored_strategy):
    with pytest.raises(ValueError, match="overrides compute_loss"):
        Confident(net(), temperature=1.0, rows_at_a_time=3)
    with (
        mirrored_strategy.scope(),
        pytest.raises(ValueError, match="a strategy has several replicas"),
    ):
        kdtf.Distiller(net(), temperature=1.0, rows_at_a_time=3)


@pytest.mark.parametrize(
    "metric", (kdtf.metrics.ExpectedCalibrationError(), "mse")
)
def test_metrics_of_logits_are_refused(metric):
    distiller = kdtf.Distiller(net(), temperature=1.0, rows_at_a_time=3)
    with pytest.raises(ValueError, match=r"`metrics` must be .accuracy."):
        distiller.compile(metrics=[metric])
