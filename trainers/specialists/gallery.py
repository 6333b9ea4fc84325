"""What a reader sees at once: sets of classes, and cases put right or wrong."""

import numpy as np
from matplotlib import figure as figures

from trainers.core import pages

_SETS, _CLASSES = 12, 30  # that are drawn
_COLUMNS = 20  # at least, or small sets would be drawn large
_CASES = 18  # of each kind
_INCHES = 8.0  # wide
_ROWS = ("drawing", "its class", "generalist", "specialists")


def pick(run, group, found):
    """What is drawn.

    Args:
      run: `run.Run`.
      group: `groups.Group` of a seed.
      found: dict of arrays, what was measured of that seed.

    Returns:
      Dict: "sets", lists of classes; "right" and "wrong", lists of {"case",
      "label", "before", "after"}, cases that the specialists put right and
      wrong.
    """
    before, after = (
        found[f"{name}/choices"]
        for name in ("generalist", "specialists, top 1")
    )
    labels = run.test[1]

    def cases(rows):
        return [
            {
                "case": int(i),
                "label": int(labels[i]),
                "before": int(before[i]),
                "after": int(after[i]),
            }
            for i in np.flatnonzero(rows)[:_CASES]
        ]

    return {
        "sets": [m.classes[:_CLASSES] for m in group.members[:_SETS]],
        "right": cases((before != labels) & (after == labels)),
        "wrong": cases((before == labels) & (after != labels)),
    }


def blocks(found, data):
    """Blocks of a page.

    Args:
      found: what `pick` returned.
      data: `trainers.data.images.SplitImages`.
    """
    of_sets = (
        f"Classes of {len(found['sets'])} of the specialists, a row each: "
        "those that the generalist confuses."
    )
    of_cases = (
        "Test cases that the specialists put right, and wrong: the drawing, "
        "its class, the generalist's choice, and that of all together."
    )
    return [
        pages.Text(of_sets),
        pages.Plot("sets", _sets(found["sets"], data), of_sets),
        pages.Text(of_cases),
        pages.Plot("cases", _cases(found, data), of_cases),
    ]


def _sets(sets, data):
    """A row of classes each."""
    columns = max(_COLUMNS, *map(len, sets))
    rows = [_row(data.class_images[own], columns) for own in sets]
    figure = _figure(_height(len(sets), columns))
    _show(figure.subplots(), rows)
    return figure


def _cases(found, data):
    """For each kind four rows: drawing, class, choice before and after."""
    height = _height(len(_ROWS), _CASES) + 0.4
    figure = _figure(2 * height)
    kinds = ("right", "wrong")
    for axes, kind in zip(figure.subplots(2), kinds, strict=True):
        cases = found[kind]
        axes.set_title(f"put {kind}" + ("" if cases else ": none"), fontsize=9)
        rows = [data.test_images[[case["case"] for case in cases]]]
        rows += [
            data.class_images[[case[what] for case in cases]]
            for what in ("label", "before", "after")
        ]
        _show(axes, [_row(row, _CASES) for row in rows], _ROWS)
    return figure


def _figure(height):
    return figures.Figure(figsize=(_INCHES, height), layout="constrained")


def _height(rows, columns):
    """Inches of a picture whose width is that of a figure."""
    return _INCHES * rows / columns


def _row(images, count):
    """Images `[images, height, width, ...]` side by side, filled up to `count`.

    What fills it is white: 0 of grey ones, which are shown as black on white.
    """
    empty = 0 if images.ndim == 3 else 255
    filled = np.full((count, *images.shape[1:]), empty, images.dtype)
    filled[: len(images)] = images
    return np.concatenate(filled, axis=1)


def _show(axes, rows, names=None):
    """Rows of images, one above the other, with names beside them."""
    axes.imshow(np.concatenate(rows), cmap="gray_r")
    axes.set_frame_on(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if names:
        height = len(rows[0])
        middles = [height * (i + 0.5) for i in range(len(rows))]
        axes.set_yticks(middles, names, fontsize=8)
        axes.tick_params(length=0)
