"""Letters and numbers in the DejaVu faces that come with matplotlib."""

import functools
import math
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ft2font
from scipy import sparse, spatial

SIDE = 64  # pixels, height and width of a bitmap
_EM = 40  # pixels
_BASELINE = 47  # the row below it; the tallest and the deepest then fit
_KINDS = ("L", "N")  # Unicode's letters and numbers
# Levels of a pixel. Most pairs that look the same are equal in every pixel,
# some differ by up to 12, and all others by more than 50.
_ALIKE = 24
# Hinting would move stems to whole pixels. Before 3.10 matplotlib had no enum.
_FLAGS = getattr(ft2font, "LoadFlags", None)
_UNHINTED: Any = _FLAGS.NO_HINTING if _FLAGS else 2  # 2: FT_LOAD_NO_HINTING


def faces() -> list[pathlib.Path]:
    """Returns the files of the 12 faces, the plain one first.

    They are Sans, Sans Mono and Serif, each in four styles. The two Display
    faces have a few characters only and are left out.
    """
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = folder.glob("DejaVu*.ttf")
    kept = [path for path in found if "Display" not in path.stem]
    return sorted(kept, key=lambda path: (len(path.stem), path.stem))


@functools.cache
def alphabet() -> tuple[tuple[str, ...], np.ndarray]:
    """Draws every letter and number that all faces have.

    Those that look the same in some face, such as the Latin, the Greek and the
    Cyrillic A, cannot be told apart there and are one entry.

    Returns:
      `(entries, bitmaps)`: strings of one or several characters, in order of
      the code points of their first ones; and a `[entries, faces, SIDE, SIDE]`
      uint8 array with the first character of each, in white on black.
    """
    fonts = [ft2font.FT2Font(str(path)) for path in faces()]
    common = set.intersection(*(set(font.get_charmap()) for font in fonts))
    characters = [
        chr(code)
        for code in sorted(common)
        if unicodedata.category(chr(code))[0] in _KINDS
    ]
    bitmaps = np.stack([_draw(font, characters) for font in fonts], axis=1)
    groups = alike(bitmaps)
    entries = tuple("".join(characters[i] for i in group) for group in groups)
    return entries, bitmaps[[group[0] for group in groups]]


def alike(bitmaps: np.ndarray) -> list[np.ndarray]:
    """Groups characters that look the same in some face.

    Args:
      bitmaps: `[characters, faces, height, width]` uint8 array, height and
        width multiples of 8.

    Returns:
      A list of arrays of indices of characters, both the list and the arrays
      in ascending order. Two characters are in one array if a chain of others
      leads from one to the other, each like the next in some face.
    """
    pairs = sorted(
        pair for face in np.moveaxis(bitmaps, 1, 0) for pair in _pairs(face)
    )
    rows, columns = np.array(pairs, np.int32).reshape(-1, 2).T
    links = sparse.coo_array(
        (np.ones(len(pairs)), (rows, columns)), shape=(len(bitmaps),) * 2
    )
    _, group = sparse.csgraph.connected_components(links, directed=False)
    _, first = np.unique(group, return_index=True)
    return [np.flatnonzero(group == group[i]) for i in np.sort(first)]


def _pairs(bitmaps: np.ndarray) -> set[tuple[int, int]]:
    """Returns the pairs of which no pixel differs by more than `_ALIKE`.

    Means over blocks then do not either, and are quickly searched.
    """
    count, height, width = bitmaps.shape
    blocks = bitmaps.reshape(count, height // 8, 8, width // 8, 8)
    means = blocks.mean((2, 4)).reshape(count, -1)
    signed = bitmaps.astype(np.int16)
    return {
        (i, j)
        for i, j in spatial.KDTree(means).query_pairs(_ALIKE, p=np.inf)
        if abs(signed[i] - signed[j]).max() <= _ALIKE
    }


def _draw(font: ft2font.FT2Font, characters: Sequence[str]) -> np.ndarray:
    """Returns `[characters, SIDE, SIDE]` uint8, all on one baseline."""
    font.set_size(_EM, 72)  # at 72 dots per inch a point is a pixel
    bitmaps = np.zeros((len(characters), SIDE, SIDE), np.uint8)
    for bitmap, character in zip(bitmaps, characters, strict=True):
        font.set_text(character, 0.0, flags=_UNHINTED)
        font.draw_glyphs_to_bitmap(antialiased=True)
        ink = _trimmed(np.asarray(font.get_image()))
        bottom = _BASELINE + math.ceil(font.get_descent() / 64)  # 64 a pixel
        top, left = bottom - len(ink), (SIDE - ink.shape[1]) // 2
        bitmap[top:bottom, left : left + ink.shape[1]] = ink
    return bitmaps


def _trimmed(ink: np.ndarray) -> np.ndarray:
    """Returns an image without the empty rows and columns at its edges."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
