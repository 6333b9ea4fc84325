"""Letters and numbers in the DejaVu faces that come with matplotlib."""

import functools
import pathlib
import unicodedata
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import ft2font

SIDE = 64  # pixels, height and width of a bitmap
_EM = 40  # pixels
_KINDS = ("L", "N")  # Unicode's letters and numbers
# Hinting would move stems to whole pixels. Before 3.10 matplotlib had no enum.
_UNHINTED = (
    ft2font.LoadFlags.NO_HINTING
    if hasattr(ft2font, "LoadFlags")
    else ft2font.LOAD_NO_HINTING
)


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

    Those that some face draws in the same way, such as the Latin, the Greek and
    the Cyrillic A, cannot be told apart there and are one entry.

    Returns:
      `(entries, bitmaps)`: strings of one or several characters, in order of
      the code points of their first ones; and a `[entries, faces, SIDE, SIDE]`
      uint8 array with the first character of each, in white on black, in the
      middle.
    """
    fonts = [ft2font.FT2Font(str(path)) for path in faces()]
    common = set.intersection(*(set(font.get_charmap()) for font in fonts))
    characters = [
        chr(code)
        for code in sorted(common)
        if unicodedata.category(chr(code))[0] in _KINDS
    ]
    bitmaps = np.stack([_draw(font, characters) for font in fonts], axis=1)
    groups = merge(
        [[b.tobytes() for b in bitmaps[:, f]] for f in range(len(fonts))]
    )
    entries = tuple("".join(characters[i] for i in group) for group in groups)
    return entries, bitmaps[[group[0] for group in groups]]


def merge(drawings: Sequence[Sequence[bytes]]) -> list[list[int]]:
    """Groups characters that are drawn in the same way in some face.

    Args:
      drawings: for each face, the drawing of each character.

    Returns:
      Lists of indices of characters, both the lists and their elements in
      ascending order. Two characters are in one list if a chain of others
      leads from one to the other, each drawn as the next in some face.
    """
    group = list(range(len(drawings[0])))
    for face in drawings:
        first: dict[bytes, int] = {}
        for i, drawing in enumerate(face):
            a, b = group[first.setdefault(drawing, i)], group[i]
            if a != b:
                low, high = sorted((a, b))
                group = [low if g == high else g for g in group]
    members: dict[int, list[int]] = {}
    for i, g in enumerate(group):
        members.setdefault(g, []).append(i)
    return list(members.values())


def _draw(font: ft2font.FT2Font, characters: Sequence[str]) -> np.ndarray:
    """Returns `[characters, SIDE, SIDE]` uint8, the ink in the middle."""
    font.set_size(_EM, 72)  # at 72 dots per inch a point is a pixel
    bitmaps = np.zeros((len(characters), SIDE, SIDE), np.uint8)
    for bitmap, character in zip(bitmaps, characters, strict=True):
        font.set_text(character, 0.0, flags=_UNHINTED)
        font.draw_glyphs_to_bitmap(antialiased=True)
        ink = np.asarray(font.get_image())
        top, left = (SIDE - ink.shape[0]) // 2, (SIDE - ink.shape[1]) // 2
        bitmap[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return bitmaps
