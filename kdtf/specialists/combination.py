"""The distribution that a generalist and its active specialists agree on best.

For each case it is the q that minimises KL(p_g, q) + sum_m KL(p_m, q) over the
active specialists m, where q's mass outside of m's set is summed into m's
dustbin (Hinton, Vinyals and Dean 2015, section 5.3).
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kdtf._math import softmax
from kdtf._types import Tensor, TensorLike
from kdtf.specialists import _fixed_point, _newton
from kdtf.specialists.sets import ClassSets

# Masses below this count as this where they decide how mass is shared: u and
# its square are then far inside of float64's range.
_LEAST_MASS = 1e-80


def combine(
    generalist_logits: TensorLike,
    specialist_logits: TensorLike,
    active: TensorLike,
    sets: ClassSets,
) -> Tensor:
    """Finds log q of each case.

    Runs eagerly, in a graph and under XLA: all shapes are static but for the
    batch. No gradient flows through it.

    Args:
      generalist_logits: `[batch, classes]`, any floating dtype.
      specialist_logits: `[batch, A, S + 1]` with A = `sets.most_active` and
        S = `sets.largest`: of each active specialist the logits of its
        classes, in the order of `sets`, then padding of any value, and last
        that of its dustbin.
      active: `[batch, A]` int, indices of different specialists, and -1 where
        there are fewer; the logits there may have any value.
      sets: `ClassSets`.

    Returns:
      `[batch, classes]` float32, or float64 if the generalist's logits are:
      log q, and `tf.nn.log_softmax` of these logits where no specialist is
      active.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> sets = kdtf.specialists.ClassSets([[0, 1]], 3)
      >>> log_q = kdtf.specialists.combine(
      ...     np.log([[0.5, 0.3, 0.2]]), np.log([[[0.2, 0.7, 0.1]]]), [[0]], sets
      ... )
      >>> np.exp(log_q).round(3)  # in the set (p_g + p_m) / 2
      array([[0.35, 0.5 , 0.15]])
    """
    logits = tf.stop_gradient(softmax.at_least_float32(generalist_logits))
    specialist_logits = tf.stop_gradient(
        tf.cast(specialist_logits, logits.dtype)
    )
    active = tf.cast(active, tf.int32)
    _check_shapes(logits, specialist_logits, active, sets)
    alone = tf.nn.log_softmax(logits)
    slots = _slots(alone, specialist_logits, active, sets)
    rest = _rest(logits, alone, slots)
    log_q, log_rest = _solved(slots, rest, sets.can_cover_all())
    log_rest = tf.cast(log_rest, logits.dtype)
    combined = tf.tensor_scatter_nd_max(
        rest.log_shares + log_rest[:, None],
        slots.indices,
        tf.cast(tf.where(slots.is_member, log_q, -math.inf), logits.dtype),
    )
    is_any = tf.reduce_any(active >= 0, axis=-1, keepdims=True)
    return tf.where(is_any, combined, alone)


class _Slots(NamedTuple):
    """The classes of a case's active sets, one set after the other.

    Attributes:
      indices: `[batch, A, S, 2]` int32, row and class; class 0 for padding.
      is_member: `[batch, A, S]` bool, False for padding.
      first: `[batch, A, S]` bool, whether a class has not appeared before.
      outside: `[batch, A, A, S]` bool, whether class s of set n is not in m.
      log_base: `[batch, A, S]` float64, log of base_i; minus infinity for
        padding.
      log_dustbins: `[batch, A]` float64; minus infinity for padding.
    """

    indices: Tensor
    is_member: Tensor
    first: Tensor
    outside: Tensor
    log_base: Tensor
    log_dustbins: Tensor


class _Rest(NamedTuple):
    """The classes outside of all active sets.

    Attributes:
      log_shares: `[batch, classes]`, log of p_g,i over the mass of the rest;
        minus infinity at other classes.
      log_mass: `[batch]` float64; minus infinity if there are no such classes.
    """

    log_shares: Tensor
    log_mass: Tensor


def _slots(
    alone: Tensor, specialist_logits: Tensor, active: Tensor, sets: ClassSets
) -> _Slots:
    shape = (-1, sets.most_active, sets.largest)
    rows = tf.where(active < 0, len(sets.sets), active)
    classes = tf.gather(tf.constant(sets.members), rows)
    is_member = tf.gather(tf.constant(sets.is_member), rows)
    flat = tf.reshape(classes, (-1, 1, shape[1] * shape[2]))
    # Where each class is in each active set, [batch, A, A * S]; S for nowhere.
    places = tf.gather(
        tf.reshape(tf.constant(sets.places), (-1,)),
        rows[..., None] * sets.num_classes + flat,
    )
    is_known = tf.reshape(is_member, tf.shape(flat))
    places = tf.where(is_known, places, sets.largest)
    outside = tf.reshape(places == sets.largest, (-1, shape[1], *shape[1:]))
    own, log_dustbins = _log_probabilities(
        specialist_logits, is_member, active >= 0
    )
    log_p = tf.gather(own, places, batch_dims=2)
    log_p_g = tf.gather(alone, flat[:, 0], batch_dims=1)
    peak, log_sum = _log_sum(tf.concat([log_p_g[:, None], log_p], 1), 1)
    log_base = tf.where(is_known, peak + log_sum, -math.inf)
    batch = tf.range(tf.shape(active)[0])[:, None, None]
    return _Slots(
        indices=tf.stack([batch + tf.zeros_like(classes), classes], axis=-1),
        is_member=is_member,
        first=is_member & _appear_first(outside),
        outside=outside,
        log_base=tf.cast(tf.reshape(log_base, shape), tf.float64),
        log_dustbins=tf.cast(log_dustbins, tf.float64),
    )


def _log_probabilities(
    logits: Tensor, is_member: Tensor, is_active: Tensor
) -> tuple[Tensor, Tensor]:
    """Specialists' log p, `[batch, A, S + 1]` with none at S, and the dustbins.

    Minus infinity for padding, whatever the logits are there.
    """
    is_real = tf.concat([is_member, is_active[..., None]], axis=-1)
    logits = tf.where(is_real, logits, -math.inf)
    logits = tf.where(is_active[..., None], logits, 0.0)
    log_p = tf.where(is_real, tf.nn.log_softmax(logits), -math.inf)
    dustbins = log_p[..., -1]
    nowhere = tf.fill(tf.shape(dustbins), tf.cast(-math.inf, log_p.dtype))
    own = tf.concat([log_p[..., :-1], nowhere[..., None]], axis=-1)
    return own, dustbins


def _appear_first(outside: Tensor) -> Tensor:
    """`[batch, A, S]`: whether no earlier set has class s of set n."""
    earlier = np.tri(outside.shape[1], k=-1, dtype=bool)  # [n, m]: m < n
    return tf.reduce_all(outside | ~earlier.T[:, :, None], axis=1)


def _log_sum(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """A peak and the log of sum exp(values - peak), axis kept.

    Apart, since their sum loses digits. The log is minus infinity, not NaN,
    where all the values are.
    """
    peak = tf.reduce_max(values, axis=axis, keepdims=True)
    peak = tf.maximum(peak, values.dtype.min)
    total = tf.reduce_sum(tf.exp(values - peak), axis=axis, keepdims=True)
    return peak, tf.math.log(total)


def _rest(logits: Tensor, alone: Tensor, slots: _Slots) -> _Rest:
    others = tf.tensor_scatter_nd_min(
        logits,
        slots.indices,
        tf.cast(tf.where(slots.is_member, -math.inf, math.inf), logits.dtype),
    )
    peak, log_sum = _log_sum(others, -1)
    highest = tf.reduce_max(logits, axis=-1, keepdims=True)
    log_mass = (
        (peak - highest)
        + log_sum
        + tf.reduce_max(alone, axis=-1, keepdims=True)
    )
    is_any = log_sum > -math.inf
    # In the logits' own units: log p of small p has lost digits.
    shares = (others - peak) - tf.where(is_any, log_sum, 0.0)
    return _Rest(shares, tf.cast(log_mass[:, 0], tf.float64))


def _solved(
    slots: _Slots, rest: _Rest, can_cover_all: bool
) -> tuple[Tensor, Tensor]:
    """log q `[batch, A, S]` of the sets' classes and `[batch]` of the rest."""
    has_rest = rest.log_mass > -math.inf
    masses = _newton.Masses(
        base=_mass(slots.log_base),
        first=tf.cast(slots.first, tf.float64),
        outside=tf.cast(slots.outside, tf.float64),
        lump=tf.where(has_rest, _mass(rest.log_mass), 1.0),
        dustbins=_mass(slots.log_dustbins),
    )
    u, _ = _newton.solve(masses)
    log_q = slots.log_base - tf.math.log(_newton.denominators(masses, u))
    log_rest = tf.where(has_rest, tf.math.log(masses.lump), -math.inf)
    if can_cover_all:
        without_rest, _ = _fixed_point.solve(masses, ~has_rest)
        log_q = tf.where(has_rest[:, None, None], log_q, without_rest)
    q = masses.first * tf.exp(log_q)
    log_total = tf.math.log(tf.reduce_sum(q, axis=(1, 2)) + tf.exp(log_rest))
    return log_q - log_total[:, None, None], log_rest - log_total


def _mass(log_mass: Tensor) -> Tensor:
    """exp, at least `_LEAST_MASS` but for the 0 of padding."""
    mass = tf.exp(tf.maximum(log_mass, math.log(_LEAST_MASS)))
    return tf.where(log_mass > -math.inf, mass, 0.0)


def _check_shapes(
    logits: Tensor, specialist_logits: Tensor, active: Tensor, sets: ClassSets
) -> None:
    expected = {
        "generalist_logits": (logits, (None, sets.num_classes)),
        "specialist_logits": (
            specialist_logits,
            (None, sets.most_active, sets.largest + 1),
        ),
        "active": (active, (None, sets.most_active)),
    }
    for name, (tensor, shape) in expected.items():
        if not tensor.shape.is_compatible_with(shape):
            raise ValueError(
                f"`{name}` must be of shape {list(shape)} for these `sets`, "
                f"None for the batch. Received: shape {tensor.shape}"
            )
