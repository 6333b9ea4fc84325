"""The combination against slow float64 solutions of the same problem."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from kdtf import specialists
from tests import reference as losses
from tests.kdtf.specialists import reference

CLASSES, CASES = 30, 60
# Overlapping sets; two that are the same; one inside of another; two that
# together have all classes but one; and two that have all.
SETS = [
    list(range(0, 8)),
    list(range(5, 15)),
    list(range(5, 15)),
    [7, 8, 9],
    list(range(0, 29)),
    list(range(2, 30)),
    [29, 14, 3],
    list(range(8, 30)),
]
EVERY = specialists.ClassSets(SETS, CLASSES, top=CLASSES)
WIDTH = 5


def cases(seed, sets=EVERY, width=WIDTH, scale=3.0, count=CASES):
    """Random logits, dustbins among them that are near 0 and 1; active sets."""
    rng = np.random.default_rng(seed)
    generalist = scale * rng.normal(size=(count, sets.num_classes))
    own = scale * rng.normal(size=(count, width, sets.largest + 1))
    own[..., -1] += rng.choice([-20, -3, 0, 3, 20], (count, width))
    active = np.full((count, width), -1)
    for row in active:
        called = rng.integers(1, width + 1)
        row[:called] = rng.choice(len(sets.sets), called, replace=False)
    return generalist.astype("f"), own.astype("f"), active


def slow(cases_, sets=EVERY):
    """log q `[cases, classes]` by the fixed point."""
    rows = zip(*cases_, strict=True)
    return np.log(
        [
            reference.fixed_point(*reference.case(*row, sets.sets))[0]
            for row in rows
        ]
    )


def combine(cases_, sets=EVERY):
    return specialists.combine(*cases_, sets).numpy()


@functools.cache
def expected(seed):
    return slow(cases(seed))


def check(log_q, right, tolerance=1e-6):
    """Equal to the tolerance, relative to the log where that is large."""
    assert np.isfinite(log_q).all()
    error = np.abs(log_q - right) / np.maximum(1.0, np.abs(right))
    assert error.max() < tolerance
    np.testing.assert_array_equal(log_q.argmax(-1), right.argmax(-1))


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
def test_equals_the_fixed_point(how):
    call = functools.partial(specialists.combine, sets=EVERY)
    if how != "eager":
        call = tf.function(call, jit_compile=how == "XLA")
    log_q = call(*map(tf.constant, cases(0))).numpy()
    assert log_q.dtype == np.float32
    check(log_q, expected(0))
    np.testing.assert_allclose(np.exp(log_q).sum(-1), 1, atol=1e-6)


def test_equals_gradient_descent():
    """Where it converges: flat logits, no dustbin near 0 or 1."""
    generalist, own, active = cases(1, scale=0.5, count=10)
    own[..., -1] = np.clip(own[..., -1], -2, 2)
    log_q = combine((generalist, own, active))
    for row, *one in zip(log_q, generalist, own, active, strict=True):
        q = reference.gradient_descent(*reference.case(*one, SETS))
        np.testing.assert_allclose(np.exp(row), q, atol=1e-6)


def test_no_distribution_is_better():
    """The objective rises however q is changed a little."""
    rng = np.random.default_rng(2)
    given = cases(2, count=20)
    for row, *one in zip(combine(given), *given, strict=True):
        case = reference.case(*one, SETS)
        best = reference.objective(losses.softmax(row), *case)
        for _ in range(10):
            other = losses.softmax(row + 0.03 * rng.normal(size=CLASSES))
            assert reference.objective(other, *case) > best


# log of 1e-30 is -69.
@pytest.mark.parametrize("outside", [-69.0, -16.0, 0.0, 16.0, 69.0])
@pytest.mark.parametrize("dustbin", [-69.0, -16.0, 0.0, 16.0])
def test_one_specialist_has_a_closed_form(outside, dustbin):
    """Inside (p_g + p_m) / 2, outside p_g (G + d) / (2 G)."""
    sets = specialists.ClassSets([[0, 2]], 4)
    z = np.float32([[1.0, 0.3 + outside, 0.0, outside]])
    v = np.float32([[[0.5, -0.5, dustbin]]])
    p, own = losses.softmax(z[0]), losses.softmax(v[0, 0])
    rest = p[[1, 3]].sum()
    q = p * (rest + own[2]) / (2 * rest)
    q[[0, 2]] = (p[[0, 2]] + own[:2]) / 2
    check(combine((z, v, [[0]]), sets), np.log(q)[None])


def test_huge_logits():
    """The generalist rules out what the specialists' dustbins stand for."""
    sets = specialists.ClassSets([[0, 1], [0, 2]], 5, top=5)
    z = np.float32([[1e4, 0.0, 0.0, -1e4, -1e4 + 1]] * 3)
    v = np.float32(
        [
            [[0.0, -1e4, 0.0], [0.0, -1e4, 0.0]],
            [[1e4, 0.0, -1e4], [1e4, 0.0, -1e4]],
            [[0.0, 0.0, 1e4], [0.0, 0.0, -1e4]],
        ]
    )
    log_q = combine((z, v, [[0, 1]] * 3), sets)
    q = np.exp(log_q)
    # Both dustbins have 1/2, and one mass r outside of the sets serves both:
    # 2 log(1 - r) + log r is largest at r = 1/3, shared out as by p_g.
    rest = np.array([1, np.e]) / (1 + np.e) / 3
    np.testing.assert_allclose(q[0, [0, 3, 4]], [2 / 3, *rest], atol=1e-6)
    # All are sure of class 0; the others keep their distances.
    np.testing.assert_allclose(
        log_q[1], [0, -1e4, -1e4, -2e4, -2e4 + 1], atol=2
    )
    # Class 2 alone is in the first one's dustbin and not ruled out by both
    # others: 1.5 log q_0 + (0.5 + 1) log q_2 is largest where they are equal.
    np.testing.assert_allclose(q[2, [0, 2]], [0.5, 0.5], atol=1e-6)


def test_beyond_the_range_of_float64():
    """Probabilities down to e^-10,000."""
    log_q = combine(cases(10, scale=3000.0, count=500)).astype("float64")
    assert np.isfinite(log_q).all()
    np.testing.assert_allclose(np.exp(log_q).sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("scale", [10.0, 30.0])
def test_extreme_cases_are_stationary(scale):
    """Probabilities down to 1e-60 and below; the fixed point stays there."""
    given = cases(3, scale=scale)
    for row, *one in zip(combine(given), *given, strict=True):
        assert np.isfinite(row).all()
        q, case = losses.softmax(row), reference.case(*one, SETS)
        step = np.log(reference.fixed_point_step(q, *case))
        assert np.abs(step - np.log(q)).max() < 1e-4


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_active_sets_that_cover_everything(scale):
    """No class is outside of all sets: another way to the same q."""
    sets = specialists.ClassSets(
        [[0, 1, 2, 3], [3, 4, 5], [0, 4, 5], [0, 3, 5], [1, 2]], 6, top=6
    )
    given = cases(4, sets, scale=scale, count=40)
    given[2][:, :3] = [0, 1, 2]
    given[2][:, 3:] = [[3, 4], [4, -1], [-1, -1], [3, -1]] * 10
    check(combine(given, sets), slow(given, sets))


def test_a_dustbin_draws_on_a_class_that_all_others_rule_out():
    """The sets have all classes, and class 2 is the first one's dustbin."""
    sets = specialists.ClassSets([[0, 1], [0, 2]], 3, top=3)
    z = np.float32([[0.0, -1000.0, -1000.0]])
    v = np.float32([[[-1000.0, -1000.0, 0.0], [0.0, -1000.0, -1000.0]]])
    q = np.exp(combine((z, v, [[0, 1]]), sets)[0])
    # 2 log q_0 + log q_2, for the generalist, the second and the dustbin.
    np.testing.assert_allclose(q, [2 / 3, 0, 1 / 3], atol=1e-6)


def test_a_generalist_without_active_specialists_is_itself():
    z, own, active = cases(5)
    active[::2] = -1
    log_q = combine((z, own, active))
    alone = tf.nn.log_softmax(z).numpy()
    np.testing.assert_array_equal(log_q[::2], alone[::2])
    assert (log_q[1::2] != alone[1::2]).any(-1).all()


def test_padding_may_hold_anything():
    z, own, active = cases(0)
    for m, size in enumerate(map(len, SETS)):
        own[active == m, size:-1] = np.nan
    own[active == -1] = np.nan
    np.testing.assert_array_equal(combine((z, own, active)), combine(cases(0)))


def test_columns_without_active_specialists_do_not_matter():
    z, own, active = cases(6)
    active[:, 3:] = -1
    np.testing.assert_allclose(
        combine((z, own[:, :3], active[:, :3])),
        combine((z, own, active)),
        atol=1e-6,
    )


def test_order_of_specialists_does_not_matter():
    z, own, active = cases(7)
    np.testing.assert_allclose(
        combine((z, own[:, ::-1], active[:, ::-1])),
        combine((z, own, active)),
        rtol=1e-6,
        atol=1e-6,
    )


def test_cases_of_a_batch_do_not_matter_to_each_other():
    given = cases(0)
    alone = combine([each[7:8] for each in given])
    np.testing.assert_allclose(alone[0], combine(given)[7], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes(dtype):
    z, own, active = cases(8, count=10)
    z, own = z.astype(dtype), own.astype(dtype)
    log_q = combine((z, own, active))
    assert log_q.dtype == ("float64" if dtype == "float64" else "float32")
    tolerance = 1e-9 if dtype == "float64" else 1e-6
    check(log_q, slow((z, own, active)), tolerance)


def test_no_gradient_flows():
    z, own, active = (tf.constant(each) for each in cases(9, count=3))
    with tf.GradientTape() as tape:
        tape.watch([z, own])
        log_q = specialists.combine(z, own, active, EVERY)
    assert tape.gradient(log_q, [z, own]) == [None, None]


@pytest.mark.parametrize(
    "shapes, name",
    [
        (((2, 7), (2, 2, 4), (2, 2)), "generalist_logits"),
        (((8,), (2, 2, 4), (2, 2)), "generalist_logits"),
        (((2, 8), (2, 2, 3), (2, 2)), "specialist_logits"),
        (((2, 8), (2, 3, 4), (2, 2)), "specialist_logits"),
        (((2, 8), (2, 2, 4), (2,)), "active"),
    ],
)
def test_wrong_shapes_are_refused(shapes, name):
    sets = specialists.ClassSets([[0, 1, 2], [1]], 8)
    z, own, active = map(np.zeros, shapes)
    with pytest.raises(ValueError, match=f"`{name}` must be of shape"):
        specialists.combine(z, own, active.astype(int), sets)


def test_indices_that_are_no_integers_are_refused():
    z, own, active = cases(0)
    with pytest.raises(ValueError, match=r"`active` must be integers.*float32"):
        specialists.combine(z, own, active.astype("f"), EVERY)


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_has_no_softmax_is_seen(how, value):
    """As of nets that diverged; the other cases of the batch are right."""
    run = {
        "eager": specialists.combine,
        "graph": tf.function(specialists.combine),
        "XLA": tf.function(specialists.combine, jit_compile=True),
    }[how]
    z, own, active = cases(9, count=8)
    z[1, 4] = value
    own[3, 0, 0] = value  # of the first class of a specialist
    own[5, 0, -1] = value  # of its dustbin
    own[6, 0] = value
    log_q = run(z, own, active, EVERY).numpy()
    bad = [1, 3, 5, 6]
    assert np.isnan(log_q[bad]).all()
    good = np.delete(np.arange(8), bad)
    right = [each[good] for each in cases(9, count=8)]
    check(log_q[good], slow(right))
