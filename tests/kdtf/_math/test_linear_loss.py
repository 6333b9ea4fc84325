"""The fused linear loss against float64 numpy and the loss of logits."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._math import linear_loss
from kdtf.losses import LinearLogits
from tests import reference
from tests.running import MODES, as_float64, assert_close, random_logits, run

ROWS, WIDTH, CLASSES = 7, 4, 11
SOFT, HARD = 0.7, 0.2
TEMPERATURES = (0.5, 4.0, 1000.0)
# As in test_losses: half precision rounds logits and slopes on their way.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 3e-3}
LABELS = np.array([3, -1, 0, 10, 5, -1, 2])
WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5, 1.0, 3.0, 1.0], np.float32)


def parts(scale=1.0, dtype="float32"):
    """Hidden states, kernel and bias."""
    return (
        random_logits(0, (ROWS, WIDTH), 1.0, dtype),
        random_logits(1, (WIDTH, CLASSES), scale, dtype),
        random_logits(2, (CLASSES,), scale, dtype),
    )


def teacher_of(kind, temperature, scale=1.0):
    """A teacher, and its logits in float64."""
    v = random_logits(3, (ROWS, CLASSES), 3 * scale)
    if kind == "logits":
        return v, as_float64(v)
    if kind == "top":
        top = kdtf.TopLogits.of(v, 4, temperature)
        p = reference.top_probabilities(
            *(each.numpy() for each in top), CLASSES, temperature
        )
        return top, temperature * np.log(p)
    hidden = random_logits(4, (ROWS, 3))
    embeddings = random_logits(5, (CLASSES, 3), scale)
    v = as_float64(hidden) @ as_float64(embeddings).T
    return LinearLogits(hidden, embeddings, None, True), v


def fused(hidden, kernel, bias, teacher, temperature, rows, labels=LABELS):
    """The loss and its gradients; teacher without `transposed`, no tensor."""
    if len(teacher) == 2:
        teacher = LinearLogits(*teacher, None, True)
    elif len(teacher) == 3:
        teacher = kdtf.TopLogits(*teacher)
    else:
        [teacher] = teacher
    with tf.GradientTape() as tape:
        tape.watch([hidden, kernel, bias])
        loss = kdtf.losses.linear_distillation_loss(
            hidden,
            kernel,
            teacher,
            labels,
            bias=bias,
            weights=WEIGHTS,
            temperature=temperature,
            soft_weight=SOFT,
            hard_weight=HARD,
            rows_at_a_time=rows,
        )
    return loss, tape.gradient(loss, [hidden, kernel, bias])


def three_rows(*args):
    return fused(*args, rows=3)


def as_parts(teacher):
    if isinstance(teacher, LinearLogits):
        return teacher[:2]
    return tuple(teacher) if isinstance(teacher, tuple) else (teacher,)


def expected(hidden, kernel, bias, v, temperature):
    """The same in float64, from logits."""
    h, k, b = map(as_float64, (hidden, kernel, bias))
    z = h @ k + b
    rows = reference.distillation_loss(z, v, LABELS, temperature, SOFT, HARD)
    slope = SOFT * temperature**2 * reference.soft_gradient(z, v, temperature)
    slope += HARD * reference.hard_gradient(z, LABELS)
    slope *= WEIGHTS[:, None] / ROWS / (SOFT + HARD)
    return (WEIGHTS * rows).mean(), [slope @ k.T, h.T @ slope, slope.sum(0)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kind", "dtype"),
    (
        ("logits", "float32"),
        ("top", "float32"),
        ("hidden", "float32"),
        ("top", "bfloat16"),
        ("logits", "float16"),
    ),
)
def test_loss_and_gradients(mode, kind, dtype):
    given = parts(dtype=dtype)
    for temperature in TEMPERATURES:
        teacher, v = teacher_of(kind, temperature)
        loss, gradients = run(
            three_rows,
            mode,
            *given,
            as_parts(teacher),
            np.float32(temperature),
        )
        value, slopes = expected(*given, v, temperature)
        exact = dtype == "float32"
        assert loss.dtype == tf.float32
        assert_close(loss, value, 1e-6 if exact else TOLERANCE[dtype])
        for gradient, part, slope in zip(gradients, given, slopes, strict=True):
            assert gradient.dtype == part.dtype
            assert_close(as_float64(gradient), slope, TOLERANCE[dtype])


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_large_logits(mode):
    given = parts(scale=1e4)
    teacher, v = teacher_of("logits", 1.0, scale=1e4)
    loss, gradients = run(
        three_rows, mode, *given, as_parts(teacher), np.float32(1.0)
    )
    # The product itself rounds logits of 1e4 in their last digit.
    z = as_float64(given[0] @ given[1] + given[2])
    rows = reference.distillation_loss(z, v, LABELS, 1.0, SOFT, HARD)
    assert_close(loss, (WEIGHTS * rows).mean(), 1e-5)
    assert all(np.isfinite(each).all() for each in gradients)


@pytest.mark.parametrize("rows", (1, 2, 4, 7, 100))
def test_passes_do_not_change_the_loss(rows):
    given = parts()
    teacher, v = teacher_of("logits", 2.0)
    loss, gradients = fused(*given, (teacher,), 2.0, rows=rows)
    value, slopes = expected(*given, v, 2.0)
    assert_close(loss, value, 1e-6)
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert_close(gradient, slope, 1e-5)


def test_blocks_within_a_pass_do_not_change_the_loss(monkeypatch):
    monkeypatch.setattr(linear_loss, "_rows_of_block", lambda classes: 2)
    test_passes_do_not_change_the_loss(7)


@pytest.mark.slow
@pytest.mark.parametrize("xla", (False, True))
def test_a_batch_of_unknown_size(xla):
    given = parts()
    teacher, v = teacher_of("logits", 2.0)

    @tf.function(jit_compile=xla, autograph=False)
    def loss_of(hidden, teacher, labels, weights):
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            loss = kdtf.losses.linear_distillation_loss(
                hidden,
                given[1],
                teacher,
                labels,
                bias=given[2],
                weights=weights,
                temperature=2.0,
                soft_weight=SOFT,
                hard_weight=HARD,
                rows_at_a_time=3,
            )
        return loss, tape.gradient(loss, hidden)

    unknown = loss_of.get_concrete_function(
        tf.TensorSpec([None, WIDTH]),
        tf.TensorSpec([None, CLASSES]),
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([None]),
    )
    every = [tf.constant(e) for e in (given[0], teacher, LABELS, WEIGHTS)]
    value, slopes = expected(*given, v, 2.0)
    loss, gradient = unknown(*every)
    assert_close(loss, value, 1e-6)
    assert_close(gradient, slopes[0], 1e-5)
    loss, gradient = unknown(*(each[:0] for each in every))
    assert loss == 0 and gradient.shape == (0, WIDTH)


def test_finite_differences():
    hidden, kernel, bias = (tf.cast(each, tf.float64) for each in parts())
    teacher = (tf.cast(teacher_of("logits", 2.0)[0], tf.float64),)
    _, (_, by_kernel, _) = fused(hidden, kernel, bias, teacher, 2.0, rows=3)
    step = np.zeros((WIDTH, CLASSES))
    step[1, 5] = 1e-5
    more, less = (
        fused(hidden, kernel + s, bias, teacher, 2.0, rows=3)[0]
        for s in (step, -step)
    )
    np.testing.assert_allclose((more - less) / 2e-5, by_kernel[1, 5], rtol=1e-7)


@pytest.mark.slow
def test_the_kernels_gradient_is_rounded_once():
    """256 passes over equal rows: sums in bfloat16 would stop to grow."""
    rows = 256
    hidden = tf.ones([rows, 1], tf.bfloat16)
    kernel = tf.zeros([1, 2], tf.bfloat16)
    teacher = tf.tile([[0.0, 1.0]], [rows, 1])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = kdtf.losses.linear_distillation_loss(
            hidden,
            kernel,
            teacher,
            temperature=1.0,
            soft_weight=1.0,
            hard_weight=0.0,
            rows_at_a_time=1,
        )
    gradient = as_float64(tape.gradient(loss, kernel))
    slope = 0.5 - 1 / (1 + np.exp(-1))  # q - p of the second class
    np.testing.assert_allclose(gradient, [[-slope, slope]], rtol=2**-7)


def test_small_slopes_survive_float16():
    """Each is below float16's smallest number, 6e-8."""
    hidden = tf.ones([4096, 1], tf.float16)
    kernel = tf.Variable([[0.0, 0.01]])
    teacher = tf.zeros([4096, 2])
    with tf.GradientTape() as tape:
        loss = kdtf.losses.linear_distillation_loss(
            hidden,
            kernel,
            teacher,
            weights=tf.fill([4096], 1e-5),
            temperature=1.0,
            soft_weight=1.0,
            hard_weight=0.0,
        )
    slope = 1e-5 * (1 / (1 + np.exp(-0.01)) - 0.5)
    gradient = tape.gradient(loss, kernel)
    np.testing.assert_allclose(gradient, [[-slope, slope]], rtol=1e-2)


def test_rows_tell_what_is_reported():
    hidden, kernel, bias = parts()
    teacher, v = teacher_of("logits", 2.0)
    student = LinearLogits(hidden, kernel, bias)
    batch = linear_loss.batch_for(student, teacher, LABELS, None)
    settings = linear_loss.Settings(2.0, SOFT, HARD)
    _, rows = linear_loss.weighted_sum(
        student, batch, settings, 3, slopes=False, choices=True
    )
    z = as_float64(hidden) @ as_float64(kernel) + as_float64(bias)
    assert_close(rows.soft, reference.soft_loss(z, v, 2.0), 1e-5)
    assert_close(rows.hard, reference.hard_loss(z, LABELS), 1e-5)
    np.testing.assert_array_equal(rows.choice, z.argmax(-1))
    np.testing.assert_array_equal(rows.teacher_choice, v.argmax(-1))


def test_a_label_that_is_no_class_gives_nan():
    labels = np.where(LABELS == 5, CLASSES, LABELS)
    teacher, _ = teacher_of("logits", 2.0)
    loss, _ = fused(*parts(), (teacher,), 2.0, rows=3, labels=labels)
    assert np.isnan(loss)


def test_distributions_as_labels():
    teacher, _ = teacher_of("logits", 2.0)
    sparse = fused(*parts(), (teacher,), 2.0, rows=3)
    one_hot = np.eye(CLASSES, dtype=np.float32)[LABELS]
    one_hot[LABELS < 0] = -1
    dense = fused(*parts(), (teacher,), 2.0, rows=3, labels=one_hot)
    np.testing.assert_allclose(sparse[0], dense[0], rtol=1e-6)
    for a, b in zip(sparse[1], dense[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_time_frames_and_an_embedding_as_kernel():
    hidden = random_logits(0, (2, 3, WIDTH))
    embeddings = random_logits(1, (CLASSES, WIDTH))
    v = random_logits(2, (2, 3, CLASSES))
    labels = np.array([[1, -1, 2], [0, 10, -1]])
    weights = np.array([[1.0], [2.0]], np.float32)
    settings = {"temperature": 2.0, "soft_weight": SOFT, "hard_weight": HARD}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(embeddings)
        logits = tf.matmul(hidden, embeddings, transpose_b=True)
        rows = kdtf.losses.distillation_loss(logits, v, labels, **settings)
        apart = tf.reduce_mean(weights * rows)
        loss = kdtf.losses.linear_distillation_loss(
            hidden,
            embeddings,
            v,
            labels,
            transposed=True,
            weights=weights[:, 0],
            rows_at_a_time=4,
            **settings,
        )
    np.testing.assert_allclose(loss, apart, rtol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(loss, embeddings),
        tape.gradient(apart, embeddings),
        atol=1e-6,
    )


def test_second_derivatives_are_refused():
    hidden, kernel, bias = parts()
    with tf.GradientTape() as outer:
        outer.watch([hidden, kernel, bias])
        _, gradients = fused(
            hidden, kernel, bias, (teacher_of("logits", 2.0)[0],), 2.0, rows=3
        )
    with pytest.raises(ValueError, match="differentiated once"):
        outer.gradient(gradients[0], kernel)


@pytest.mark.parametrize(
    ("changes", "message"),
    (
        ({"rows_at_a_time": 0}, "`rows_at_a_time` must be a positive int"),
        ({"rows_at_a_time": True}, "`rows_at_a_time` must be a positive int"),
        ({"transposed": 1}, "`transposed` must be True or False"),
        ({"transposed": True}, "`kernel` must be of shape"),
        ({"kernel": np.ones((3, 5))}, "`kernel` must be of shape"),
        ({"kernel": np.ones((WIDTH, 1))}, "two or more classes"),
        ({"hidden": np.ones((7, WIDTH), int)}, "`hidden` must be floating"),
        ({"bias": np.ones(3)}, "`bias` must be of shape"),
        ({"teacher": np.ones((7, 3))}, "`teacher` must be logits"),
        ({"teacher": np.ones((6, CLASSES))}, "`teacher` must be logits"),
        (
            {"teacher": LinearLogits(np.ones((7, 2)), np.ones((3, 4)))},
            "`teacher.kernel` must be of shape",
        ),
        (
            {"teacher": kdtf.TopLogits(np.ones((7, 2)), [[0, 1]], [-1.0])},
            "`teacher` must be TopLogits",
        ),
        ({"weights": np.ones(6)}, "`weights` must have at most 1 axes"),
        ({"labels": np.ones((7, 3))}, "`labels` must be classes"),
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"soft_weight": -1.0}, "`soft_weight` must be finite"),
    ),
)
def test_refused(changes, message):
    given = {
        "hidden": np.ones((ROWS, WIDTH), np.float32),
        "kernel": np.ones((WIDTH, CLASSES), np.float32),
        "teacher": np.ones((ROWS, CLASSES), np.float32),
        "temperature": 1.0,
        "soft_weight": 1.0,
        "hard_weight": 0.0,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        kdtf.losses.linear_distillation_loss(**given)
