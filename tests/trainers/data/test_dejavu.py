"""trainers.data.dejavu: which characters there are, and how they are drawn."""

import itertools
import unicodedata

import numpy as np
import pytest
from matplotlib import ft2font

from trainers.data import dejavu


def bitmaps_of(character):
    """`[faces, height, width]`, the drawings of a character."""
    entries, bitmaps = dejavu.alphabet()
    return bitmaps[[e[0] for e in entries].index(character)]


def rows_with_ink(character):
    """`[faces, 2]`, the first and the last row that is not black."""
    rows = (np.flatnonzero(b.any(1)) for b in bitmaps_of(character))
    return np.array([(r[0], r[-1]) for r in rows])


def test_twelve_faces_the_plain_one_first():
    stems = [path.stem for path in dejavu.faces()]
    styles = {"", "-Bold", "-Oblique", "-BoldOblique"}
    serif = {style.replace("Oblique", "Italic") for style in styles}
    expected = (
        {f"DejaVuSans{s}" for s in styles}
        | {f"DejaVuSansMono{s}" for s in styles}
        | {f"DejaVuSerif{s}" for s in serif}
    )
    assert stems[0] == "DejaVuSans"
    assert set(stems) == expected and len(stems) == 12


@pytest.mark.slow
def test_letters_and_numbers_of_which_each_is_in_one_entry():
    entries, bitmaps = dejavu.alphabet()
    assert bitmaps.shape == (len(entries), 12, dejavu.SIDE, dejavu.SIDE)
    assert bitmaps.dtype == np.uint8
    characters = [c for entry in entries for c in entry]
    # Counted by hand: matplotlib has not changed these files since 2017.
    assert len(characters) == len(set(characters)) == 1560
    assert {unicodedata.category(c)[0] for c in characters} == {"L", "N"}
    assert [ord(e[0]) for e in entries] == sorted(ord(e[0]) for e in entries)


@pytest.mark.parametrize(
    "entry",
    (
        "A\N{GREEK CAPITAL LETTER ALPHA}\N{CYRILLIC CAPITAL LETTER A}",
        "K\N{GREEK CAPITAL LETTER KAPPA}\N{CYRILLIC CAPITAL LETTER KA}"
        "\N{KELVIN SIGN}",
        # As in italics, and not pixel by pixel in any face, respectively.
        "m\N{CYRILLIC SMALL LETTER TE}",
        "L\N{ARMENIAN CAPITAL LETTER LIWN}",
        # Alone: each is elsewhere in height, thickness or detail.
        "\N{SUPERSCRIPT TWO}",
        "\N{SUBSCRIPT TWO}",
        "\N{GREEK CAPITAL LETTER EPSILON WITH PSILI}",
        "\N{LATIN CAPITAL LETTER E WITH CARON}",
    ),
)
def test_entries(entry):
    assert entry in dejavu.alphabet()[0]


def test_no_two_entries_look_the_same():
    """In single pixels, by another search: brightest pixels in common."""
    _, bitmaps = dejavu.alphabet()
    for face in (0, 6):
        ink = (bitmaps[:, face] > 127).reshape(len(bitmaps), -1)
        ink = ink.astype(np.float32)
        sizes = ink.sum(1)
        differing = sizes[:, None] + sizes - 2 * ink @ ink.T
        np.fill_diagonal(differing, np.inf)
        for i, j in np.argwhere(differing < 4):
            a, b = bitmaps[[i, j], face].astype(int)
            assert abs(a - b).max() > 40


def test_nothing_is_blank_or_cut_off():
    _, bitmaps = dejavu.alphabet()
    assert bitmaps.max((2, 3)).min() > 200
    frame = np.ones((dejavu.SIDE, dejavu.SIDE), bool)
    frame[2:-2, 2:-2] = False
    assert not bitmaps[..., frame].any()


def test_all_stand_on_one_baseline_in_the_middle_of_the_width():
    # DejaVu's x, H and E have no overshoot: their last row is the line's.
    bottoms = [rows_with_ink(c)[:, 1] for c in "xHE"]
    assert np.unique(bottoms).tolist() == [46]
    assert (rows_with_ink("p")[:, 1] > 50).all()
    # Of an em of 40 pixels, capitals of DejaVu have 1493 / 2048.
    heights = 47 - rows_with_ink("H")[:, 0]
    assert np.unique(heights).tolist() == [np.ceil(40 * 1493 / 2048)]
    superscript = rows_with_ink("\N{SUPERSCRIPT TWO}")
    subscript = rows_with_ink("\N{SUBSCRIPT TWO}")
    assert (subscript - superscript >= 12).all()
    for bitmap in (*bitmaps_of("W"), *bitmaps_of("i")):
        columns = np.flatnonzero(bitmap.any(0))
        middle = (columns[0] + columns[-1]) / 2
        assert abs(middle - 31.5) <= 0.5


def test_the_last_row_is_where_the_outline_ends():
    """Whatever part of a pixel it reaches into; boxes are in 1/64 pixel."""
    font = ft2font.FT2Font(str(dejavu.faces()[0]))
    font.set_size(40, 72)
    for character in "Ogpyt2\N{SUPERSCRIPT TWO}\u0111\u014b\u0219":
        glyph = font.load_char(ord(character), flags=dejavu._UNHINTED)
        below = -glyph.bbox[1] / 64
        # The bottom row of pixels holds an end that is not between two rows.
        assert rows_with_ink(character)[0, 1] == 46 + np.ceil(below)


def test_alike_in_some_face_or_through_others():
    """Against merging pairs, group by group, until none is left to merge."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(256, size=(20, 16, 16), dtype=np.uint8)
    bitmaps = patterns[rng.integers(20, size=(14, 3))]
    groups = [{i} for i in range(14)]

    def same(g, h):
        return any(
            (bitmaps[a] == bitmaps[b]).all((1, 2)).any() for a in g for b in h
        )

    def some_pair():
        pairs = itertools.combinations(groups, 2)
        return next(((g, h) for g, h in pairs if same(g, h)), None)

    while pair := some_pair():
        groups = [g for g in groups if g not in pair] + [pair[0] | pair[1]]
    expected = sorted(sorted(g) for g in groups)
    # Chains and singles: the largest has more members than faces.
    assert max(map(len, expected)) > 3 and min(map(len, expected)) == 1
    assert [g.tolist() for g in dejavu.alike(bitmaps)] == expected


def test_24_levels_are_alike_and_25_are_not():
    bitmaps = np.zeros((3, 1, 8, 8), np.uint8)
    bitmaps[1, 0, 2, 5], bitmaps[2, 0, 2, 5] = 24, 49
    assert [g.tolist() for g in dejavu.alike(bitmaps)] == [[0, 1], [2]]
