"""trainers.mnist.architectures: the nets, against numpy."""

import dataclasses

import numpy as np

from trainers.mnist import architectures, nets

DENSE = nets.Arm("student", 6, 0.01, 1, 8)
CONVOLUTIONAL = dataclasses.replace(
    DENSE, name="teacher", units=7, channels=2, hidden_dropout=0.5
)
SIDE, CLASSES = 6, 3


def build(arm, seed=0):
    return architectures.build_net(arm, SIDE**2, CLASSES, seed)


def weights(net):
    """Dict from a layer's name to its kernel and bias, in float64."""
    return {
        layer.name: [np.float64(w) for w in layer.get_weights()]
        for layer in net.layers
        if layer.get_weights()
    }


def inputs():
    return np.random.default_rng(0).uniform(0, 1, (4, SIDE**2))


def affine(x, kernel, bias):
    return x @ kernel + bias


def normalised(x, scale, offset, mean, variance):
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + offset


def convolved(x, kernel):
    """`[cases, side, side, channels]`, with a border of zeros."""
    side, size = x.shape[1], len(kernel)
    border = (size // 2, size // 2)
    padded = np.pad(x, ((0, 0), border, border, (0, 0)))
    return sum(
        padded[:, i : i + side, j : j + side] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )


def halved(x):
    """The largest of four; of two or one at an odd end."""
    odd = x.shape[1] % 2
    x = np.pad(
        x,
        ((0, 0), (0, odd), (0, odd), (0, 0)),
        constant_values=-np.inf,
    )
    return np.max(
        [x[:, i::2, j::2] for i in range(2) for j in range(2)], axis=0
    )


def relu(x):
    return np.maximum(x, 0.0)


def test_two_hidden_layers():
    net = build(DENSE)
    w = weights(net)
    x = relu(affine(inputs(), *w["hidden_1"]))
    x = affine(relu(affine(x, *w["hidden_2"])), *w["logits"])
    np.testing.assert_allclose(net(inputs()), x, rtol=1e-4, atol=1e-6)
    assert net.name == "student" and len(w) == 3


def test_three_convolutions():
    net = build(CONVOLUTIONAL)
    for _ in range(3):  # moves what batches are normalised by
        net(inputs(), training=True)
    w = weights(net)
    x = inputs().reshape(-1, SIDE, SIDE, 1)
    for i, channels in (("1", 2), ("2", 4), ("3", 7)):
        x = convolved(x, *w[f"convolution_{i}"])
        if i == "1":
            # Of an even side the windows begin a pixel later.
            x = x[:, 1::2, 1::2]
        assert x.shape[-1] == channels
        x = relu(normalised(x, *w[f"normalisation_{i}"]))
        if i == "2":
            x = halved(x)
    x = affine(x.reshape(len(x), -1), *w["logits"])
    np.testing.assert_allclose(net(inputs()), x, rtol=1e-4, atol=1e-6)
    assert len(w) == 7


def test_hidden_units_are_dropped_in_training_alone():
    net = build(CONVOLUTIONAL)
    one, two = (np.array(net(inputs(), training=True)) for _ in range(2))
    assert (one != two).any()


def test_both_students_start_alike_and_another_seed_otherwise():
    distilled = dataclasses.replace(DENSE, name="distilled", soft_weight=1.0)
    for arm, same in ((DENSE, distilled), (CONVOLUTIONAL, CONVOLUTIONAL)):
        one, two, other = build(arm), build(same), build(arm, seed=1)
        for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        kernels, others = (
            [w[0] for w in weights(net).values() if w[0].ndim > 1]
            for net in (one, other)
        )
        assert all((a != b).any() for a, b in zip(kernels, others, strict=True))
