"""The teacher of a run, from whatever the user has of it."""

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

import kdtf
from trainers.core.errors import FlagsError
from trainers.distill import files, preprocessing, students
from trainers.distill.sources import labels

GIVES = ("logits", "probabilities")
_SAVED_MODEL = "saved_model.pb"
_LOOKED_AT = 64  # cases, of which probabilities are told from logits


@dataclasses.dataclass(frozen=True)
class Source:
    """What the flags say of the teacher.

    Attributes:
      specs: tuple of strings: `.keras` files or SavedModels, several for an
        ensemble; or the one name of a net that is trained here.
      combine: "arithmetic" or "geometric", of several.
      preprocess: see `preprocessing.before`.
      signature: str, of a SavedModel.
      output: str, of a SavedModel; None for its only one.
      gives: "logits" or "probabilities", of a model that does not show it.
      digests: tuple of strings, checksums of the files; of a name, empty.
    """

    specs: tuple[str, ...]
    combine: str = "arithmetic"
    preprocess: str = preprocessing.NONE
    signature: str = "serving_default"
    output: str | None = None
    gives: str = "logits"
    digests: tuple[str, ...] = ()

    @property
    def is_trained_here(self):
        """Whether it is a name, and not a file."""
        return not self.digests

    @property
    def is_arithmetic(self):
        """Whether soft targets depend on the temperature."""
        return len(self.specs) > 1 and self.combine == "arithmetic"


def source(values):
    """The `Source` that absl's flag values describe; None without a teacher.

    Raises:
      ValueError: names the flag.
    """
    specs = _split(values.teacher or [])
    kept = [s for s in specs if _is_saved(s)]
    _require_used(values, specs, kept)
    if not specs:
        return None
    if len(specs) > 1 and len(kept) < len(specs):
        [other, *_] = [s for s in specs if s not in kept]
        raise ValueError(
            "--teacher must be one net by name, or files. "
            f"Received: --teacher={','.join(specs)}, where {other} is no file "
            "that exists"
        )
    return Source(
        tuple(specs),
        combine=values.combine,
        preprocess=values.teacher_preprocess,
        signature=values.teacher_signature,
        output=values.teacher_output,
        gives=values.teacher_gives,
        digests=tuple(files.digest(path) for path in kept),
    )


def _require_used(values, specs, kept):
    """Refuses flags that such a teacher would ignore."""
    signed = any(_is_saved_model(path) for path in kept)
    for flag, field, is_used, of in (
        ("combine", "combine", len(specs) > 1, "several"),
        ("teacher_signature", "signature", signed, "a SavedModel"),
        ("teacher_output", "output", signed, "a SavedModel"),
        ("teacher_gives", "gives", bool(kept), "a file or a SavedModel"),
        ("teacher_preprocess", "preprocess", bool(specs), "one"),
    ):
        given = getattr(values, flag)
        if not is_used and given != getattr(Source, field):
            raise ValueError(
                f"--{flag} must be left out but for {of} as --teacher. "
                f"Received: --{flag}={given} with "
                f"--teacher={','.join(specs)}"
            )


def _is_saved_model(path):
    return (pathlib.Path(path) / _SAVED_MODEL).is_file()


def _split(given):
    """Lists come apart at commas, in `mlp:256,256` too: put it together."""
    if given and students.is_own(given[0]):
        return [",".join(given)]
    return given


def _is_saved(spec):
    if students.is_file(spec):
        files.require("teacher", spec)
        return True
    return False


def load(source, data):
    """The teacher as one model from x to logits.

    Args:
      source: `Source` of files.
      data: `cases.Data`.

    Returns:
      `keras.Model`, perhaps a `kdtf.Ensemble`.

    Raises:
      ValueError: names the flag, where a model cannot be this data's teacher.
    """
    members = [_load_one(source, spec, data) for spec in source.specs]
    if len(members) == 1:
        return members[0]
    head = head_of(members[0])
    for member in members:
        if head_of(member) != head:
            raise ValueError(
                "--teacher must be models with as many outputs each. "
                f"Received: --teacher={','.join(source.specs)}"
            )
    return kdtf.Ensemble(members, combine=source.combine, head=head)


def with_its_classes(data, source):
    """Data without any label, whose classes are the teacher's outputs.

    Args:
      data: `cases.Data`.
      source: `Source` or None.

    Returns:
      `cases.Data`, its classes named by their numbers.

    Raises:
      ValueError: if no teacher tells how many classes there are.
    """
    if source is None or source.is_trained_here:
        raise ValueError(
            "--teacher must be a trained model for cases without any label. "
            "Received: --teacher="
            f"{','.join(source.specs) if source else None}"
        )
    outputs = outputs_of(load(source, data))
    names = labels.numbered(2 if outputs == 1 else outputs)
    return dataclasses.replace(data, class_names=names)


def head_of(model):
    """The head: "sigmoid" for one logit, yes or no, "softmax" for several."""
    return "sigmoid" if outputs_of(model) == 1 else "softmax"


def outputs_of(model):
    """int, the number of logits."""
    if isinstance(model, kdtf.Ensemble):
        model = model.members[0]
    return model.output_shape[-1]


def _load_one(source, spec, data):
    if _is_saved_model(spec):
        model = _of_saved_model(source, spec, data)
    else:
        model = students.as_logits(files.load_model("teacher", spec))
        files.check_fits("teacher", spec, model, data)
        model = preprocessing.before(
            "teacher", model, source.preprocess, data.input_shape
        )
    files.check_fits("teacher", spec, model, data)
    return _from_probabilities(source, spec, model, data)


def _of_saved_model(source, spec, data):
    """A SavedModel's signature as a model from x to one output."""
    with files.named("teacher", spec, "a SavedModel that TensorFlow opens"):
        signatures = tf.saved_model.load(spec).signatures
    if source.signature not in signatures:
        raise ValueError(
            "--teacher_signature must be one of the SavedModel, "
            f"{sorted(signatures)}. "
            f"Received: --teacher_signature={source.signature}"
        )
    outputs = sorted(signatures[source.signature].structured_outputs)
    output = source.output or (outputs[0] if len(outputs) == 1 else None)
    if output not in outputs:
        raise ValueError(
            f"--teacher_output must be one of the SavedModel's outputs, "
            f"{outputs}. Received: --teacher_output={source.output}"
        )
    layer = keras.layers.TFSMLayer(spec, call_endpoint=source.signature)
    inputs = keras.Input(data.input_shape, name="x")
    with files.named(
        "teacher", spec, f"a SavedModel that takes cases of {data.input_shape}"
    ):
        found = layer(inputs)[output]
    model = keras.Model(inputs, found, name="teacher")
    return preprocessing.before(
        "teacher", model, source.preprocess, data.input_shape
    )


def _from_probabilities(source, spec, model, data):
    """The model, behind which probabilities become logits."""
    some = [split.dataset.map(_x) for split in (data.held_out, data.train)]
    batch = some[0].concatenate(some[1]).batch(_LOOKED_AT)
    cases = next(iter(batch))
    with files.named(
        "teacher",
        spec,
        f"a model that takes cases of {data.input_shape}, float32, in batches "
        "of any size",
    ):
        found = np.asarray(model(cases, training=False))
    if not np.isfinite(found).all():
        raise FlagsError(
            "--teacher must give finite numbers for the cases of --data. "
            f"Received: --teacher={spec}, which gives nan or infinity"
        )
    _require_one_distribution(spec, found)
    shown = _are_probabilities(found)
    if source.gives == "logits":
        if shown:
            raise ValueError(
                "--teacher must give logits, or --teacher_gives=probabilities "
                f"say that it does not. Received: --teacher={spec}, whose "
                f"outputs are from 0 to 1{_sum(found)} in {len(found)} cases"
            )
        return model
    head = head_of(model)
    if not shown:
        raise ValueError(
            "--teacher_gives must be logits for a model that gives no "
            "probabilities, as one whose last softmax is cut off. "
            f"Received: --teacher_gives=probabilities with {spec}"
        )
    inputs = keras.Input(data.input_shape, name="x")
    logits = FromProbabilities(head)(model(inputs))
    return keras.Model(inputs, logits, name="teacher")


def _x(x, *_):
    return x


def _require_one_distribution(spec, found):
    """Refuses sigmoids of each class for itself."""
    if _are_in_unit(found) and not _are_probabilities(found):
        raise ValueError(
            "--teacher must give logits, or probabilities that sum to 1: "
            "export what comes before its sigmoids. Received: "
            f"--teacher={spec}, whose outputs are from 0 to 1 and do not sum "
            f"to 1 in {len(found)} cases"
        )


def _are_probabilities(found):
    """Whether outputs are from 0 to 1, and those of several sum to 1."""
    return _are_in_unit(found) and (
        found.shape[-1] == 1 or np.allclose(found.sum(-1), 1, atol=1e-3)
    )


def _are_in_unit(found):
    return bool((found >= 0).all() and (found <= 1).all())


def _sum(found):
    return " and sum to 1" if found.shape[-1] > 1 else ""


@keras.saving.register_keras_serializable("kdtf_trainers")
class FromProbabilities(keras.layers.Layer):
    """`kdtf.logits_from_probabilities` as a layer."""

    def __init__(self, head, **kwargs):
        """Builds the layer.

        Args:
          head: "softmax" or "sigmoid".
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.head = head

    def call(self, probabilities):
        """Logits of the same shape."""
        return kdtf.logits_from_probabilities(probabilities, head=self.head)

    def get_config(self):
        """The layer's configuration."""
        return {**super().get_config(), "head": self.head}
