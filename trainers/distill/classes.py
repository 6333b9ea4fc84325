"""Class by class: which ones the distillation helps, and which it confuses.

Where test cases have no labels, a case counts as one of the class that the
teacher chooses.
"""

import numpy as np
from matplotlib import figure as matplotlib_figures

from trainers.core import pages, plots
from trainers.distill import evaluated
from trainers.distill.evaluated import DISTILLED, TEACHER

TITLE = "Class by class"
_ROWS = 20  # of the table
_PAIRS = 10  # of each kind
_NAMED = 3  # of them in a sentence
_MATRIX = 30  # classes that a plot has room for
_MORE = 2.0  # cases that a pair must have more than in the other net
_LONGEST = 24  # letters of a name in plots


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it: "cases" a class, "accuracy" of each net
      a class (None without cases; means over seeds), pairs of classes, and for
      few classes "confusions" [true, chosen], in cases.
    """
    nets = evaluated.of(run)
    figures = {
        **run.about(),
        "seeds": run.seeds,
        "reference": nets.reference,
        "class_names": list(run.data.class_names),
    }
    if nets.reference is None:
        return figures
    classes = run.data.classes
    counts = {name: _confusions(nets, name, classes) for name in nets.logits}
    cases = counts[DISTILLED].sum(1)
    if nets.reference == TEACHER:
        del counts[TEACHER]  # which agrees with itself
    figures |= {
        "cases": cases.astype(int).tolist(),
        "accuracy": {
            name: [
                float(hits / n) if n else None
                for hits, n in zip(np.diagonal(found), cases, strict=True)
            ]
            for name, found in counts.items()
        },
        "pairs": _pairs(counts),
    }
    if classes <= _MATRIX:
        figures["confusions"] = counts[DISTILLED].tolist()
    return figures


def _confusions(nets, name, classes):
    """`[true, chosen]` float64: mean cases over seeds."""
    choices = nets.choices(name)
    if nets.reference == "label":
        choices = choices[:, nets.labelled]
        true = nets.labels[nets.labelled]
    else:
        [true] = nets.choices(TEACHER)
    found = np.zeros((classes, classes))
    for chosen in choices:
        np.add.at(found, (true, chosen), 1)
    return found / len(choices)


def _pairs(counts):
    """Of student and teacher, which pairs the one confuses more than the other.

    Without a teacher on test cases all confusions are the student's own.
    """
    student = counts[DISTILLED]
    teacher = counts.get(TEACHER, np.zeros_like(student))
    return {
        "student": _more(student, teacher),
        "teacher": _more(teacher, student),
    }


def _more(ours, theirs):
    """The pairs of classes that are ours: at least twice as many cases."""
    gaps = ours - theirs
    own = (gaps >= _MORE) & (ours >= 2 * theirs)
    np.fill_diagonal(own, False)
    true, chosen = np.nonzero(own)
    order = np.argsort(-gaps[own], kind="stable")[:_PAIRS]
    return [
        {
            "true": int(true[i]),
            "chosen": int(chosen[i]),
            "ours": float(ours[true[i], chosen[i]]),
            "theirs": float(theirs[true[i], chosen[i]]),
        }
        for i in order
    ]


def table(figures):
    """Accuracy a class; of many classes those where the nets differ most."""
    if figures["reference"] is None:
        return pages.Table(("class",), (("no test case has a known class",),))
    nets = list(figures["accuracy"])
    rows = []
    for i in _shown(figures):
        each = [figures["accuracy"][name][i] for name in nets]
        rows.append(
            (
                figures["class_names"][i],
                f"{figures['cases'][i]:,}",
                *("-" if a is None else f"{a:.1%}" for a in each),
            )
        )
    heads = [evaluated.TITLES[name] for name in nets]
    return pages.Table(("class", "test cases", *heads), tuple(rows))


def _shown(figures):
    """Which classes the table has, in its order."""
    count = len(figures["class_names"])
    if count <= _ROWS:
        return range(count)
    spread = _spread(figures)
    with_cases = [i for i in range(count) if figures["cases"][i]]
    return sorted(with_cases, key=lambda i: (-spread[i], i))[:_ROWS]


def _spread(figures):
    """How far the best and the worst net of each class are apart.

    In standard errors of a share of so many cases: of a class of three cases,
    nets differ by thirds.
    """
    rates = np.array(
        [
            [a or 0.0 for a in accuracy]
            for accuracy in figures["accuracy"].values()
        ]
    )
    return (np.ptp(rates, axis=0) * np.sqrt(figures["cases"])).tolist()


def findings(figures):
    """What the figures say, as a list of sentences."""
    if figures["reference"] is None:
        return [
            "Neither labels nor a teacher tell the classes of test cases: "
            "label some of them."
        ]
    return [*_of_table(figures), *_of_empty(figures), *_of_pairs(figures)]


def _of_table(figures):
    said = []
    if figures["reference"] == TEACHER:
        said.append(
            "Test cases have no labels: a case counts as one of the class that "
            "the teacher chooses, and the figures are the shares of them for "
            "which a net chooses the same."
        )
    count = len(figures["class_names"])
    if count > _ROWS:
        said.append(
            f"The table has the {_ROWS} of {count:,} classes on which the nets "
            "differ most for their number of test cases."
        )
    if figures["seeds"] > 1:
        said.append(
            f"Figures of students are means over {figures['seeds']} seeds."
        )
    return said


def _of_empty(figures):
    names = figures["class_names"]
    empty = [names[i] for i, n in enumerate(figures["cases"]) if not n]
    if not empty:
        return []
    shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
    return [
        f"{len(empty):,} of {len(names):,} classes have no test case ({shown})."
    ]


def _of_pairs(figures):
    ours, theirs = (_in_words(figures, whose) for whose in ("student", TEACHER))
    if TEACHER not in figures["accuracy"]:
        return [f"The distilled student confuses: {ours}."]
    often = "confuses at least twice as often as the"
    said = [f"The distilled student {often} teacher: {ours}."]
    if figures["reference"] == "label":
        said.append(f"The teacher {often} student: {theirs}.")
    return said


def _in_words(figures, whose):
    names = figures["class_names"]
    pairs = figures["pairs"][whose]
    said = []
    for pair in pairs[:_NAMED]:
        said.append(f"{names[pair['true']]} taken for {names[pair['chosen']]}")
        if TEACHER in figures["accuracy"]:
            ours, theirs = (round(pair[key], 1) for key in ("ours", "theirs"))
            said[-1] += f" ({ours:g} cases against {theirs:g})"
    if len(pairs) > _NAMED:
        said.append("and others, see below")
    return ", ".join(said) or "no two classes"


def details(figures, data):
    """Pairs of classes, and of few classes a matrix of the student."""
    del data
    return (*_table_of_pairs(figures), *_matrix(figures))


def _table_of_pairs(figures):
    """The pairs that one of student and teacher confuses more."""
    names = figures["class_names"]
    rows = []
    for whose, pairs in figures.get("pairs", {}).items():
        for pair in pairs:
            counts = [f"{pair[key]:.3g}" for key in ("ours", "theirs")]
            if whose == TEACHER:
                counts.reverse()
            rows.append(
                (f"{names[pair['true']]} for {names[pair['chosen']]}", *counts)
            )
    if not rows:
        return ()
    said = (
        "Classes of which the one net takes at least twice as many test cases "
        "for another class as the other net does, and two cases more (mean "
        "over seeds):"
    )
    if TEACHER not in figures["accuracy"]:
        said = "Test cases that are taken for another class (mean over seeds):"
        rows = [row[:2] for row in rows]
    heads = ("class, taken for", "distilled student", "teacher")
    return (
        pages.Text(said),
        pages.Table(heads[: len(rows[0])], tuple(rows)),
    )


def _matrix(figures):
    if "confusions" not in figures:
        return ()
    text = (
        "Confusion matrix of the distilled student: of the test cases of each "
        "class, a row, the share that is taken for each class, a column"
    )
    return (pages.Plot("confusions", _plot(figures), text),)


def _plot(figures):
    counts = np.array(figures["confusions"])
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1e-9)
    names = [_short(name) for name in figures["class_names"]]
    side = 2.2 + (0.48 if len(names) <= 15 else 0.32) * len(names)
    width = side + 1
    if len(names) > 5:  # a page scrolls it on a phone, and does not shrink it
        width = max(width, 8.2)
    figure = matplotlib_figures.Figure(
        figsize=(width, side), layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Greens", vmin=0, vmax=100)
    turned = 90 if max(map(len, names)) > 3 else 0
    style = {"fontsize": 8, "parse_math": False}  # "$5-$10" is a name
    axes.set_xticks(range(len(names)), names, rotation=turned, **style)
    axes.set_yticks(range(len(names)), names, **style)
    axes.set_xlabel("the distilled student's choice")
    true = {"label": "true class", TEACHER: "the teacher's choice"}
    axes.set_ylabel(true[figures["reference"]])
    figure.colorbar(image, label="% of the row", shrink=0.7)
    _write_shares(axes, shares)
    return figure


def _write_shares(axes, shares):
    """Writes what is at least a per cent into its field."""
    for (row, column), share in np.ndenumerate(shares):
        if share >= 1.0:
            axes.text(
                column,
                row,
                f"{share:.0f}",
                ha="center",
                va="center",
                fontsize=8 if len(shares) <= 15 else 6,
                color="white" if share > 55 else plots.COLOURS[TEACHER],
            )


def _short(name):
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."
