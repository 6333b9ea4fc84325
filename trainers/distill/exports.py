"""The forms in which student and teacher are served, written and loaded.

The student's stay in the run directory. What cannot be written, or cannot run
here, is told with its reason.
"""

import dataclasses
import importlib

import tensorflow as tf

import kdtf
from kdtf import _atomic, _disk
from trainers.core import notices, run_directory
from trainers.distill import reading
from trainers.distill.evaluated import DISTILLED, TEACHER

KERAS, SAVED, FLOAT, INT8 = "keras", "saved_model", "litert", "litert_int8"
_EXAMPLES = 200  # held-out cases that ranges of int8 are measured on
_LONGEST = 300  # letters of a reason


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


def of_student(run, net, case, scratch):
    """The `Form`s of the student, which are written now.

    Args:
      run: `run.Run`.
      net: the student.
      case: `[1, ...]` inputs.
      scratch: `pathlib.Path` of a folder, where int8 goes unless the run is to
        keep it.
    """
    head, names = _head(net, case), list(run.data.class_names)
    folders = {INT8: run.directory if run.int8 else scratch}
    writers = {
        KERAS: ("student.keras", _keras(net)),
        SAVED: (run_directory.EXPORT, _saved_model(net, head, names)),
        FLOAT: ("student.tflite", _litert(net, head)),
        INT8: ("student_int8.tflite", _litert(net, head, run.data.held_out)),
    }
    forms = []
    for form, (name, write) in writers.items():
        folder = folders.get(form, run.directory)
        made = _form(DISTILLED, form, folder / name, write, case)
        if folder == run.directory and "failed" not in made.figures:
            made.figures["file"] = name + "/" * (folder / name).is_dir()
        forms.append(made)
    return forms


def of_teacher(run, case, scratch):
    """The `Form`s of the teacher, in a folder `scratch`."""
    net, names = run.teacher, list(run.data.class_names)
    writers = {
        KERAS: ("teacher.keras", _keras(net)),
        SAVED: ("teacher", _saved_model(net, _head(net, case), names)),
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
        with notices.dropped():  # some come with the first case
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
