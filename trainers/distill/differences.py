"""Cases on which the distilled student of seed 0 and its teacher differ."""

import numpy as np
from matplotlib import figure as matplotlib_figures

from trainers.core import pages, strategies
from trainers.distill import evaluated, reading, scores
from trainers.distill.evaluated import DISTILLED, TEACHER

TITLE = "Where student and teacher differ"
_MOST = 24  # cases that are shown
_COLUMNS = 8  # of a table of values
_PANELS = 6  # in a row of pictures
_LONGEST = 15  # letters of a class name above a picture
_BATCH = 256
# What is looked for, by what is known.
_WHAT = {
    "teacher_right": "the teacher is right and the student wrong",
    "differ": "the student does not choose what the teacher chooses",
    "wrong": "the student is wrong",
}


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it: "counts" of cases by who is right;
      "kind" of those that are shown (None where nothing is known), their
      number "found" and the first of them, "cases"; of a table its "values".
    """
    nets = evaluated.of(run)
    figures = {
        **run.about(),
        "class_names": list(run.data.class_names),
        "counts": _counts(nets),
        "kind": _kind(nets),
        "found": 0,
        "cases": [],
    }
    if figures["kind"] is None:
        return figures
    rows = _rows(nets, figures["kind"])
    figures["found"] = len(rows)
    figures["cases"] = _cases(nets, rows)
    if _is_table(run.data) and figures["cases"]:
        figures["values"] = strategies.on_chief(
            lambda: _values(
                run.data, [case["case"] for case in figures["cases"]]
            )
        )
    return figures


def _kind(nets):
    if nets.reference is None:
        return None
    if TEACHER not in nets.logits:
        return "wrong"
    return "teacher_right" if nets.reference == "label" else "differ"


def _rows(nets, kind):
    """Places of the cases, those of which the student is surest first."""
    student = nets.choices(DISTILLED)[0]
    if kind == "differ":
        found = nets.differs(DISTILLED)[0]
    else:
        found = nets.labelled & (student != nets.labels)
        if kind == "teacher_right":
            found &= nets.choices(TEACHER)[0] == nets.labels
    rows = np.flatnonzero(found)
    confidence = scores.confidences(nets.logits[DISTILLED][0][rows])
    # Rounded, for ties that are the same on every machine.
    return rows[np.argsort(-np.round(confidence, 6), kind="stable")]


def _cases(nets, rows):
    """What is said of the first cases."""
    rows = rows[:_MOST]
    found = [{"case": int(row), "label": int(nets.labels[row])} for row in rows]
    for name, key in ((TEACHER, "teacher"), (DISTILLED, "student")):
        if name not in nets.logits:
            continue
        logits = nets.logits[name][0][rows]
        for case, chosen, confidence in zip(
            found, logits.argmax(-1), scores.confidences(logits), strict=True
        ):
            case[key] = int(chosen)
            case[f"{key}_confidence"] = float(confidence)
    return found


def _counts(nets):
    """Labelled test cases by who is right, or all by whether they agree."""
    if nets.reference is None:
        return {"unknown": len(nets.labels)}
    if TEACHER not in nets.logits:
        wrong = int(nets.wrong(DISTILLED)[0].sum())
        return {"right": int(nets.labelled.sum()) - wrong, "wrong": wrong}
    if nets.reference != "label":
        differs = int(nets.differs(DISTILLED)[0].sum())
        return {"agree": len(nets.labels) - differs, "differ": differs}
    teacher, student = (~nets.wrong(n)[0] for n in (TEACHER, DISTILLED))
    return {
        "both": int((teacher & student).sum()),
        "teacher": int((teacher & ~student).sum()),
        "student": int((~teacher & student).sum()),
        "neither": int((~teacher & ~student).sum()),
    }


def _is_table(data):
    return len(data.input_shape) == 1


def _values(data, rows):
    """Of a table, the columns in which some cases are furthest from the mean.

    Returns:
      Dict: "columns", names, "means" of training cases, and "rows".
    """
    mean, deviation = _moments(data.train.dataset)
    x = reading.xs(data.test.dataset, rows).astype(np.float64)
    far = np.abs(x - mean) / np.where(deviation > 0.0, deviation, np.inf)
    columns = np.sort(np.argsort(-far.mean(0), kind="stable")[:_COLUMNS])
    names = data.columns or [f"feature {i}" for i in range(x.shape[1])]
    return {
        "columns": [names[i] for i in columns],
        "means": mean[columns].tolist(),
        "rows": x[:, columns].tolist(),
    }


def _moments(dataset):
    """Mean and standard deviation of each feature, in one pass."""
    count, mean, squares = 0, 0.0, 0.0
    for x in dataset.map(lambda x, *_: x).batch(_BATCH).as_numpy_iterator():
        # Chan's update: sums of squares alone would lose digits.
        x = x.astype(np.float64)
        total = count + len(x)
        own = x.mean(0)
        gap = own - mean
        squares += ((x - own) ** 2).sum(0) + gap**2 * (count * len(x) / total)
        mean = mean + gap * (len(x) / total)
        count = total
    return mean, np.sqrt(squares / count)


_COUNTED = {
    "unknown": "neither label nor teacher",
    "right": "it is right",
    "wrong": "it is wrong",
    "both": "both are right",
    "teacher": "the teacher alone is right",
    "student": "the student alone is right",
    "neither": "both are wrong",
    "agree": "both choose the same",
    "differ": "they differ",
}


def table(figures):
    """How many cases there are of each kind."""
    total = sum(figures["counts"].values())
    rows = tuple(
        (_COUNTED[key], f"{count:,}", f"{count / total:.1%}")
        for key, count in figures["counts"].items()
    )
    return pages.Table(("distilled student, seed 0", "test cases", ""), rows)


def findings(figures):
    """What the figures say, as a list of sentences."""
    kind, found = figures["kind"], figures["found"]
    if kind is None:
        return ["There is nothing to compare the student with."]
    shown = len(figures["cases"])
    said = f"On {found:,} test cases {_WHAT[kind]}."
    if shown < found:
        said = f"{said} The {shown} of which the student is surest are shown."
    elif shown:
        said = f"{said} They are shown, those first of which it is surest."
    return [said]


def details(figures, data):
    """The cases: pictures, spectrograms or values."""
    if not figures["cases"]:
        return ()
    if "values" in figures:
        return (_table_of_values(figures),)
    rows = tuple(case["case"] for case in figures["cases"])
    x = reading.kept_xs(data.test.dataset, rows)
    text = f"Test cases on which {_WHAT[figures['kind']]}"
    return (pages.Plot("differences", _pictures(figures, x, data.kind), text),)


def _table_of_values(figures):
    """Classes, confidence, and the columns that are furthest from the mean."""
    values, names = figures["values"], figures["class_names"]
    keys = [
        key
        for key, is_known in (
            ("label", any(c["label"] >= 0 for c in figures["cases"])),
            ("teacher", "teacher" in figures["cases"][0]),
            ("student", True),
        )
        if is_known
    ]
    titles = {"label": "true", "teacher": "teacher", "student": "student"}
    head = ("case", *(titles[key] for key in keys), *values["columns"])
    mean = (
        "mean of training cases",
        *("" for _ in keys),
        *map(_number, values["means"]),
    )
    rows = [
        (
            str(case["case"]),
            *(_said(case, key, names) for key in keys),
            *map(_number, row),
        )
        for case, row in zip(figures["cases"], values["rows"], strict=True)
    ]
    return pages.Table(head, (mean, *rows))


def _number(value):
    return f"{value:.4g}"


def _said(case, key, names):
    """A class, and how sure a net is of it."""
    confidence = case.get(f"{key}_confidence")
    name = names[case[key]] if case[key] >= 0 else "-"
    return name if confidence is None else f"{name} ({confidence:.0%})"


def _pictures(figures, x, kind):
    """Small multiples with what is true, and what the nets say."""
    count = len(x)
    columns = min(_PANELS, count)
    rows = -(-count // columns)
    ratio = min(2.0, max(0.5, x.shape[1] / max(1, x.shape[2])))
    if kind == "sound":
        ratio = 0.8
    width = 8.4 / _PANELS  # wide enough for a page to scroll it on a phone
    figure = matplotlib_figures.Figure(
        figsize=(8.4, rows * (ratio * width + 0.5)), layout="constrained"
    )
    grid = figure.subplots(rows, _PANELS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, case, picture in zip(
        grid[:, :columns].flat, figures["cases"], x, strict=False
    ):
        _draw(axes, picture, kind)
        axes.set_title(
            _caption(case, figures["class_names"]),
            fontsize=7,
            loc="left",
            parse_math=False,  # "$5-$10" is a name
        )
    return figure


def _draw(axes, x, kind):
    """One case: an image, a spectrogram, or values as colours."""
    if kind == "images":
        colours = x.shape[-1] == 3
        picture = np.clip(x / 255.0, 0, 1) if colours else x[..., 0]
        axes.imshow(picture, cmap="gray", vmin=0, vmax=None if colours else 255)
        return
    while x.ndim > 2:
        x = x[..., 0]
    if kind == "sound":
        axes.imshow(x.T, origin="lower", aspect="auto", cmap="magma")
    else:
        axes.imshow(x, aspect="auto", cmap="viridis")


def _caption(case, names):
    """A line each for what is true, the teacher and the student."""
    lines = []
    for key, title in (
        ("label", "true"),
        ("teacher", "teacher"),
        ("student", "student"),
    ):
        if case.get(key, -1) >= 0:
            name = names[case[key]]
            if len(name) > _LONGEST:
                name = f"{name[: _LONGEST - 2]}.."
            lines.append(f"{title}: {name}")
    return "\n".join(lines)
