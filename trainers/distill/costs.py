"""What teacher and student cost: bytes, and time on this machine.

The student is the distilled one of seed 0, which is exported here.
"""

import functools
import pathlib
import tempfile

import numpy as np

from trainers.core import machine, pages, plots, strategies
from trainers.distill import evaluated, exports, reading
from trainers.distill.evaluated import DISTILLED, TEACHER
from trainers.distill.verdict import times

TITLE = "Size and speed"
SECONDS = 2.0  # of each kind of prediction
BATCH = 32
_INT8_CASES = 500  # test cases of the int8 file
_REASON = 60  # letters of it in a table
_TITLES = {
    exports.KERAS: "Keras file",
    exports.SAVED: "SavedModel",
    exports.FLOAT: "LiteRT, float32",
    exports.INT8: "LiteRT, int8",
}
_measured: dict[pathlib.Path, dict] = {}  # by run directory


def measure(run):
    """Exports the student, trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    return {**run.about(), **measured(run)}


def measured(run):
    """What `measure` finds, measured once in a process.

    So the verdict and this section tell the same.
    """
    place = run.directory
    if place not in _measured:
        student = run.results(DISTILLED)[0].net
        _measured[place] = strategies.on_chief(lambda: _measure(run, student))
    return _measured[place]


def speeds(figures):
    """Cases a second of teacher and student; {} unless both are known."""
    found = {
        form["net"]: form["cases_a_second"]
        for form in figures["forms"]
        if "cases_a_second" in form
    }
    return found if len(found) == 2 else {}


def _measure(run, student):
    test = run.data.test
    batch = reading.xs(test.dataset, np.arange(BATCH) % test.cases)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        forms = exports.of_student(run, student, batch[:1], scratch)
        run.data.save(run.directory)
        parameters = {DISTILLED: int(student.count_params())}
        if run.teacher is not None:
            forms += exports.of_teacher(run, batch[:1], scratch)
            parameters[TEACHER] = int(run.teacher.count_params())
        taken = _times(forms, batch)
        int8 = _int8(run, forms)
    return {
        "machine": machine.description(),
        "parameters": parameters,
        "forms": [
            {**form.figures, **taken.get(i, {})} for i, form in enumerate(forms)
        ],
        "int8": int8,
    }


def _times(forms, batch):
    """Dict from a form's place to times of it, all measured in turns."""
    one, many = batch[:1], batch
    calls = {}
    for i, form in enumerate(forms):
        if form.predict is None:
            continue
        calls[i, 1] = functools.partial(form.predict, one)
        if form.figures["form"] == exports.SAVED:
            calls[i, BATCH] = functools.partial(form.predict, many)
    taken = machine.interleaved(calls, SECONDS)
    found = {}
    for (i, cases), seconds in taken.items():
        figures = found.setdefault(i, {})
        if cases == 1:
            milliseconds = 1e3 * np.percentile(seconds, [50, 90])
            figures["milliseconds"], figures["milliseconds_90"] = map(
                float, milliseconds
            )
        else:
            figures["cases_a_second"] = cases / float(np.median(seconds))
    return found


def _int8(run, forms):
    """How often the int8 file is right on some test cases, or None."""
    [form] = [f for f in forms if f.figures["form"] == exports.INT8]
    labels = np.asarray(run.labels)
    rows = reading.spread(np.flatnonzero(labels >= 0), _INT8_CASES)
    if form.predict is None or not len(rows):
        return None
    x = reading.xs(run.data.test.dataset, rows)
    choices = [int(form.predict(case[None])[0]) for case in x]
    logits = run.results(DISTILLED)[0].eval_logits[rows]
    return {
        "cases": len(rows),
        "accuracy": float(np.mean(choices == labels[rows])),
        "float_accuracy": float(np.mean(logits.argmax(-1) == labels[rows])),
    }


def table(figures):
    """What each form takes, as a `pages.Table`."""
    head = (
        "form",
        "size",
        "a case: median",
        "90 % within",
        f"cases a second, batches of {BATCH}",
    )
    return pages.Table(head, tuple(map(_row, figures["forms"])))


def _row(form):
    title = _title(form)
    if "failed" in form:
        reason = form["failed"]
        if len(reason) > _REASON:
            reason = f"{reason[:_REASON]}..."
        return title, f"none: {reason}", "-", "-", "-"
    return (
        title,
        size(form["bytes"]),
        _cell(form, "milliseconds", _duration),
        _cell(form, "milliseconds_90", _duration),
        _cell(form, "cases_a_second", "{:,.0f}".format),
    )


def _title(form):
    """A net and its form."""
    net = {DISTILLED: "student"}.get(form["net"], form["net"])
    return f"{net}, {_TITLES[form['form']]}"


def _cell(form, key, text):
    return text(form[key]) if key in form else "-"


def _duration(milliseconds):
    if milliseconds < 0.1:
        return f"{1e3 * milliseconds:.1f} µs"
    return f"{milliseconds:.3g} ms"


def size(count):
    """Bytes as text, in decimal units."""
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            scaled = count / factor
            return (
                f"{scaled:.1f} {unit}"
                if scaled < 100
                else (f"{scaled:,.0f} {unit}")
            )
    return f"{count} bytes"


def findings(figures):
    """What the figures say, as a list of sentences."""
    return [
        *_of_sizes(figures),
        *_of_times(figures),
        *_of_int8(figures),
        *_of_files(figures),
        *_of_failures(figures),
    ]


def _of_failures(figures):
    said = {
        "failed": "There is no {}: {}",
        "not_run": "Not measured here: {} ({})",
    }
    return [
        text.format(_title(form), form[key])
        for form in figures["forms"]
        for key, text in said.items()
        if key in form
    ]


def _of_sizes(figures):
    parameters = figures["parameters"]
    own = f"The student has {parameters[DISTILLED]:,} parameters"
    if not parameters.get(TEACHER):  # none, or one that does not tell
        return [f"{own}."]
    ratio = parameters[TEACHER] / max(1, parameters[DISTILLED])
    said = f"{own}, the teacher {parameters[TEACHER]:,}: {times(ratio)} as many"
    forms = _by_form(figures)
    files = [
        forms.get(key, {}).get("bytes")
        for key in (
            (TEACHER, exports.SAVED),
            (DISTILLED, exports.INT8),
            (DISTILLED, exports.FLOAT),
        )
    ]
    if files[0] and files[1]:
        said += (
            f". The teacher's SavedModel is {times(files[0] / files[1])} as "
            "large as the student in int8"
        )
    elif files[0] and files[2]:
        said += (
            f". The teacher's SavedModel is {times(files[0] / files[2])} as "
            "large as the student's LiteRT file"
        )
    return [f"{said}."]


def _of_times(figures):
    said = [
        f"Measured on {figures['machine']}, in turns, while nothing else of "
        "this run was computing. A SavedModel may use all cores, LiteRT uses "
        "one."
    ]
    speed = speeds(figures)
    if speed:
        forms = _by_form(figures)
        teacher, student = (
            forms[name, exports.SAVED]["milliseconds"]
            for name in (TEACHER, DISTILLED)
        )
        alone = _as_fast(teacher / student)
        together = _as_fast(speed[DISTILLED] / speed[TEACHER])
        said.append(
            f"As SavedModels the student answers {alone} as the teacher for a "
            f"single case, and {together} in batches of {BATCH}."
        )
    return said


def _as_fast(ratio):
    return "as fast" if 0.95 < ratio < 1.05 else f"{times(ratio)} as fast"


def _of_int8(figures):
    forms = _by_form(figures)
    agreement = forms.get((DISTILLED, exports.INT8), {}).get("agreement")
    said = []
    found = figures["int8"]
    if found:
        said.append(
            f"In int8 the student is right on {found['accuracy']:.1%} of "
            f"{found['cases']:,} test cases, in float32 on "
            f"{found['float_accuracy']:.1%} of the same."
        )
    if agreement is not None:
        said.append(
            "The int8 file chooses the class that the float student chooses on "
            f"{agreement:.1%} of the held-out cases that its ranges were "
            "measured on."
        )
    return said


def _of_files(figures):
    names = [form["file"] for form in figures["forms"] if "file" in form]
    if not names:
        return []
    return [f"The run directory has {', '.join(names)}."]


def _by_form(figures):
    return {(form["net"], form["form"]): form for form in figures["forms"]}


def details(figures, data):
    """The section's plot."""
    del data
    return (
        pages.Plot(
            "costs",
            _plot(figures["forms"]),
            "Size of each form of student and teacher, and the median time of "
            "a single case",
        ),
    )


def _plot(forms):
    figure, (left, right) = plots.new(columns=2)
    _bars(left, forms, "bytes", size)
    left.set_title("size", fontsize=9)
    _bars(right, forms, "milliseconds", _duration)
    right.set_title("a single case, median", fontsize=9)
    return figure


def _bars(axes, forms, key, text):
    """A bar for each form of which a figure is known, from above to below."""
    known = [form for form in forms if key in form]
    bars = axes.barh(
        [_title(form) for form in known],
        [form[key] for form in known],
        color=[plots.COLOURS[evaluated.COLOURS[form["net"]]] for form in known],
    )
    labels = [text(form[key]) for form in known]
    axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xticks([])  # the bars have their figures
    axes.margins(x=0.35)
    axes.tick_params(labelsize=8)
