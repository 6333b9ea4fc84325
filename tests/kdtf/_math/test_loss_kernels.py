"""kdtf._math.loss_kernels: gradients of any order, and what is kept."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf import losses
from kdtf._training import objective
from tests.running import MODES, random_logits, run, value_and_gradient


@pytest.mark.parametrize("temperature", (0.5, 1.0, 20.0, 1000.0))
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


@pytest.mark.slow
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


@pytest.mark.parametrize("dtype", ("float32", "bfloat16"))
def test_nothing_of_full_size_is_kept_for_the_backward_pass(dtype):
    """But the logits, what the backward pass takes from the forward is rows."""
    rows, classes = 64, 128
    with tf.Graph().as_default() as graph:
        z, v = (
            tf.compat.v1.placeholder(dtype, (rows, classes)) for _ in range(2)
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
    while tensor.op.type in ("Identity", "IdentityN", "StopGradient"):
        tensor = next(i for i in tensor.op.inputs if i.shape == tensor.shape)
    return tensor.op.type == "Placeholder"


def test_compiled_loss_is_one_xla_program():
    """The HLO of what a Distiller calls on a GPU holds the whole loss."""
    shape, rows = "f32[64,128]", "f32[64]"
    z = tf.zeros((64, 128))
    labels = tf.zeros((64,), tf.int32)
    hyperparameters = (tf.constant(2.0), tf.constant(0.9), tf.constant(0.1))
    hlo = objective._compiled_entry_losses.experimental_get_compiler_ir(
        z, z, labels, *hyperparameters, "softmax"
    )(stage="hlo")
    entry = hlo[hlo.index("ENTRY") :]
    parameters = [li for li in entry.splitlines() if " parameter(" in li]
    assert sum(shape in line for line in parameters) == 2
    assert "exponential" in hlo and "custom-call" not in hlo
    root = next(line for line in entry.splitlines() if "ROOT" in line)
    assert root.count(rows) >= 3 and shape not in root.split("tuple(")[0]
