"""Whether a row's student trains, is exported, and is resumed as it was."""

import dataclasses
import subprocess
import sys
import tempfile

import keras
import numpy as np

import kdtf

# A process with nothing of Keras: what a server has.
_SERVED = """
import sys
sys.modules["keras"] = sys.modules["kdtf"] = None
import numpy as np, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
inputs = dict(np.load(sys.argv[2]))
specs = serve.structured_input_signature[1]
if len(specs) == 1:
    inputs = dict(zip(specs, inputs.values()))
outputs = serve(**{name: inputs[name] for name in specs})
outputs = {name: value.numpy() for name, value in outputs.items()}
np.savez(sys.argv[3], **outputs)
"""


def check(row):
    """Trains, exports, saves, loads and goes on.

    Args:
      row: `base.Row`, prepared.

    Returns:
      Dict of "student_weights", "losses" (of each epoch), "export_difference"
      (largest, between the student's logits and those of the SavedModel in a
      process without Keras) and "resumed_difference" (largest, between the
      weights after a further epoch with and without a save and a load) and,
      if the row asks for it, "litert". What raised an error is
      "raises TYPE: MESSAGE", and what needs it is missing.
    """
    found = {}
    try:
        step = "losses"
        distiller, found[step] = row.trained()
        found["student_weights"] = distiller.student.count_params()
        step = "export_difference"
        found[step] = export_difference(row, distiller)
        step = "resumed_difference"
        found[step] = resumed_difference(row, distiller)
        if row.litert:
            step = "litert"
            found[step] = litert(row, distiller)
    except Exception as error:
        found[step] = raised(error)
    return found


def raised(error):
    """An exception in words."""
    return f"raises {type(error).__name__}: {error}"


def export_difference(row, distiller):
    """The largest difference between a student's logits and its export's."""
    x = next(iter(row.batches()))[0]
    if isinstance(x, dict):  # which may hold more than the student takes
        x = {name: x[name] for name in distiller.student.input}
    own = row.as_exported(distiller.student)(x, training=False)
    if not isinstance(own, dict):
        own = {"": own}
    arrays = x if isinstance(x, dict) else {"x": x}
    with tempfile.TemporaryDirectory(dir=row.folder) as folder:
        kdtf.export_student(distiller, f"{folder}/export")
        inputs, outputs = f"{folder}/inputs.npz", f"{folder}/outputs.npz"
        np.savez(inputs, **{k: np.asarray(v) for k, v in arrays.items()})
        subprocess.run(
            [
                sys.executable,
                "-c",
                _SERVED,
                f"{folder}/export",
                inputs,
                outputs,
            ],
            check=True,
            capture_output=True,
        )
        with np.load(outputs) as arrays:
            served = dict(arrays)
    return _largest(
        (logits, served[f"{name}_logits".removeprefix("_")])
        for name, logits in own.items()
    )


def resumed_difference(row, distiller):
    """The largest difference that saving and loading makes to an epoch."""
    with tempfile.TemporaryDirectory(dir=row.folder) as folder:
        distiller.save(f"{folder}/distiller.keras")
        loaded = keras.saving.load_model(f"{folder}/distiller.keras")
    loaded.set_teacher(row.teacher())
    for each in (distiller, loaded):
        each.fit(row.data(), shuffle=False, verbose=0)
    students = distiller.student.weights, loaded.student.weights
    return _largest(zip(*students, strict=True))


def litert(row, distiller):
    """Dict of what `kdtf.export_litert` tells of a student in int8."""
    x = row.data().map(lambda x, *_: x)
    with tempfile.TemporaryDirectory(dir=row.folder) as folder:
        report = kdtf.export_litert(
            distiller,
            f"{folder}/student.tflite",
            quantize="int8",
            representative_data=x,
        )
    return dataclasses.asdict(report)


def _largest(pairs):
    """The largest difference between the entries of pairs of tensors."""
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs
    )
