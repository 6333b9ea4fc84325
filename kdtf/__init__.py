"""kdtf: knowledge distillation for Keras 3 on TensorFlow.

A small net learns what a big one, or a whole ensemble, knows:

    import keras, kdtf

    teacher = keras.saving.load_model("teacher.keras")  # returns logits
    student = keras.Sequential(
        [keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
    )
    distiller = kdtf.Distiller(student, teacher, temperature=4.0)
    distiller.compile(keras.optimizers.Adam(1e-3), metrics=["accuracy"])
    distiller.fit(x_train, y_train, epochs=20, validation_data=(x_test, y_test))
    kdtf.export_student(distiller, "export")
"""

import importlib
from typing import TYPE_CHECKING, Any

_REFUSAL = (
    "kdtf runs on Keras's TensorFlow backend: set KERAS_BACKEND=tensorflow in "
    "the environment before keras is imported; it overrides keras.json. "
    "Received: the backend of "
)

try:
    import keras
except ModuleNotFoundError as error:
    # Keras imports its backend, which may not even be installed.
    if error.name not in ("jax", "openvino", "torch"):
        raise
    raise ImportError(_REFUSAL + error.name) from error

if keras.config.backend() != "tensorflow":
    raise ImportError(_REFUSAL + keras.config.backend())

from kdtf import callbacks, losses, metrics, output_bias
from kdtf._math.top_logits import TopLogits
from kdtf._version import __version__
from kdtf.distiller import Distiller
from kdtf.ensemble import Ensemble
from kdtf.export import export_litert, export_student
from kdtf.hints import Hint
from kdtf.logits import logits_from_probabilities, logits_of, numpy_teacher
from kdtf.soft_targets.store import SoftTargets

__all__ = [
    "Distiller",
    "Ensemble",
    "Hint",
    "SoftTargets",
    "TopLogits",
    "__version__",
    "callbacks",
    "export_litert",
    "export_student",
    "logits_from_probabilities",
    "logits_of",
    "losses",
    "metrics",
    "numpy_teacher",
    "output_bias",
    "specialists",
    "speech",
]

if TYPE_CHECKING:
    # Type checkers see the modules themselves, and no `__getattr__`, through
    # which any misspelled name would be allowed.
    from kdtf import specialists, speech
else:

    def __getattr__(name: str) -> Any:
        """Loads a module that few users need when it is asked for."""
        if name in ("specialists", "speech"):
            return importlib.import_module(f"kdtf.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
