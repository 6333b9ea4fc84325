"""What a reader sees at once: sets of classes, and cases put right or wrong."""

import numpy as np

from trainers.core import pages, plots

_SETS, _CLASSES = 12, 30  # that are drawn
_CASES = 18  # of each kind


def pick(run, group, found):
    """What is drawn.

    Args:
      run: `run.Run`.
      group: `groups.Group` of a seed.
      found: dict of arrays, what was measured of that seed.

    Returns:
      Dict: "sets", lists of classes, nearest to each other first; "right" and
      "wrong", lists of {"case", "label", "before", "after"}, cases that the
      specialists put right and wrong.
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
    return [
        pages.Plot(
            "sets",
            _sets(found["sets"], data),
            f"Classes of {len(found['sets'])} of the specialists, a row each: "
            "those that the generalist confuses",
        ),
        pages.Plot(
            "cases",
            _cases(found, data),
            "Test cases that the specialists put right, and wrong: the drawing, "
            "its class, the generalist's choice and that of all together",
        ),
    ]


def _sets(sets, data):
    """A row of classes each."""
    rows = [_row([data.class_images[c] for c in s], _CLASSES) for s in sets]
    figure, axes = plots.new(columns=2)
    figure.delaxes(axes[0])
    figure.delaxes(axes[1])
    return _shown(figure, np.concatenate(rows))


def _cases(found, data):
    """Four rows for each kind: drawing, class, choice before and after."""
    figure, axes = plots.new(columns=2)
    for panel, kind in zip(axes, ("right", "wrong"), strict=True):
        cases = found[kind]
        rows = [[data.test_images[c["case"]] for c in cases]]
        rows += [
            [data.class_images[c[what]] for c in cases]
            for what in ("label", "before", "after")
        ]
        panel.imshow(
            _ink(np.concatenate([_row(row, _CASES) for row in rows])),
            cmap="gray_r",
        )
        height = data.test_images.shape[1]
        panel.set_yticks(
            [height * (i + 0.5) for i in range(4)],
            ["drawing", "its class", "generalist", "specialists"],
            fontsize=8,
        )
        panel.set_xticks([])
        panel.set_title(f"put {kind}", fontsize=9)
    return figure


def _shown(figure, picture):
    axes = figure.subplots()
    axes.imshow(_ink(picture), cmap="gray_r")
    axes.set_axis_off()
    return figure


def _row(images, count):
    """Images side by side, and blank ones up to that many."""
    blank = np.zeros_like(images[0]) if images else None
    images = [*images, *[blank] * (count - len(images))]
    return np.concatenate(images, axis=1)


def _ink(picture):
    """A picture in grey or in colours, as matplotlib takes it."""
    return picture
