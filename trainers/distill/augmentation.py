"""Training cases as teacher and student see them: `--augment`, by name.

A name may have numbers after it, `rotate:10` or `randaugment:2:0.5`. All are
functions of a case and a seed, so that a store of soft targets and training see
the same views, and a resumed run what an uninterrupted one sees.

Of images the position changes first, in one go however many names say how;
what a view shows of the outside is the nearest pixel of the image. All else
follows in the order of the names.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainers.distill import strong

MIXUP = "mixup"
_MIXUP_ALPHA = 0.2
_MOST_PIXEL = 255.0
_ERASE_RATIO = 3.0  # the longer side of what is erased, by the shorter
_MASKS = 2  # of time, and as many of bands


@dataclasses.dataclass(frozen=True)
class _Way:
    """One way to change a case.

    Attributes:
      change: function (x, seed, *numbers); or, of position, function (seed,
        height, width, *numbers), see `_moved`.
      numbers: tuple of the numbers that a name has by default.
      highest: tuple of the largest that they may be.
      said: str, for `--help`; {} where a number is.
      is_position: bool.
    """

    change: Callable
    numbers: tuple[float, ...]
    highest: tuple[float, ...]
    said: str
    is_position: bool = False


def of_names(names, kind, *, deviations=None):
    """The function that `--augment` names.

    Args:
      names: sequence of strings, such as "flip" or "rotate:10". `MIXUP`, which
        is of batches, is passed over; see `mixup_of`.
      kind: str, that of `cases.Data`.
      deviations: of tables and arrays, an array as x is shaped; see
        `deviations_of`.

    Returns:
      Function (x, seed) to x, of one case and an int32 seed `[2]`; or None
      where there is nothing to do.

    Raises:
      ValueError: if a name is unknown, there twice, or of other data, or a
        number out of range.
    """
    chosen = [
        _parsed(name, _WAYS[kind], kind)
        for name in names
        if name.partition(":")[0] != MIXUP
    ]
    _require_once(names)
    if not chosen:
        return None
    chosen.sort(key=lambda way: not way[0].is_position)
    positions = [w for w in chosen if w[0].is_position]
    others = [w for w in chosen if not w[0].is_position]

    def augment(x, seed):
        seeds = [
            tf.random.experimental.stateless_fold_in(seed, k)
            for k in range(len(chosen))
        ]
        shape = x.shape
        if positions:
            x = _moved(x, seeds, positions)
        for own, (way, numbers) in zip(
            seeds[len(positions) :], others, strict=True
        ):
            extra = {"deviations": deviations} if way.change is _noise else {}
            x = way.change(x, own, *numbers, **extra)
        return tf.ensure_shape(x, shape)

    return augment


def of_data(names, data):
    """`of_names` for some data.

    Args:
      names: sequence of strings.
      data: `cases.Data`.
    """
    if not names:
        return None
    deviations = None
    if data.kind in ("table", "arrays"):
        deviations = deviations_of(data)
    return of_names(names, data.kind, deviations=deviations)


def mixup_of(names):
    """The number of `mixup` among names of `--augment`, or None without it.

    Raises:
      ValueError: if it is out of range.
    """
    for name in names:
        if name.partition(":")[0] == MIXUP:
            ways = {MIXUP: _Way(mixed, (_MIXUP_ALPHA,), (10.0,), "")}
            return _parsed(name, ways, "all data")[1][0]
    return None


def help_text():
    """What `--help` says of all names."""
    kinds = [
        f"of {kind}: " + "; ".join(way.said for way in ways.values())
        for kind, ways in _WAYS.items()
    ]
    kinds.append(
        f"of all, with a teacher that is asked as training goes: mixup (two "
        f"cases as one, by Beta({_MIXUP_ALPHA}, {_MIXUP_ALPHA}))"
    )
    return (
        "how training cases change before teacher and student see them, "
        "separated by commas. " + ". ".join(kinds)
    )


def mixed(x, y, seed, *, classes, alpha=_MIXUP_ALPHA):
    """A batch in which each case is mixed with its neighbour.

    `x = w x + (1 - w) x'`, w of Beta(alpha, alpha) and at least 1/2, as in
    arXiv 1710.09412. The teacher must see these x.

    Args:
      x: `[batch, ...]` float tensor.
      y: `[batch]` int labels, or a dict of "labels" alone; or None.
      seed: int32 seed `[2]`.
      classes: int.
      alpha: float.

    Returns:
      `(x, y)`: y has labels `[batch, classes]` float32 that are mixed as x is;
      all 0 where one of both has none.

    Raises:
      ValueError: if y holds more than labels, such as a teacher's logits for
        the cases as they were.
    """
    if isinstance(y, dict):
        if set(y) != {"labels"}:
            raise ValueError(
                "`y` must have labels alone: what a teacher said of the cases "
                f"does not hold for their mixtures. Received: {sorted(y)}"
            )
        x, labels = mixed(x, y["labels"], seed, classes=classes, alpha=alpha)
        return x, {"labels": labels}
    first, second = tf.unstack(
        tf.random.stateless_gamma((2, tf.shape(x)[0]), seed, alpha)
    )
    # Both may be too small for a float32; no NaN comes of that.
    weight = tf.math.divide_no_nan(first, first + second)
    weight = tf.maximum(weight, 1 - weight)
    wide = tf.reshape(weight, (-1, *[1] * (x.shape.rank - 1)))
    x = wide * x + (1 - wide) * tf.roll(x, 1, axis=0)
    if y is None:
        return x, None
    labels = tf.one_hot(y, classes)
    other = tf.roll(labels, 1, axis=0)
    known = tf.reduce_sum(labels, -1) * tf.reduce_sum(other, -1)
    weight = weight[:, None]
    labels = weight * labels + (1 - weight) * other
    return x, labels * known[:, None]


def deviations_of(data):
    """Standard deviations of each entry of x over the training cases.

    Args:
      data: `cases.Data`.

    Returns:
      Float32 array as x is shaped; 0 for an entry that is 0 or 1 in all cases,
      such as a category's, to which noise means nothing.
    """
    total, squares, count, shift, flags = 0.0, 0.0, 0, None, True
    for element in data.train.dataset.batch(1024):
        x = element[0].numpy().astype(np.float64)
        shift = x[0] if shift is None else shift
        total = total + (x - shift).sum(0)
        squares = squares + ((x - shift) ** 2).sum(0)
        count += len(x)
        flags = flags & np.isin(x, (0, 1)).all(0)
    variance = squares / count - (total / count) ** 2
    deviation = np.sqrt(np.maximum(variance, 0))
    return np.where(flags, 0, deviation).astype(np.float32)


def _parsed(name, ways, kind):
    """`(_Way, numbers)` of a name."""
    called, *given = name.split(":")
    if called not in ways:
        others = [k for k, some in _WAYS.items() if called in some]
        of_others = f", which is of {' and '.join(others)}" if others else ""
        raise ValueError(
            f"--augment must name, of {kind}: {', '.join((*ways, MIXUP))}. "
            f"Received: --augment={name}{of_others}"
        )
    way = ways[called]
    try:
        numbers = [float(number) for number in given]
    except ValueError:
        numbers = None
    if (
        numbers is None
        or len(numbers) > len(way.numbers)
        or any(
            not 0 < number <= most
            for number, most in zip(numbers, way.highest, strict=False)
        )
    ):
        highest = ", ".join(f"{most:g}" for most in way.highest)
        raise ValueError(
            f"--augment={called} must be alone or have numbers, more than 0 "
            f"and at most {highest}. Received: --augment={name}"
        )
    numbers = (*numbers, *way.numbers[len(numbers) :])
    if way.change is strong.randaugment and numbers[0] % 1:
        raise ValueError(
            f"--augment={called} must have a whole number of changes. "
            f"Received: --augment={name}"
        )
    return way, numbers


def _require_once(names):
    called = [name.partition(":")[0] for name in names]
    for name in called:
        if called.count(name) > 1:
            raise ValueError(
                f"--augment must name each way once. Received: {name} twice"
            )


def _uniform(seed, shape=(), low=0.0, high=1.0):
    return tf.random.stateless_uniform(shape, seed, low, high)


def _moved(x, seeds, positions):
    """An image through the product of all changes of position.

    Each gives `(matrix, shift)`, `[2, 2]` and `[2]` tensors: where, about the
    centre, the pixel (x, y) of a view is in the image.
    """
    height, width, _ = x.shape
    matrix, shift = tf.eye(2), tf.zeros([2])
    for seed, (way, numbers) in zip(seeds, positions, strict=False):
        own, own_shift = way.change(seed, height, width, *numbers)
        shift += tf.linalg.matvec(matrix, own_shift)
        matrix = matrix @ own
    return strong.transformed(x, matrix, shift)


def _flip(seed, height, width):
    sign = tf.where(_uniform(seed) < 0.5, -1.0, 1.0)
    return tf.linalg.diag(tf.stack([sign, 1.0])), tf.zeros([2])


def _rotate(seed, height, width, degrees):
    angle = _uniform(seed, low=-1.0) * math.radians(degrees)
    return strong.rotation(angle), tf.zeros([2])


def _zoom(seed, height, width, most):
    return tf.eye(2) * _uniform(seed, low=1 - most, high=1 + most), tf.zeros(2)


def _crop(seed, height, width, most):
    drawn = _uniform(seed, (3,))
    part = 1 - most * drawn[0]
    room = (1 - part) * tf.constant([width - 1.0, height - 1.0])
    return tf.eye(2) * part, room * (drawn[1:] - 0.5)


def _colour(x, seed, most):
    drawn = 1 + most * _uniform(seed, (3,), low=-1.0)
    x = strong.blend(x, tf.zeros_like(x), drawn[0])
    x = strong.blend(x, tf.reduce_mean(x) * tf.ones_like(x), drawn[1])
    if x.shape[-1] == 3:
        x = strong.blend(x, strong.grey(x), drawn[2])
    return x


def _erase(x, seed, most):
    """A rectangle that becomes the mean colour."""
    height, width, _ = x.shape
    drawn = _uniform(seed, (4,))
    area = most * drawn[0] * height * width
    ratio = tf.exp((2 * drawn[1] - 1) * math.log(_ERASE_RATIO))
    inside = _stripe(height, tf.sqrt(area * ratio), drawn[2])[:, None, None]
    inside &= _stripe(width, tf.sqrt(area / ratio), drawn[3])[None, :, None]
    return tf.where(inside, tf.reduce_mean(x, (0, 1), keepdims=True), x)


def _stripe(size, length, place):
    """`[size]` bool: a stretch of this length, at a place between both ends."""
    length = tf.minimum(tf.round(length), float(size))
    first = tf.round(place * (size - length))
    positions = tf.range(size, dtype=tf.float32)
    return (positions >= first) & (positions < first + length)


def _sound_noise(x, seed, deviation):
    return x + deviation * tf.random.stateless_normal(x.shape, seed)


def _shift(x, seed, most):
    """A clip earlier or later; what becomes free is as its quietest entry."""
    frames = x.shape[0]
    by = tf.cast(tf.round(_uniform(seed, low=-1.0) * most * frames), tf.int32)
    places = tf.range(frames) - by
    inside = (places >= 0) & (places < frames)
    moved = tf.gather(x, tf.clip_by_value(places, 0, frames - 1))
    return tf.where(inside[:, None, None], moved, tf.reduce_min(x))


def _mask(x, seed, most):
    """Stretches of time and of bands that become the mean, arXiv 1904.08779."""
    frames, bands, _ = x.shape
    drawn = _uniform(seed, (_MASKS, 4))
    mean = tf.reduce_mean(x)
    for lengths in tf.unstack(drawn):
        time = _stripe(frames, lengths[0] * most * frames, lengths[1])
        band = _stripe(bands, lengths[2] * most * bands, lengths[3])
        x = tf.where(time[:, None, None] | band[None, :, None], mean, x)
    return x


def _noise(x, seed, share, *, deviations):
    return x + share * deviations * tf.random.stateless_normal(x.shape, seed)


_NOISE = _Way(
    _noise,
    (0.1,),
    (10.0,),
    "noise:0.1 (by this share of an entry's training deviation)",
)
_WAYS = {
    "images": {
        "flip": _Way(_flip, (), (), "flip (left to right, half of them)", True),
        "crop": _Way(
            _crop, (0.2,), (0.9,), "crop:0.2 (up to this share away)", True
        ),
        "rotate": _Way(
            _rotate, (15.0,), (180.0,), "rotate:15 (degrees, either way)", True
        ),
        "zoom": _Way(
            _zoom, (0.2,), (0.9,), "zoom:0.2 (in or out, by this share)", True
        ),
        "colour": _Way(
            _colour,
            (0.3,),
            (1.0,),
            "colour:0.3 (brightness, contrast, saturation, by this share)",
        ),
        "erase": _Way(
            _erase, (0.2,), (0.9,), "erase:0.2 (a rectangle, up to this share)"
        ),
        "randaugment": _Way(
            strong.randaugment,
            (2.0, 0.5),
            (10.0, 1.0),
            "randaugment:2:0.5 (two of thirteen changes, at half strength)",
        ),
    },
    "sound": {
        "noise": _Way(
            _sound_noise,
            (0.3,),
            (10.0,),
            "noise:0.3 (of this deviation, in log energies)",
        ),
        "shift": _Way(
            _shift, (0.1,), (0.9,), "shift:0.1 (in time, by this share)"
        ),
        "mask": _Way(
            _mask,
            (0.15,),
            (0.9,),
            "mask:0.15 (two stretches of time and two of bands, each up to "
            "this share)",
        ),
    },
    "table": {"noise": _NOISE},
    "arrays": {"noise": _NOISE},
}
