"""What student and teacher cost: bytes, and time on this machine.

The student, the distilled one of seed 0, is exported in every form that serves
it, and stays in the run directory. The teacher's exports are temporary.
"""

import dataclasses
import functools
import importlib
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

import kdtf
from kdtf import _atomic, _disk
from trainers.core import machine, pages, run_directory, strategies
from trainers.distill import reading
from trainers.distill.evaluated import DISTILLED, TEACHER
from trainers.distill.verdict import times

TITLE = "Size and speed"
SECONDS = 2.0  # of each kind of prediction
BATCH = 32
_INT8_CASES = 500  # test cases of the int8 file
_EXAMPLES = 200  # held-out cases that ranges of int8 are measured on
_LONGEST = 300  # letters of a reason
_SHORTEST = 60  # of them in a table
_KERAS, _SAVED, _FLOAT, _INT8 = "keras", "saved_model", "litert", "litert_int8"
_TITLES = {
    _KERAS: "Keras file",
    _SAVED: "SavedModel",
    _FLOAT: "LiteRT, float32",
    _INT8: "LiteRT, int8",
}
_measured: dict[pathlib.Path, dict] = {}  # by run directory


@dataclasses.dataclass(frozen=True)
class Form:
    """A form in which a net is served.

    Attributes:
      figures: dict: "net", "form", and "bytes", or "failed", the reason;
        "not_run", the reason why it is there and does not run here.
      predict: function from `[cases, ...]` inputs to `[cases]` chosen classes,
        of LiteRT for a single case; or None.
    """

    figures: dict
    predict: object = None


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
        forms = [*_of_student(run, student, batch[:1], scratch)]
        parameters = {DISTILLED: int(student.count_params())}
        if run.teacher is not None:
            forms += _of_teacher(run, batch[:1], scratch)
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


def _of_student(run, net, case, scratch):
    """The `Form`s of the student; all but int8 stay in the run directory."""
    head, names = _head(net, case), list(run.data.class_names)
    keeps_int8 = getattr(run.settings, "int8", False)
    folders = {_INT8: run.directory if keeps_int8 else scratch}
    writers = {
        _KERAS: ("student.keras", _keras(net)),
        _SAVED: (run_directory.EXPORT, _saved_model(net, head, names)),
        _FLOAT: ("student.tflite", _litert(net, head)),
        _INT8: ("student_int8.tflite", _litert(net, head, run.data.held_out)),
    }
    forms = []
    for form, (name, write) in writers.items():
        folder = folders.get(form, run.directory)
        made = _form(DISTILLED, form, folder / name, write, case)
        if folder == run.directory and "failed" not in made.figures:
            made.figures["file"] = name + "/" * (folder / name).is_dir()
        forms.append(made)
    return forms


def _of_teacher(run, case, scratch):
    net, names = run.teacher, list(run.data.class_names)
    writers = {
        _KERAS: ("teacher.keras", _keras(net)),
        _SAVED: ("teacher", _saved_model(net, _head(net, case), names)),
    }
    return [
        _form(TEACHER, form, scratch / name, write, case)
        for form, (name, write) in writers.items()
    ]


def _form(net, form, path, write, case):
    """A `Form` that is written now, or the reason why it cannot be.

    Args:
      net: str.
      form: str.
      path: `pathlib.Path` to write.
      write: function of the path, which returns a function from it to
        `predict`, or None, and further figures.
      case: `[1, ...]` inputs.
    """
    figures = {"net": net, "form": form}
    try:
        load, more = write(path)
    except Exception as error:  # whatever a converter or a package raises
        return Form({**figures, "failed": _reason(error)})
    figures |= {"bytes": _bytes(path), **more}
    if load is None:
        return Form(figures)
    try:
        predict = load(path)
        predict(case)
    except Exception as error:  # a package that is optional, an operation
        return Form({**figures, "not_run": _reason(error)})
    return Form(figures, predict)


def _reason(error):
    """An exception in a line; a full disk ends the run, which is resumed."""
    if _disk.lacks_room(error):
        raise error
    # Keras begins some messages with an empty line.
    said = _disk.reason(error) or " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:_LONGEST]}"


def _keras(net):
    def write(path):
        with _atomic.whole_file(path) as scratch:
            net.save(scratch)
        return None, {}

    return write


def _litert(net, head, split=None):
    """Writes a `.tflite`: in int8, if there are cases to measure ranges on."""

    def write(path):
        options = {}
        if split is not None:
            rows = reading.spread(split.cases, _EXAMPLES)
            options = {
                "quantize": "int8",
                "representative_data": reading.xs(split.dataset, rows),
            }
        report = kdtf.export_litert(
            net, path, head=head, overwrite=True, **options
        )
        return _interpreted, {"agreement": report.agreement}

    return write


def _saved_model(net, head, names):
    def write(path):
        kdtf.export_student(
            net, path, head=head, class_names=names, overwrite=True
        )
        return _Served, {}

    return write


class _Served:
    """The chosen classes of cases, by a SavedModel."""

    def __init__(self, path):
        """Loads it; `path` may be removed then."""
        self._loaded = tf.saved_model.load(str(path))  # keeps variables alive
        self._serve = self._loaded.signatures["serving_default"]
        [self._key] = self._serve.structured_input_signature[1]

    def __call__(self, x):
        """`[cases]` int array."""
        return self._serve(**{self._key: x})["class"].numpy().reshape(-1)


def _interpreted(path):
    """A function from one case to its class, by LiteRT.

    Its package is optional.
    """
    module = importlib.import_module("ai_edge_litert.interpreter")
    runner = module.Interpreter(str(path)).get_signature_runner()
    [key] = runner.get_input_details()
    return lambda x: runner(**{key: x})["class"].reshape(-1)


def _head(net, case):
    """The head of a net's logits: a single one is of a sigmoid."""
    logits = net(case, training=False)
    return "sigmoid" if logits.shape[-1] == 1 else "softmax"


def _bytes(path):
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def _times(forms, batch):
    """Dict from a form's place to times of it, all measured in turns."""
    one, many = batch[:1], batch
    calls = {}
    for i, form in enumerate(forms):
        if form.predict is None:
            continue
        calls[i, 1] = functools.partial(form.predict, one)
        if form.figures["form"] == _SAVED:
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
    [form] = [f for f in forms if f.figures["form"] == _INT8]
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
        if len(reason) > _SHORTEST:
            reason = f"{reason[:_SHORTEST]}..."
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
        for key in ((TEACHER, _SAVED), (DISTILLED, _INT8), (DISTILLED, _FLOAT))
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
            forms[name, _SAVED]["milliseconds"] for name in (TEACHER, DISTILLED)
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
    agreement = forms.get((DISTILLED, _INT8), {}).get("agreement")
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
    """Nothing more."""
    del figures, data
    return ()
