"""About 1,400 letters and numbers, drawn anew in slightly different ways.

Many classes, some of them hard to tell apart, of data that need neither network
nor files: the DejaVu faces come with matplotlib. The net's task is that of the
paper's section 5 in small.
"""

import unicodedata

import numpy as np
import tqdm

from trainers.data import dejavu
from trainers.data.images import SplitImages

SIZE = 24  # pixels, height and width
_SEED = 20150309  # the day of the paper; the same drawings for all runs
# Drawn evenly from minus to plus these.
_ROTATION = np.radians(12)
_SHEAR = 0.2
_LOG_SCALE = 0.15  # of each axis
_SHIFT = 1.75  # pixels of a drawing, along each axis
_FEW_FROM = "À"  # where a part of the classes begins
_SCALE = dejavu.SIDE / SIZE
_AT_ONCE = 16  # images; more of them do not fit into the processor's cache


def load(
    *,
    classes: int | None = None,
    train: int = 600_000,
    held_out: int = 40_000,
    test: int = 60_000,
    seed: int = _SEED,
    progress: bool = True,
) -> SplitImages:
    """Draws the three parts, each from a seed of its own.

    Classes are equally frequent in each part, but for one case.

    Args:
      classes: int, the number of classes, or None for all. A part is taken from
        the accented Latin letters on, which are easily confused.
      train: int, the number of training cases.
      held_out: int, the number of held-out cases.
      test: int, the number of test cases.
      seed: int, from which each part's own seed is made. A part depends on
        nothing else but its size and the classes.
      progress: bool, whether to show a progress bar.

    Returns:
      `SplitImages` of 24 x 24 pixels, in white on black.

    Raises:
      ValueError: if `classes` is less than 2 or more than there are, a number
        of cases is less than 1, or `seed` is negative.
    """
    parts = {"train": train, "held_out": held_out, "test": test}
    _check(parts, seed)
    entries, bitmaps = dejavu.alphabet()
    chosen = _chosen(entries, classes)
    bitmaps = _blurred(bitmaps[chosen])
    with tqdm.tqdm(
        total=sum(parts.values()),
        desc="Drawing glyphs",
        unit=" images",
        disable=not progress,
    ) as bar:
        training, held, tested = (
            _draw(bitmaps, cases, np.random.default_rng([seed, part]), bar)
            for part, cases in enumerate(parts.values())
        )
    return SplitImages(
        *training,
        *held,
        *tested,
        classes=len(chosen),
        white=255,
        class_names=tuple(_name(entries[c]) for c in chosen),
        class_images=_plain(bitmaps),
    )


def _check(parts: dict[str, int], seed: int) -> None:
    for name, cases in parts.items():
        if cases < 1:
            raise ValueError(
                f"`{name}` must be at least 1 case. Received: {name}={cases}"
            )
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0. Received: seed={seed}")


def _chosen(entries: tuple[str, ...], classes: int | None) -> np.ndarray:
    """Returns the indices of the entries that become classes, ascending."""
    if classes is None:
        return np.arange(len(entries))
    if not 2 <= classes <= len(entries):
        raise ValueError(
            f"`classes` must be from 2 to {len(entries)}, or None for all. "
            f"Received: classes={classes}"
        )
    first = next(i for i, e in enumerate(entries) if e[0] >= _FEW_FROM)
    return np.sort((first + np.arange(classes)) % len(entries))


def _name(entry: str) -> str:
    """Returns a character with its Unicode name, and others drawn as it."""
    name = f"{entry[0]} {unicodedata.name(entry[0])}"
    return f"{name} (also {' '.join(entry[1:])})" if entry[1:] else name


def _blurred(bitmaps: np.ndarray) -> np.ndarray:
    """Returns uint8 means over 3 x 3 pixels, of `[..., height, width]`."""
    sums = bitmaps.astype(np.uint16)
    for axis in (-1, -2):
        widths = [(0, 0)] * sums.ndim
        widths[axis] = (1, 1)
        padded = np.moveaxis(np.pad(sums, widths), axis, 0)
        sums = np.moveaxis(padded[:-2] + padded[1:-1] + padded[2:], 0, axis)
    return ((sums + 4) // 9).astype(np.uint8)


def _draw(
    bitmaps: np.ndarray, cases: int, rng: np.random.Generator, bar: tqdm.tqdm
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `[cases, SIZE, SIZE]` uint8 images and `[cases]` int32 labels."""
    classes, faces = bitmaps.shape[:2]
    labels = rng.permutation(np.arange(cases, dtype=np.int32) % classes)
    which = labels * faces + rng.integers(faces, size=cases, dtype=np.int32)
    matrices, offsets = _changes(cases, rng)
    images = np.empty((cases, SIZE, SIZE), np.uint8)
    for begin in range(0, cases, _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        images[some] = sample(
            bitmaps, which[some], matrices[some], offsets[some]
        )
        bar.update(len(labels[some]))
    return images, labels


def _changes(
    cases: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns random affine maps from pixels of images to those of bitmaps.

    Returns:
      `(matrices, offsets)`, `[cases, 2, 2]` and `[cases, 2]` float32 arrays.
      The pixel at (x, y) is that of the bitmap at matrix @ (x, y) + offset.
    """
    angle, shear, log_x, log_y = (
        rng.uniform(-most, most, cases)
        for most in (_ROTATION, _SHEAR, _LOG_SCALE, _LOG_SCALE)
    )
    shift = rng.uniform(-_SHIFT, _SHIFT, (cases, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    turns = np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1)
    ones, zeros = np.ones(cases), np.zeros(cases)
    slants = np.array([[ones, shear], [zeros, ones]]).transpose(2, 0, 1)
    scales = np.exp(np.stack([log_x, log_y], axis=1))
    # Columns are scaled, then slanted, then turned.
    matrices = _SCALE * (turns @ slants) * scales[:, None, :]
    # The middle of an image, shifted, shows the middle of the bitmap.
    middles = (SIZE - 1) / 2 + shift
    offsets = (dejavu.SIDE - 1) / 2 - (matrices @ middles[..., None])[..., 0]
    return matrices.astype(np.float32), offsets.astype(np.float32)


def _plain(bitmaps: np.ndarray) -> np.ndarray:
    """Returns every class in the first face without a change, for galleries."""
    classes, faces = bitmaps.shape[:2]
    matrix = _SCALE * np.eye(2, dtype=np.float32)
    offset = (dejavu.SIDE - 1) / 2 - _SCALE * (SIZE - 1) / 2
    which = np.arange(classes, dtype=np.int32) * faces
    return sample(
        bitmaps,
        which,
        np.tile(matrix, (classes, 1, 1)),
        np.full((classes, 2), offset, np.float32),
    )


def sample(
    bitmaps: np.ndarray,
    which: np.ndarray,
    matrices: np.ndarray,
    offsets: np.ndarray,
) -> np.ndarray:
    """Draws bitmaps through affine maps, linear between neighbouring pixels.

    Args:
      bitmaps: `[..., height, width]` uint8 array, black at its edges: what is
        outside of it takes the value of the nearest pixel.
      which: `[cases]` int32 array, the index of a bitmap for each image.
      matrices: `[cases, 2, 2]` float32 array.
      offsets: `[cases, 2]` float32 array.

    Returns:
      `[cases, SIZE, SIZE]` uint8 array.
    """
    height, width = bitmaps.shape[-2:]
    flat = bitmaps.reshape(-1)
    grid = np.arange(SIZE, dtype=np.float32)

    def positions(axis: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the pixel before each point, and how far it is from there."""
        along_x = matrices[:, axis, 0, None, None] * grid
        along_y = matrices[:, axis, 1, None] * grid + offsets[:, axis, None]
        points = along_x + along_y[:, :, None]
        np.clip(points, 0, size - 1, out=points)
        pixels = np.minimum(points.astype(np.int32), size - 2)
        points -= pixels
        return pixels, points

    x, right = positions(0, width)
    y, down = positions(1, height)
    at = (which[:, None, None] * height + y) * width + x

    def between(at: np.ndarray) -> np.ndarray:
        """Returns the values between pixels of a row."""
        left = flat[at].astype(np.float32)
        return left + right * (flat[at + 1] - left)

    above = between(at)
    mixed = above + down * (between(at + width) - above)
    return np.rint(mixed).astype(np.uint8)
