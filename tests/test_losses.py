"""kdtf.losses against float64 numpy, finite differences and their limits."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kdtf import losses
from tests import reference

MODES = ("eager", "graph", "xla")
TEMPERATURES = (0.5, 1.0, 4.0, 20.0, 1000.0)
SCALES = (0.1, 1.0, 100.0, 1e4)
# Half precision rounds the logits; the reference gets the rounded ones, so
# what is left is the rounding of the gradient to the logits' own dtype.
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


def run(function, mode, *args):
    """`function` of tensors: eager, as a graph, or compiled by XLA."""
    if mode == "eager":
        return function(*args)
    return tf.function(function, jit_compile=mode == "xla")(*args)


def value_and_gradient(function, mode, logits):
    """A loss `[...]` and the gradient of its sum by the logits."""

    def both(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(logits)
        return value, tape.gradient(value, logits)

    value, gradient = run(both, mode, logits)
    return value.numpy(), tf.cast(gradient, tf.float64).numpy()


def random_logits(seed, shape=(6, 10), scale=3.0, dtype="float32"):
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return tf.cast(values, dtype)


def as_float64(tensor):
    return tf.cast(tensor, tf.float64).numpy()


def assert_close(actual, expected, tolerance):
    """Equal to `tolerance` of the largest magnitude that is expected."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", SCALES)
def test_soft_loss_and_gradient(mode, dtype, scale):
    z = random_logits(0, scale=scale, dtype=dtype)
    v = random_logits(1, scale=scale, dtype=dtype)
    z64, v64 = as_float64(z), as_float64(v)
    for temperature in TEMPERATURES:
        value, gradient = value_and_gradient(
            lambda z, t=temperature: losses.soft_loss(z, v, temperature=t),
            mode,
            z,
        )
        assert value.dtype == np.float32
        assert_close(value, reference.soft_loss(z64, v64, temperature), 1e-5)
        expected = reference.soft_gradient(z64, v64, temperature)
        tiny = np.abs(expected).max() < 1e-6  # below float16's normal range
        if not (dtype == "float16" and tiny):
            assert_close(gradient, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", SCALES)
def test_hard_loss_and_gradient(mode, dtype, scale):
    z = random_logits(2, scale=scale, dtype=dtype)
    labels = np.array([3, -1, 0, 9, 5, -1])
    value, gradient = value_and_gradient(
        lambda z: losses.hard_loss(z, labels), mode, z
    )
    z64 = as_float64(z)
    assert_close(value, reference.hard_loss(z64, labels), 1e-6)
    assert_close(
        gradient, reference.hard_gradient(z64, labels), TOLERANCE[dtype]
    )
    assert (gradient[[1, 5]] == 0).all() and (value[[1, 5]] == 0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("classes", (2, 10, 1000))
def test_distillation_loss_and_gradient(mode, classes):
    shape = (4, 3, classes)  # time frames
    z = random_logits(3, shape)
    v = random_logits(4, shape)
    labels = np.random.default_rng(5).integers(-1, 2, size=shape[:-1])
    for temperature in TEMPERATURES:
        value, gradient = value_and_gradient(
            lambda z, t=temperature: losses.distillation_loss(
                z,
                v,
                labels,
                temperature=t,
                soft_weight=0.7,
                hard_weight=0.2,
            ),
            mode,
            z,
        )
        z64, v64 = as_float64(z), as_float64(v)
        expected = reference.distillation_loss(
            z64, v64, labels, temperature, 0.7, 0.2
        )
        soft = reference.soft_gradient(z64, v64, temperature)
        hard = reference.hard_gradient(z64, labels)
        assert value.shape == shape[:-1]
        assert_close(value, expected, 1e-5)
        expected = (0.7 * temperature**2 * soft + 0.2 * hard) / (0.7 + 0.2)
        assert_close(gradient, expected, 1e-5)


@pytest.mark.parametrize("temperature", (0.5, 1.0, 20.0))
def test_gradient_is_the_slope_of_the_value(temperature):
    """Central differences in float64: no formula of this file is involved."""
    z = random_logits(6, (3, 5), dtype="float64")
    v = random_logits(7, (3, 5), dtype="float64")
    labels = np.array([1, -1, 4])

    def loss(z):
        return losses.distillation_loss(
            z,
            v,
            labels,
            temperature=temperature,
            soft_weight=0.6,
            hard_weight=0.4,
        )

    _, gradient = value_and_gradient(loss, "eager", z)
    step = 1e-5
    for row in range(3):
        for column in range(5):
            nudge = np.zeros((3, 5))
            nudge[row, column] = step
            above, below = loss(z + nudge), loss(z - nudge)
            slope = tf.reduce_sum(above - below) / (2 * step)
            assert gradient[row, column] == pytest.approx(
                float(slope), rel=1e-6, abs=1e-8
            )


@pytest.mark.parametrize("mode", MODES)
def test_large_logits_with_a_small_spread(mode):
    """One saved log-sum-exp of 1e4 would leave three digits of the spread."""
    z = tf.cast(1e4 + as_float64(random_logits(8)), tf.float32)
    v = tf.cast(1e4 + as_float64(random_logits(9)), tf.float32)
    labels = np.arange(6)
    _, soft = value_and_gradient(
        lambda z: losses.soft_loss(z, v, temperature=1.0), mode, z
    )
    _, hard = value_and_gradient(lambda z: losses.hard_loss(z, labels), mode, z)
    z64, v64 = as_float64(z), as_float64(v)
    np.testing.assert_allclose(
        soft, reference.soft_gradient(z64, v64, 1.0), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        hard, reference.hard_gradient(z64, labels), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("mode", MODES)
def test_students_close_to_their_teacher_at_high_temperature(mode):
    """KL near 1e-11 at T = 1000, where plain float32 gives noise."""
    v = random_logits(10)
    z = v + random_logits(11, scale=0.01)
    value, gradient = value_and_gradient(
        lambda z: losses.soft_loss(z, v, temperature=1000.0), mode, z
    )
    z64, v64 = as_float64(z), as_float64(v)
    gap = (z64 - v64) - (z64 - v64).mean(-1, keepdims=True)
    # For logits small against T, p is uniform and KL the variance / (2 T^2).
    approximate = (gap**2).mean(-1) / 2 / 1000.0**2
    np.testing.assert_allclose(value, approximate, rtol=2e-2)
    np.testing.assert_allclose(
        value, reference.soft_loss(z64, v64, 1000.0), rtol=1e-3
    )
    assert_close(gradient, reference.soft_gradient(z64, v64, 1000.0), 1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_agreement_gives_zero_and_shifts_do_not_matter(mode):
    v = random_logits(12)
    value, gradient = value_and_gradient(
        lambda z: losses.soft_loss(z, v, temperature=3.0), mode, v
    )
    assert (value >= 0).all() and (value < 1e-12).all()
    assert np.abs(gradient).max() < 1e-8
    value, _ = value_and_gradient(
        lambda z: losses.soft_loss(z, v, temperature=3.0), mode, v + 5.0
    )
    assert (value >= 0).all() and (value < 1e-12).all()


def test_two_classes_far_apart_stay_finite():
    z = tf.constant([[1e4, -1e4], [-1e4, 1e4], [0.0, 0.0]])
    v = tf.constant([[-1e4, 1e4], [-1e4, 1e4], [1e4, -1e4]])
    value, gradient = value_and_gradient(
        lambda z: losses.soft_loss(z, v, temperature=0.5), "xla", z
    )
    # p is one-hot, so KL = -log q of its class = the gap 2e4 / T, 0, log 2.
    np.testing.assert_allclose(value, [4e4, 0.0, math.log(2)], rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_high_temperature_limit_is_logit_matching():
    """T^2 KL -> 1/(2N) |zero-meaned z - v|^2 (paper, section 2.1)."""
    z, v = random_logits(13), random_logits(14)
    soft, by_soft = value_and_gradient(
        lambda z: 1000.0**2 * losses.soft_loss(z, v, temperature=1000.0),
        "graph",
        z,
    )
    matching, by_matching = value_and_gradient(
        lambda z: losses.logit_matching_loss(z, v), "graph", z
    )
    np.testing.assert_allclose(soft, matching / 10, rtol=0.03)
    assert_close(by_soft, by_matching / 10, 0.03)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("offset", (0.0, 1e4))
def test_logit_matching_loss(mode, offset):
    z = random_logits(15) + offset
    v = random_logits(16)
    value, gradient = value_and_gradient(
        lambda z: losses.logit_matching_loss(z, v), mode, z
    )
    gap = as_float64(z) - as_float64(v)
    gap -= gap.mean(-1, keepdims=True)
    tolerance = 1e-6 if offset == 0 else 1e-3  # z itself is rounded at 1e4
    np.testing.assert_allclose(value, (gap**2).sum(-1) / 2, rtol=tolerance)
    assert_close(gradient, gap, tolerance)


def test_dense_labels_are_the_sparse_ones():
    z = random_logits(17)
    sparse = np.array([3, -1, 0, 9, 5, -1])
    dense = np.eye(10, dtype=np.float32)[np.maximum(sparse, 0)]
    dense[sparse == -1] = -1
    one, by_one = value_and_gradient(
        lambda z: losses.hard_loss(z, sparse), "xla", z
    )
    other, by_other = value_and_gradient(
        lambda z: losses.hard_loss(z, dense), "xla", z
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert_close(by_one, by_other, 1e-6)
    labelled = losses.is_labelled(z, tf.constant(dense)).numpy()
    np.testing.assert_array_equal(labelled, sparse >= 0)


def test_dense_labels_may_be_soft():
    z = random_logits(18)
    labels = reference.softmax(random_logits(19)).astype(np.float32)
    value, gradient = value_and_gradient(
        lambda z: losses.hard_loss(z, labels), "graph", z
    )
    z64 = as_float64(z)
    expected = -(labels * reference.log_softmax(z64)).sum(-1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert_close(gradient, reference.softmax(z64) - labels, 1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("label", (10, 99, -2))
def test_labels_out_of_range_give_nan_where_they_stand(mode, label):
    z = random_logits(20, (2, 10))
    value, gradient = value_and_gradient(
        lambda z: losses.hard_loss(z, tf.constant([label, 1])), mode, z
    )
    assert np.isnan(value[0]) and np.isfinite(value[1])
    assert np.isnan(gradient[0]).all() and np.isfinite(gradient[1]).all()


def test_no_labels_equal_labels_of_minus_one():
    z, v = random_logits(21), random_logits(22)
    arguments = {"temperature": 2.0, "soft_weight": 0.3, "hard_weight": 0.7}
    without = losses.distillation_loss(z, v, **arguments)
    unlabelled = losses.distillation_loss(z, v, np.full(6, -1), **arguments)
    soft = reference.soft_loss(as_float64(z), as_float64(v), 2.0)
    np.testing.assert_array_equal(without, unlabelled)
    np.testing.assert_allclose(without, 0.3 * 4 * soft, rtol=1e-5)


def test_hyperparameters_may_be_variables():
    z, v = random_logits(23), random_logits(24)
    temperature = tf.Variable(2.0)
    weights = tf.Variable(0.25), tf.constant(0.75)

    @tf.function(jit_compile=True)
    def loss():
        return losses.distillation_loss(
            z,
            v,
            np.arange(6),
            temperature=temperature,
            soft_weight=weights[0],
            hard_weight=weights[1],
        )

    for value in (2.0, 5.0):
        temperature.assign(value)
        expected = reference.distillation_loss(
            as_float64(z), as_float64(v), np.arange(6), value, 0.25, 0.75
        )
        np.testing.assert_allclose(loss(), expected, rtol=1e-5)
    assert loss.experimental_get_tracing_count() == 1


def test_no_gradient_flows_to_teacher_or_hyperparameters():
    z, v = random_logits(25), random_logits(26)
    temperature, weight = tf.constant(2.0), tf.constant(0.5)
    with tf.GradientTape(persistent=True) as tape:
        for source in (v, temperature, weight):
            tape.watch(source)
        value = losses.distillation_loss(
            z,
            v,
            np.arange(6),
            temperature=temperature,
            soft_weight=weight,
            hard_weight=0.5,
        ) + losses.logit_matching_loss(z, v)
    for source in (v, temperature, weight):
        assert tape.gradient(value, source) is None


@pytest.mark.parametrize("mode", MODES)
def test_second_and_third_derivatives(mode):
    """Against TensorFlow's own derivatives of the formula as written."""
    z = random_logits(27, (2, 4), scale=1.0, dtype="float64")
    v = random_logits(28, (2, 4), scale=1.0, dtype="float64")
    labels = np.array([1, -1])

    def ours(z):
        return losses.distillation_loss(
            z, v, labels, temperature=2.0, soft_weight=0.5, hard_weight=0.5
        )

    def as_written(z):
        p = tf.nn.softmax(v / 2)
        log_q = tf.nn.log_softmax(z / 2)
        soft = tf.reduce_sum(p * (tf.math.log(p) - log_q), -1)
        hard = -tf.nn.log_softmax(z)[:, 1] * [1.0, 0.0]
        return (0.5 * 4 * soft + 0.5 * hard) / (0.5 + 0.5)

    def derivatives(loss):
        def all_orders(z):
            with tf.GradientTape() as third:
                third.watch(z)
                with tf.GradientTape() as second:
                    second.watch(z)
                    with tf.GradientTape() as first:
                        first.watch(z)
                        value = tf.reduce_sum(loss(z) ** 2)
                    gradient = first.gradient(value, z)
                    projected = tf.reduce_sum(gradient * tf.sin(v))
                hessian = second.gradient(projected, z)
                projected = tf.reduce_sum(hessian * tf.cos(v))
            return gradient, hessian, third.gradient(projected, z)

        return run(all_orders, mode, z)

    for actual, expected in zip(
        derivatives(ours), derivatives(as_written), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-12)


def test_nothing_of_full_size_is_kept_for_the_backward_pass():
    """But the logits, what the backward pass takes from the forward is rows."""
    rows, classes = 64, 128
    with tf.Graph().as_default() as graph:
        z, v = (
            tf.compat.v1.placeholder(tf.float32, (rows, classes))
            for _ in range(2)
        )
        labels = tf.compat.v1.placeholder(tf.int32, (rows,))
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = losses.distillation_loss(
                z,
                v,
                labels,
                temperature=2.0,
                soft_weight=0.5,
                hard_weight=0.5,
            )
        forward = set(graph.get_operations())
        tape.gradient(value, z)
    kept = {
        tensor
        for op in graph.get_operations()
        if op not in forward
        for tensor in op.inputs
        if tensor.op in forward and not is_logits(tensor)
    }
    sizes = [int(np.prod(tensor.shape)) for tensor in kept]
    assert rows in sizes and max(sizes) == rows


def is_logits(tensor):
    """Whether a tensor is an input of the graph, under whatever name."""
    while tensor.op.type.startswith("Identity"):
        tensor = next(i for i in tensor.op.inputs if i.shape == tensor.shape)
    return tensor.op.type == "Placeholder"


def test_compiled_loss_is_one_xla_program():
    """The HLO of what a Distiller calls on a GPU holds the whole loss."""
    shape, rows = "f32[64,128]", "f32[64]"
    z = tf.zeros((64, 128))
    labels = tf.zeros((64,), tf.int32)
    hyperparameters = (tf.constant(2.0), tf.constant(0.9), tf.constant(0.1))
    hlo = losses.compiled_entry_losses.experimental_get_compiler_ir(
        z, z, labels, *hyperparameters
    )(stage="hlo")
    entry = hlo[hlo.index("ENTRY") :]
    parameters = [li for li in entry.splitlines() if " parameter(" in li]
    assert sum(shape in line for line in parameters) == 2
    assert "exponential" in hlo and "custom-call" not in hlo
    root = next(line for line in entry.splitlines() if "ROOT" in line)
    assert root.count(rows) >= 3 and shape not in root.split("tuple(")[0]


@pytest.mark.parametrize("temperature", (0.0, -1.0, math.inf, math.nan))
def test_temperature_must_be_positive_and_finite(temperature):
    z = random_logits(29)
    with pytest.raises(ValueError, match=r"`temperature`.*Received: temp"):
        losses.soft_loss(z, z, temperature=temperature)


@pytest.mark.parametrize(
    ("soft_weight", "hard_weight", "name"),
    (
        (-1.0, 1.0, "`soft_weight`"),
        (1.0, -0.5, "`hard_weight`"),
        (math.nan, 1.0, "`soft_weight`"),
        (0, 0.0, "both be zero"),
    ),
)
def test_weights_must_be_those_of_a_mean(soft_weight, hard_weight, name):
    z = random_logits(30)
    with pytest.raises(ValueError, match=rf"{name}.*Received: "):
        losses.distillation_loss(
            z,
            z,
            temperature=1.0,
            soft_weight=soft_weight,
            hard_weight=hard_weight,
        )


@pytest.mark.parametrize("shape", ((6, 9), (6,), (5, 10), (6, 10, 1)))
def test_teacher_logits_must_have_the_students_shape(shape):
    z, v = tf.zeros((6, 10)), tf.zeros(shape)
    pattern = r"`teacher_logits`.*Received: "
    with pytest.raises(ValueError, match=pattern):
        losses.soft_loss(z, v, temperature=1.0)
    with pytest.raises(ValueError, match=pattern):
        losses.logit_matching_loss(z, v)


@pytest.mark.parametrize("shape", ((5,), (6, 9), (6, 1), (6, 10, 1), ()))
def test_labels_must_fit_the_logits(shape):
    with pytest.raises(ValueError, match=r"`labels`.*Received: "):
        losses.hard_loss(tf.zeros((6, 10)), tf.zeros(shape, tf.int32))
