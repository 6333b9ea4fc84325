"""Nets by name, and those that a `.keras` file describes."""

import inspect
import pathlib

import keras

import kdtf
from trainers.distill import files, preprocessing

_FORMS = (
    "a .keras file, mlp:256,256 (widths of hidden layers), cnn:32,64,128 "
    "(channels of convolutions), or an architecture of keras.applications "
    "such as mobilenet_v3_small"
)
OWN = ("mlp", "cnn")  # nets of ours, which scale their input themselves
_SMALLEST_IMAGE = 2  # of the last convolution


def is_file(spec):
    """Whether a net is given by a file, and not by name."""
    return spec.endswith((".keras", ".h5")) or pathlib.Path(spec).exists()


def is_own(spec):
    """Whether a net by name is an mlp or a cnn."""
    return spec.partition(":")[0] in OWN


def check(flag, spec, data):
    """Refuses a name that means nothing, or nothing for these data.

    Args:
      flag: str, name of the flag.
      spec: str, its value.
      data: `cases.Data`.

    Raises:
      ValueError: names the flag.
    """
    kind, _, widths = spec.partition(":")
    if kind in OWN:
        found = _widths(flag, spec, widths)
        if kind == "cnn":
            _check_image(flag, spec, len(found), data)
    elif _architecture(kind) is None:
        raise ValueError(
            f"--{flag} must be {_FORMS}. Received: --{flag}={spec}"
        )
    elif data.kind != "images":
        raise ValueError(
            f"--{flag} must be an mlp or a cnn for data other than images, or "
            f"a file. Received: --{flag}={spec} with cases of "
            f"{data.input_shape}"
        )


def _widths(flag, spec, given):
    try:
        widths = [int(width) for width in given.split(",")]
        good = all(width > 0 for width in widths)
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            f"--{flag} must have positive whole numbers between commas after "
            f"the colon. Received: --{flag}={spec}"
        )
    return widths


def _check_image(flag, spec, layers, data):
    shape = data.input_shape
    if len(shape) != 3:
        raise ValueError(
            f"--{flag} must be an mlp for cases that are no images: "
            f"--{flag}=mlp:256,256. Received: --{flag}={spec} with cases of "
            f"{shape}"
        )
    if min(shape[:2]) < _SMALLEST_IMAGE ** (layers - 1):
        raise ValueError(
            f"--{flag} must have no more convolutions than an image can be "
            f"halved. Received: --{flag}={spec} with cases of {shape}"
        )


def build(
    flag,
    spec,
    data,
    outputs,
    seed,
    *,
    preprocess=None,
    keep_weights=False,
    l2=0.0,
    dropout=0.0,
):
    """A net with the weights that it begins with, those of a seed.

    Args:
      flag: str, name of the flag.
      spec: str, see `check`.
      data: `cases.Data`.
      outputs: int, number of logits.
      seed: int.
      preprocess: see `preprocessing.before`; None for what the net's kind
        wants, which for a file is nothing.
      keep_weights: whether a file's weights are kept.
      l2: float, of named nets.
      dropout: float, of named nets.

    Returns:
      A built `keras.Model` from x to logits `[batch, outputs]`.

    Raises:
      ValueError: if it cannot take these data; names the flag.
    """
    keras.utils.set_random_seed(seed)
    if is_file(spec):
        net = as_logits(files.open_model(flag, spec))
        files.check_fits(flag, spec, net, data)
        if not keep_weights:
            net = _fresh(net)
        preprocess = preprocess or preprocessing.NONE
        return preprocessing.before(flag, net, preprocess, data.input_shape)
    kind, _, widths = spec.partition(":")
    regularizer = keras.regularizers.L2(l2) if l2 else None
    if kind not in OWN:
        return _of_applications(flag, spec, data, outputs, preprocess)
    body = {"mlp": _dense, "cnn": _convolutions}[kind]
    inputs = keras.Input(data.input_shape, name="x")
    x = _scaled(inputs, data)
    x = body(x, [int(w) for w in widths.split(",")], regularizer)
    x = keras.layers.Dropout(dropout)(x)
    logits = keras.layers.Dense(
        outputs, kernel_regularizer=regularizer, dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, logits, name=kind)


def as_logits(model):
    """The model, cut before its last softmax or sigmoid if it shows one."""
    try:
        return kdtf.logits_of(model)
    except ValueError:
        return model


def _fresh(model):
    """The same architecture with new weights, but for what is not trained.

    That is what layers are frozen with, and what `Normalization` has found out
    of data.
    """
    fresh = type(model).from_config(model.get_config())
    if not fresh.built:
        fresh.build(model.input_shape)
    for ours, theirs in zip(_layers(fresh), _layers(model), strict=True):
        normalizes = isinstance(ours, keras.layers.Normalization)
        if normalizes or not theirs.trainable:
            ours.set_weights(theirs.get_weights())
        if normalizes:
            ours.finalize_state()
    return fresh


def _layers(layer):
    """The layers of which a model, or a layer around others, is made."""
    inner = list(getattr(layer, "layers", ()))
    if isinstance(layer, keras.layers.Wrapper):
        inner.append(layer.layer)
    if not inner:
        yield layer
    for each in inner:
        yield from _layers(each)


def _scaled(inputs, data):
    """Inputs of about unit size."""
    if data.kind == "images":
        return keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    axis = -2 if data.kind == "sound" else -1  # a mean for each band
    scaled = keras.layers.Normalization(axis=axis, name="scale")
    scaled.adapt(data.train.dataset.map(lambda x, *_: x).batch(256))
    return scaled(inputs)


def _dense(x, widths, regularizer):
    # Names of ours, for --hint: those of Keras count all layers of a program.
    x = keras.layers.Flatten(name="flat")(x)
    for i, width in enumerate(widths):
        x = keras.layers.Dense(
            width, "relu", kernel_regularizer=regularizer, name=f"hidden_{i}"
        )(x)
    return x


def _convolutions(x, widths, regularizer):
    """Each halves height and width, but for the first."""
    for i, width in enumerate(widths):
        x = keras.layers.Conv2D(
            width,
            3,
            strides=2 if i else 1,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizer,
            name=f"convolution_{i}",
        )(x)
        # Of the last hundred steps: a thousandth would outlast a short run.
        x = keras.layers.BatchNormalization(momentum=0.97, name=f"norm_{i}")(x)
        x = keras.layers.ReLU(name=f"block_{i}")(x)
    return keras.layers.GlobalAveragePooling2D()(x)


def _architecture(name):
    """The function of `keras.applications` of that name, or None."""
    wanted = name.replace("_", "").lower()
    for found, function in inspect.getmembers(keras.applications):
        if inspect.isfunction(function) and found.lower() == wanted:
            return function
    return None


def _of_applications(flag, spec, data, outputs, preprocess):
    name, _, alpha = spec.partition(":")
    function = _architecture(name)
    with files.named(
        flag, spec, f"an architecture that takes images of {data.input_shape}"
    ):
        options = {"alpha": float(alpha)} if alpha else {}
        net = function(
            weights=None,
            input_shape=data.input_shape,
            classes=outputs,
            classifier_activation=None,
            **options,
        )
    family = function.__module__.rpartition(".")[2]
    return preprocessing.before(
        flag, net, preprocess or family, data.input_shape
    )
