"""The distribution that a generalist and its active specialists agree on best.

For each case it is the q that minimises KL(p_g, q) + sum_m KL(p_m, q) over the
active specialists m, where q's mass outside of m's set is summed into m's
dustbin (Hinton, Vinyals and Dean 2015, section 5.3).
"""

import math
from typing import NamedTuple

import tensorflow as tf

from kdtf._math import softmax
from kdtf._types import Tensor, TensorLike
from kdtf.specialists import _fixed_point, _newton
from kdtf.specialists.sets import ClassSets

# The mass of the rest and of a dustbin count as at least this where they decide
# how mass is shared: the unknowns and their squares are then far inside of
# float64's range. That of a class of a set may be less, and is never 0.
_LEAST_MASS = 1e-80
_LEAST_OF_CLASS = 1e-200
_LEAST_TERM = 1e-30
# In units of the lump's denominator: t_m of that of a lump of the least mass.
_DRAWN = 1e40


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
      specialist_logits: `[batch, A, S + 1]` with S = `sets.largest`: of each
        active specialist the logits of its classes, in the order of `sets`,
        then padding of any value, and last that of its dustbin.
      active: `[batch, A]` int, indices of different specialists, and -1 where
        there are fewer; the logits there may have any value. As
        `sets.active` gives them, or without columns that are all -1, since
        the time grows with A squared.
      sets: `ClassSets`.

    Returns:
      `[batch, classes]` float32, or float64 if the generalist's logits are:
      log q, and `tf.nn.log_softmax` of these logits where no specialist is
      active; NaN where logits of the generalist or of an active specialist
      have no softmax, such as NaN and infinity.

    Raises:
      ValueError: if the shapes do not fit, or `active` is not integers.

    Example:
      >>> sets = kdtf.specialists.ClassSets([[0, 1]], 3)
      >>> log_q = kdtf.specialists.combine(
      ...     np.log([[0.5, 0.3, 0.2]]),
      ...     np.log([[[0.2, 0.7, 0.1]]]),
      ...     active=[[0]],
      ...     sets=sets,
      ... )
      >>> np.exp(log_q).round(3)  # in the set (p_g + p_m) / 2
      array([[0.35, 0.5 , 0.15]])
    """
    logits = tf.stop_gradient(softmax.at_least_float32(generalist_logits))
    specialist_logits = tf.stop_gradient(
        tf.cast(specialist_logits, logits.dtype)
    )
    active = tf.convert_to_tensor(active)
    _check(logits, specialist_logits, active, sets)
    active = tf.cast(active, tf.int32)
    alone = tf.nn.log_softmax(logits)
    slots, is_rest = _slots(alone, specialist_logits, active, sets)
    rest = _rest(logits, alone, is_rest)
    log_q, log_rest = _solved(slots, rest, sets.can_cover_all())
    log_rest = tf.cast(log_rest, logits.dtype)
    combined = tf.tensor_scatter_nd_max(
        rest.log_shares + log_rest[:, None],
        slots.indices,
        tf.cast(tf.where(slots.is_member, log_q, -math.inf), logits.dtype),
    )
    # A maximum may pass over NaN, and leave a class its log of 0.
    nan = tf.math.is_nan(tf.reduce_sum(slots.log_dustbins, -1, keepdims=True))
    nan |= tf.math.is_nan(alone[:, :1])
    combined = tf.where(nan, tf.cast(math.nan, combined.dtype), combined)
    is_any = tf.reduce_any(active >= 0, axis=-1, keepdims=True)
    return tf.where(is_any, combined, alone)


class _Slots(NamedTuple):
    """The classes of a case's active sets, one set after the other.

    Attributes:
      indices: `[batch, A, S, 2]` int32, row and class; class 0 for padding.
      is_member: `[batch, A, S]` bool, False for padding.
      log_base: `[batch, A, S]` float64, log of base_i.
      group_of: `[batch, A, S]` int32, which of its set's G groups has it.
      inside: `[batch, A, A, G]` bool, whether group g of set n is in set m.
      log_dustbins: `[batch, A]` float64; minus infinity for padding.
    """

    indices: Tensor
    is_member: Tensor
    log_base: Tensor
    group_of: Tensor
    inside: Tensor
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
) -> tuple[_Slots, Tensor]:
    """The slots, and `[batch, classes]` bool: which classes are in none."""
    rows = tf.where(active < 0, len(sets.sets), active)
    classes = tf.gather(tf.constant(sets.members), rows)
    is_member = tf.gather(tf.constant(sets.is_member), rows)
    batch = tf.range(tf.shape(active)[0])[:, None, None]
    indices = tf.stack([batch + tf.zeros_like(classes), classes], axis=-1)
    log_p, log_dustbins = _log_probabilities(
        specialist_logits, is_member, active >= 0
    )
    log_base, is_rest = _log_base(alone, log_p, indices, is_member)
    groups = tf.gather(tf.constant(sets.groups), rows)
    has = tf.reshape(tf.constant(sets.group_sets), (-1,))
    width = sets.group_sets.shape[1]
    inside = tf.gather(has, groups[:, None] * width + rows[..., None, None])
    slots = _Slots(
        indices=indices,
        is_member=is_member,
        log_base=tf.cast(log_base, tf.float64),
        group_of=tf.gather(tf.constant(sets.group_of), rows),
        inside=inside,
        log_dustbins=tf.cast(log_dustbins, tf.float64),
    )
    return slots, is_rest


def _log_probabilities(
    logits: Tensor, is_member: Tensor, is_active: Tensor
) -> tuple[Tensor, Tensor]:
    """Specialists' log p, `[batch, A, S]`, and of the dustbins, `[batch, A]`.

    Minus infinity for padding, whatever the logits are there.
    """
    is_real = tf.concat([is_member, is_active[..., None]], axis=-1)
    logits = tf.where(is_real, logits, -math.inf)
    logits = tf.where(is_active[..., None], logits, 0.0)
    log_p = tf.where(is_real, tf.nn.log_softmax(logits), -math.inf)
    return log_p[..., :-1], log_p[..., -1]


def _log_base(
    alone: Tensor, log_p: Tensor, indices: Tensor, is_member: Tensor
) -> tuple[Tensor, Tensor]:
    """log base_i, `[batch, A, S]`, and the classes in no set.

    A log of a sum of exponentials, whose terms are scattered over the classes.
    """
    peak = tf.tensor_scatter_nd_max(alone, indices, log_p)
    slot_peak = tf.gather_nd(peak, indices)
    terms = tf.exp(log_p - slot_peak)
    # Not 0, so that a sum of 0 tells that a class is in no set.
    terms = tf.where(is_member, tf.maximum(terms, _LEAST_TERM), 0.0)
    sums = tf.tensor_scatter_nd_add(tf.zeros_like(alone), indices, terms)
    own = tf.exp(tf.gather_nd(alone, indices) - slot_peak)
    log_sum = tf.math.log(own + tf.gather_nd(sums, indices))
    return slot_peak + log_sum, sums == 0.0


def _log_sum(values: Tensor) -> tuple[Tensor, Tensor]:
    """A peak and the log of sum exp(values - peak) over the last axis, kept.

    Apart, since their sum loses digits. The log is minus infinity, not NaN,
    where all the values are.
    """
    peak = tf.reduce_max(values, axis=-1, keepdims=True)
    peak = tf.maximum(peak, values.dtype.min)
    total = tf.reduce_sum(tf.exp(values - peak), axis=-1, keepdims=True)
    return peak, tf.math.log(total)


def _rest(logits: Tensor, alone: Tensor, is_rest: Tensor) -> _Rest:
    others = tf.where(is_rest, logits, -math.inf)
    peak, log_sum = _log_sum(others)
    highest = tf.reduce_max(logits, axis=-1, keepdims=True)
    log_p = tf.reduce_max(alone, axis=-1, keepdims=True)
    log_mass = (peak - highest) + log_sum + log_p
    # In the logits' own units: log p of small p has lost digits.
    shares = (others - peak) - tf.where(log_sum > -math.inf, log_sum, 0.0)
    return _Rest(shares, tf.cast(log_mass[:, 0], tf.float64))


def _solved(
    slots: _Slots, rest: _Rest, can_cover_all: bool
) -> tuple[Tensor, Tensor]:
    """log q `[batch, A, S]` of the sets' classes and `[batch]` of the rest."""
    has_rest = rest.log_mass > -math.inf
    base = _group_sums(slots)
    is_first = (base > 0.0) & _appear_first(slots.inside)
    masses = _newton.Masses(
        base=base,
        first=tf.cast(is_first, tf.float64),
        inside=slots.inside,
        outside=tf.cast(tf.transpose(~slots.inside, (0, 2, 3, 1)), tf.float64),
        lump=tf.where(has_rest, _mass(rest.log_mass, _LEAST_MASS), 1.0),
        dustbins=_mass(slots.log_dustbins, _LEAST_MASS),
    )
    log_base = slots.log_base
    denominators, _ = _newton.solve(masses)
    log_ratio = -tf.math.log(denominators)
    # A lump below the least mass stays there unless a dustbin draws on it.
    is_drawn = tf.reduce_max(denominators, axis=(1, 2)) > _DRAWN
    log_rest = tf.where(is_drawn, tf.math.log(masses.lump), rest.log_mass)
    if can_cover_all:
        log_q, _ = _fixed_point.solve(masses, ~has_rest)
        log_ratio_alone = log_q - tf.math.log(base)
        has_rest = has_rest[:, None, None]
        log_ratio = tf.where(has_rest, log_ratio, log_ratio_alone)
        least = tf.maximum(log_base, math.log(_LEAST_OF_CLASS))
        log_base = tf.where(has_rest, log_base, least)
    # Padding has no mass.
    q = tf.where(base > 0.0, base * tf.exp(log_ratio), 0.0)
    total = tf.reduce_sum(masses.first * q, axis=(1, 2)) + tf.exp(log_rest)
    log_ratio = tf.gather(log_ratio, slots.group_of, batch_dims=2)
    log_total = tf.math.log(total)
    log_q = log_base + log_ratio - log_total[:, None, None]
    return log_q, log_rest - log_total


def _group_sums(slots: _Slots) -> Tensor:
    """`[batch, A, G]`, the sum of base_i over each group."""
    mass = tf.where(
        slots.is_member, _mass(slots.log_base, _LEAST_OF_CLASS), 0.0
    )
    batch, count, _, groups = tf.unstack(tf.shape(slots.inside))
    place = tf.reshape(tf.range(batch * count), (batch, count, 1)) * groups
    place = tf.reshape(place + slots.group_of, (-1,))
    sums = tf.math.unsorted_segment_sum(
        tf.reshape(mass, (-1,)), place, batch * count * groups
    )
    return tf.reshape(sums, (batch, count, groups))


def _appear_first(inside: Tensor) -> Tensor:
    """`[batch, A, G]`: whether no set before n has group g of set n."""
    count = tf.shape(inside)[1]
    earlier = tf.range(count)[:, None] < tf.range(count)  # [m, n]
    return ~tf.reduce_any(inside & earlier[:, :, None], axis=1)


def _mass(log_mass: Tensor, least: float) -> Tensor:
    """exp, at least `least` but for the 0 of padding."""
    mass = tf.exp(tf.maximum(log_mass, math.log(least)))
    return tf.where(log_mass > -math.inf, mass, 0.0)


def _check(
    logits: Tensor, specialist_logits: Tensor, active: Tensor, sets: ClassSets
) -> None:
    count = active.shape[1] if active.shape.rank == 2 else None
    expected = {
        "generalist_logits": (logits, (None, sets.num_classes)),
        "specialist_logits": (
            specialist_logits,
            (None, count, sets.largest + 1),
        ),
        "active": (active, (None, count)),
    }
    for name, (tensor, shape) in expected.items():
        if not tensor.shape.is_compatible_with(shape):
            raise ValueError(
                f"`{name}` must be of shape {list(shape)} for these `sets`; "
                f"None stands for any size. Received: shape {tensor.shape}"
            )
    if not active.dtype.is_integer:
        raise ValueError(
            "`active` must be integers, indices of specialists or -1. "
            f"Received: {active.dtype.name}"
        )
