"""What hints add to a loss, against numpy in float64; what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._math import entries
from kdtf._training.features import captured
from kdtf._training.hint_terms import HintTerms
from kdtf.hints import Hint

BATCH, STEPS, THIN, WIDE, CLASSES = 4, 3, 2, 5, 3


def frames(width, *, name, classes=CLASSES, **kwargs):
    """`[batch, time, 2]` -> features and logits of every step."""
    return keras.Sequential(
        [
            keras.Input((STEPS, 2)),
            keras.layers.Dense(width, name="hidden"),
            keras.layers.Dense(classes, name="out"),
        ],
        name=name,
        **kwargs,
    )


def images(width, size=4):
    return keras.Sequential(
        [
            keras.Input((size, size, 2)),
            keras.layers.Conv2D(width, 1, name="hidden"),
            keras.layers.GlobalAveragePooling2D(name="pooled"),
            keras.layers.Dense(CLASSES),
        ]
    )


def terms_of(*hints, student=None, teacher=None):
    student = student or frames(WIDE, name="student")
    teacher = teacher or frames(WIDE, name="teacher")
    return HintTerms(hints, student, teacher, student.dtype_policy)


def losses_of(terms, ours, theirs, logits):
    return terms.by_entry(terms.row_losses(ours, theirs), logits)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def float64(*arrays):
    return [np.asarray(each, np.float64) for each in arrays]


def mse(u, v):
    u, v = float64(u, v)
    return ((u - v) ** 2).mean(-1)


def cosine(u, v):
    u, v = float64(u, v)
    norms = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
    return -(u * v).sum(-1) / norms


def batch(rows=BATCH):
    """Features of student and teacher, and logits, one for each step."""
    return (
        tf.constant(normal(rows, STEPS, WIDE)),
        tf.constant(normal(rows, STEPS, WIDE, seed=1)),
        tf.constant(normal(rows, STEPS, CLASSES)),
    )


@pytest.mark.parametrize(
    ("loss", "expected"),
    (
        ("mse", mse),
        (keras.losses.MeanSquaredError(), mse),
        ("cosine_similarity", cosine),
        (lambda u, v: tf.reduce_mean((u - v) ** 2, -1), mse),
    ),
)
def test_losses_of_steps_are_those_of_entries(loss, expected):
    terms = terms_of(Hint("hidden", "hidden", loss=loss))
    ours, theirs, logits = batch()
    [values] = losses_of(terms, [ours], [theirs], logits)
    assert values.dtype == tf.float32
    np.testing.assert_allclose(values, expected(theirs, ours), rtol=1e-5)


@pytest.mark.parametrize("steps", (STEPS, None))
def test_losses_of_other_axes_are_means_of_an_example(steps):
    """One value for the example, and all of its entries have it."""
    terms = terms_of(Hint("hidden", "hidden"))
    ours, theirs, logits = batch()
    per_example = mse(theirs, ours).mean(-1)
    [values] = losses_of(terms, [ours], [theirs], logits[:, 0])
    np.testing.assert_allclose(values, per_example, rtol=1e-5)

    @tf.function(
        input_signature=[tf.TensorSpec((None, steps, CLASSES))],
        autograph=False,
    )
    def of_other_steps(logits):
        [values] = losses_of(terms, [ours], [theirs], logits)
        return values

    wide = tf.constant(normal(BATCH, steps or STEPS + 2, CLASSES))
    expected = mse(theirs, ours)
    if steps is None:
        expected = np.repeat(per_example[:, None], STEPS + 2, axis=1)
        same = of_other_steps(logits)
        np.testing.assert_allclose(same, mse(theirs, ours), rtol=1e-5)
    np.testing.assert_allclose(of_other_steps(wide), expected, rtol=1e-5)


def test_images_have_one_value_each():
    terms = terms_of(
        Hint("hidden", "hidden"), student=images(WIDE), teacher=images(WIDE)
    )
    ours, theirs = normal(2, 4, 4, WIDE), normal(2, 4, 4, WIDE, seed=1)
    [values] = losses_of(
        terms,
        [tf.constant(ours)],
        [tf.constant(theirs)],
        tf.zeros((2, CLASSES)),
    )
    expected = mse(theirs, ours).mean((1, 2))
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_the_mean_of_an_example_is_over_its_valid_steps():
    terms = terms_of(Hint("hidden", "hidden"))
    ours, theirs, logits = batch()
    mask = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0]], bool)
    ours = tf.where(mask[..., None], ours, np.nan)  # what is not valid
    kdtf._keras_private.set_mask(ours, tf.constant(mask))
    [values] = losses_of(terms, [ours], [theirs], logits[:, 0])
    rows = mse(theirs, ours)
    expected = [rows[i, each].mean() for i, each in enumerate(mask[:3])]
    np.testing.assert_allclose(values, [*expected, 0.0], rtol=1e-5)


def test_weights_and_masks_of_entries_count():
    """Sum of weight times loss over the number of valid entries."""
    terms = terms_of(
        Hint("hidden", "hidden", weight=0.5),
        Hint("hidden", "hidden", loss="cosine_similarity", name="angle"),
    )
    ours, theirs, logits = batch()
    mask = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1]], bool)
    kdtf._keras_private.set_mask(logits, tf.constant(mask))
    given = np.array([1.0, 0.0, 2.0, 0.5], np.float32)
    weights = entries.entry_weights(logits, given)
    each = losses_of(terms, [ours, ours], [theirs, theirs], logits)

    def mean(rows):
        return (given[:, None] * mask * rows).sum() / mask.sum()

    first, second = mean(mse(theirs, ours)), mean(cosine(theirs, ours))
    loss = terms.loss(each, weights, logits)
    np.testing.assert_allclose(loss, 0.5 * first + second, rtol=1e-5)
    terms.weights["hidden_hint"].assign(3.0)
    loss = terms.loss(each, weights, logits)
    np.testing.assert_allclose(loss, 3 * first + second, rtol=1e-5)


def test_narrow_features_are_compared_in_float32():
    """Only what the inputs lost by rounding is lost."""
    terms = terms_of(Hint("hidden", "hidden"))
    ours, theirs, logits = batch()
    narrow = [tf.cast(each, tf.bfloat16) for each in (ours, theirs, logits)]
    [values] = losses_of(terms, narrow[:1], narrow[1:2], narrow[2])
    assert values.dtype == tf.float32
    rounded = [tf.cast(each, tf.float32) for each in narrow]
    np.testing.assert_allclose(values, mse(rounded[1], rounded[0]), rtol=1e-5)
    np.testing.assert_allclose(values, mse(theirs, ours), rtol=0.1)


@pytest.mark.parametrize("jit_compile", (None, False, True))
def test_gradients_are_those_of_the_loss(jit_compile):
    """By finite differences in float64, of the student's side alone."""
    student = frames(THIN, name="student")
    teacher = frames(WIDE, name="teacher")
    terms = terms_of(Hint("hidden", "hidden"), student=student, teacher=teacher)
    [projection] = terms.projections
    x = normal(BATCH, STEPS, 2)
    ours, theirs = (m.get_layer("hidden") for m in (student, teacher))
    variables = [
        ours.kernel.value,
        projection.kernel.value,
        theirs.kernel.value,
    ]

    def gradients():
        with tf.GradientTape() as tape:
            with captured(terms.teacher) as given:
                teacher(x)
            with captured(terms.student) as found:
                logits = student(x, training=True)
            each = losses_of(terms, found, given, logits)
            loss = terms.loss(each, None, logits)
        return loss, tape.gradient(loss, variables)

    run = gradients
    if jit_compile is not None:
        run = tf.function(gradients, jit_compile=jit_compile, autograph=False)
    loss, (of_student, of_projection, of_teacher) = run()
    assert of_teacher is None

    def value(kernel, projected):
        """Biases are 0 at first."""
        u, a, b = float64(x @ theirs.kernel.numpy(), kernel, projected)
        return ((np.float64(x) @ a @ b - u) ** 2).mean()

    kernels = float64(ours.kernel, projection.kernel)
    np.testing.assert_allclose(loss, value(*kernels), rtol=1e-5)
    for i, gradient in enumerate((of_student, of_projection)):
        expected = np.zeros_like(kernels[i])
        for place in np.ndindex(expected.shape):
            around = []
            for step in (1e-5, -1e-5):
                moved = [np.copy(kernel) for kernel in kernels]
                moved[i][place] += step
                around.append(value(*moved))
            expected[place] = (around[0] - around[1]) / 2e-5
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_a_projection_is_where_widths_differ():
    student = frames(THIN, name="student", trainable=True)
    student.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    terms = terms_of(
        Hint("hidden", "hidden"), Hint("out", "out"), student=student
    )
    [projection] = terms.projections
    assert projection.name == "hidden_hint_projection"
    assert projection.kernel.shape == (THIN, WIDE) and projection.use_bias
    assert projection.compute_dtype == "bfloat16"
    assert terms.trainable_weights == projection.trainable_weights
    assert [tracker.name for tracker in terms.trackers] == [
        "hidden_hint_loss",
        "out_hint_loss",
    ]


def test_a_projection_of_ones_own():
    pooling = keras.layers.AveragePooling2D(2)
    terms = terms_of(
        Hint("hidden", "hidden", projection=pooling),
        student=images(WIDE),
        teacher=images(WIDE, size=2),
    )
    ours, theirs = normal(2, 4, 4, WIDE), normal(2, 2, 2, WIDE, seed=1)
    [values] = losses_of(
        terms,
        [tf.constant(ours)],
        [tf.constant(theirs)],
        tf.zeros((2, CLASSES)),
    )
    pooled = ours.reshape(2, 2, 2, 2, 2, WIDE).mean((2, 4))
    expected = mse(theirs, pooled).mean((1, 2))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert terms.projections == [pooling] and not terms.trainable_weights


def test_saved_hints_need_no_teacher():
    student = frames(THIN, name="student")
    before = terms_of(Hint("hidden", "hidden"), student=student)
    config = keras.saving.serialize_keras_object(before.hints[0])
    hint = keras.saving.deserialize_keras_object(config)
    terms = HintTerms([hint], student, None, student.dtype_policy)
    assert terms.teacher is None
    assert terms.projections[0].kernel.shape == (THIN, WIDE)
    ours, theirs, logits = batch()
    with pytest.raises(ValueError, match="set_teacher"):
        losses_of(terms, [ours[..., :THIN]], [], logits)
    with pytest.raises(ValueError, match=r"made for, \[batch, 3, 5\].*3, 6\]"):
        terms.set_teacher(frames(WIDE + 1, name="teacher"))
    assert terms.teacher is None
    terms.set_teacher(frames(WIDE, name="teacher"))
    [values] = losses_of(terms, [ours[..., :THIN]], [theirs], logits)
    assert values.shape == (BATCH, STEPS)


def test_weights_refuse_what_the_constructor_refuses():
    weight = terms_of(Hint("hidden", "hidden", weight=0.5)).weights[
        "hidden_hint"
    ]
    assert float(weight) == 0.5
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="`hidden_hint` must be one"):
            weight.assign(value)
    weight.assign(0.0)
    assert float(weight) == 0.0


@pytest.mark.parametrize("hints", (None, "hidden", [("a", "b")], {"a": "b"}))
def test_what_is_no_list_of_hints_is_refused(hints):
    models = [frames(WIDE, name=name) for name in "st"]
    with pytest.raises(ValueError, match="`hints` must be a list of"):
        HintTerms(hints, *models, keras.DTypePolicy("float32"))


def refused(hints, match, **models):
    with pytest.raises(ValueError, match=match):
        terms_of(*hints, **models)


def test_hints_that_cannot_be_told_apart_are_refused():
    hint = Hint("hidden", "hidden")
    refused([hint, Hint("hidden", "out")], "2 hints named 'hidden_hint'")
    layer = keras.layers.Dense(WIDE)
    twice = [
        Hint("hidden", "hidden", projection=layer, name=name) for name in "ab"
    ]
    refused(twice, "a projection of their own")


def test_a_teacher_without_layers_is_refused():
    hint = Hint("hidden", "hidden")
    student = frames(WIDE, name="student")
    with pytest.raises(ValueError, match=r"`teacher` must be.*teacher=None"):
        HintTerms([hint], student, None, student.dtype_policy)
    refused([hint], "`teacher` must be a keras.Model", teacher=lambda x: x)
    assert HintTerms([], student, lambda x: x, None).hints == []


def test_shapes_that_do_not_fit_are_refused():
    thin = frames(THIN, name="student")
    refused(
        [Hint("hidden", "hidden", projection=None)],
        r'projection="auto" would map the width 2 to 5\. Received: '
        r"projection=None, which gives \[batch, 3, 2\], of the hint "
        r"'hidden_hint': student='hidden' of shape \[batch, 3, 2\], "
        r"teacher='hidden' of shape \[batch, 3, 5\]",
        student=thin,
    )
    refused(
        [Hint("hidden", "hidden")],
        r"last axis alone.*\[batch, 4, 4, 5\].*\[batch, 2, 2, 5\]",
        student=images(WIDE),
        teacher=images(WIDE, size=2),
    )
    refused(
        [Hint("pooled", "hidden")],
        r"last axis alone.*\[batch, 5\]",
        student=images(WIDE),
        teacher=images(WIDE),
    )
    wrong = keras.layers.Dense(WIDE + 1, name="wrong")
    refused(
        [Hint("hidden", "hidden", projection=wrong)],
        r"give a keras.Layer that does.*gives \[batch, 3, 6\]",
    )
    broken = keras.layers.Reshape((7,), name="broken")
    refused(
        [Hint("hidden", "hidden", projection=broken)],
        r"must take the student's feature.*'broken' raised ValueError",
    )


def test_features_of_no_known_width_need_no_projection():
    student = keras.Sequential(
        [
            keras.Input((None, None)),
            keras.layers.ReLU(name="hidden"),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    message = r"`projection` must be None or a layer.*\[batch, None, None\]"
    refused([Hint("hidden", "hidden")], message, student=student)


def test_features_that_differ_in_a_batch_are_not_broadcast():
    terms = terms_of(Hint("hidden", "hidden"))
    ours, theirs, logits = batch()
    with pytest.raises(ValueError, match="features of one shape for every"):
        losses_of(terms, [ours], [theirs[:, :1]], logits)


def test_nor_where_their_lengths_are_not_known():
    terms = terms_of(Hint("hidden", "hidden"))
    of_any_length = [tf.TensorSpec([None, None, WIDE])] * 2
    run = tf.function(
        lambda ours, theirs: terms.row_losses([ours], [theirs])[0][0],
        input_signature=of_any_length,
        autograph=False,
    )
    ours, theirs = (
        normal(BATCH, STEPS, WIDE),
        normal(BATCH, STEPS, WIDE, seed=1),
    )
    expected = mse(ours, theirs)
    np.testing.assert_allclose(run(ours, theirs), expected, rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`teacher` must"):
        run(tf.constant(ours), tf.constant(theirs[:, :1]))


@pytest.mark.parametrize(
    "loss",
    (
        lambda u, v: tf.reduce_mean((u - v) ** 2),
        lambda u, v: None,
        lambda u, v: [u, v],
    ),
)
def test_a_loss_of_the_whole_batch_is_refused(loss):
    hint = Hint("hidden", "hidden", loss=loss)
    refused([hint], r"`loss` must return a value for every row.*'hidden_hint'")


def test_a_loss_of_classes_is_refused():
    hint = Hint("hidden", "hidden", loss="sparse_categorical_crossentropy")
    refused([hint], r"`loss` must be of features.*'hidden_hint', which raised")
