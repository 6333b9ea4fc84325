"""Hidden features: which layer a path names, their shapes, and their values."""

import contextlib
import difflib
import itertools
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf._training import observing

_MOST_NAMES = 6


class Feature(NamedTuple):
    """What a layer within a model gives.

    Attributes:
      argument: str, "student" or "teacher": whose feature it is.
      path: str, the names that lead to the layer.
      operation: the layer, or the operation of a functional model.
      shape: tuple of int or None, with the batch.
      dtype: str.
    """

    argument: str
    path: str
    operation: Any
    shape: tuple
    dtype: str


class _Place(NamedTuple):
    """A layer or operation, and the models and layers around it."""

    path: str
    operation: Any
    around: tuple


def find(model, paths, argument):
    """The features that paths name.

    Args:
      model: a built `keras.Model`.
      paths: list of str, as a `kdtf.Hint` has them.
      argument: "student" or "teacher".

    Returns:
      List of `Feature`.

    Raises:
      ValueError: names the path, if it leads to no layer, to several, or to one
        whose output cannot be matched; or if the model does not tell its
        layers.
    """
    if not paths:
        return []
    _require_layers(model, argument)
    places = list(_places(model))
    found = [_place(places, path, model, argument) for path in paths]
    outputs = [_symbolic_output(place, argument) for place in found]
    if None in outputs:
        traced = _traced_outputs(model, found, argument)
        outputs = [
            one if other is None else other
            for one, other in zip(traced, outputs, strict=True)
        ]
    return [
        _feature(place, output, argument)
        for place, output in zip(found, outputs, strict=True)
    ]


@contextlib.contextmanager
def captured(features):
    """Yields a list that has the features' tensors once the context is left.

    Within it their model is called once; a Keras mask is on the tensors as it
    is for the layers that follow.

    Args:
      features: list of `Feature`.

    Yields:
      List of tensors, in that order.

    Raises:
      ValueError: names the feature, if its layer did not run, ran more than
        once, or ran where its output cannot be taken from.
    """
    found = []
    with observing.observed([each.operation for each in features]) as calls:
        yield found
    graph = tf.compat.v1.get_default_graph()
    for each in features:
        outputs = calls[id(each.operation)]
        found.append(_the_one(outputs, each.path, each.argument, graph))


def _require_layers(model, argument):
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`{argument}` must be a keras.Model or a kdtf.Ensemble where "
            "there are hints: of other callables no layers are known. "
            f"Received: {model!r}"
        )
    if not model.built:
        raise ValueError(
            f"`{argument}` must be built where there are hints: give it a "
            "keras.Input, or call it on a batch, first. "
            f"Received: {model.name!r}, which is not built"
        )


def _places(model):
    """Yields the `_Place` of everything within a model, outer ones first."""
    waiting = [("", model, ())]
    for prefix, owner, around in waiting:
        around = (*around, owner)
        for part in keras_private.parts_of(owner):
            if any(part is each for each in around):
                continue  # a layer that holds what it is in
            yield _Place(prefix + part.name, part, around)
            if isinstance(part, keras.Layer):
                waiting.append((f"{prefix}{part.name}/", part, around))


def _place(places, path, model, argument):
    """The place that a path leads to, or its last names alone."""
    exact = [place for place in places if place.path == path]
    ending = [place for place in places if place.path.endswith(f"/{path}")]
    found = exact or ending
    distinct = {id(place.operation): place for place in found}
    if not found:
        raise ValueError(
            f"`{argument}` of a Hint must be a layer of the {argument}: "
            f"{_names_like(path, places)}. Received: {argument}={path!r}, "
            f"which is no layer of {model.name!r}"
        )
    if len(distinct) > 1:
        paths = sorted({place.path for place in distinct.values()})
        remedy = "give one of its paths"
        if len(paths) < len(distinct):
            remedy = "give those layers names of their own"
        raise ValueError(
            f"`{argument}` of a Hint must be one layer: {remedy}. Received: "
            f"{argument}={path!r}, of which {model.name!r} has "
            f"{len(distinct)}: {_listed(paths)}"
        )
    place = found[0]
    _check_gradient(place, argument)
    return place


def _names_like(path, places):
    paths = [place.path for place in places]
    names = {each.rpartition("/")[2]: each for each in reversed(paths)}
    last = path.rpartition("/")[2]
    close = [
        *difflib.get_close_matches(path, paths, n=3),
        *(names[each] for each in difflib.get_close_matches(last, names, n=3)),
    ]
    if close:
        return f"similar ones are {_listed(list(dict.fromkeys(close)))}"
    return f"it has {_listed(paths)}"


def _listed(names):
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} others" if more > 0 else shown


def _check_gradient(place, argument):
    """Raises if the student would not learn from what is seen of a layer."""
    if argument != "student":
        return
    recomputed = list(filter(keras_private.is_recomputed, place.around))
    if recomputed:
        raise ValueError(
            "`student` of a Hint must not be within a model or layer that is "
            "recomputed as a whole, whose parts get no gradient: make the "
            "model itself outside of keras.RematScope, and its layers within "
            f"it. Received: student={place.path!r}, in "
            f"{recomputed[0].name!r}, which was made in a RematScope"
        )


def _symbolic_output(place, argument):
    """What a functional model tells of a part's output, or None."""
    calls = keras_private.outputs_within(place.around[-1], place.operation)
    if calls is None:
        return None
    count = len(calls)
    for around, part in itertools.pairwise(place.around):
        count *= len(keras_private.outputs_within(around, part) or [()])
    if count > 1:
        raise _called_often(place.path, argument, count)
    return calls[0]


def _traced_outputs(model, places, argument):
    """What the parts give in a pass that is only traced."""
    seen = {}

    def run(x):
        with observing.observed([each.operation for each in places]) as calls:
            model(x, training=False)
        seen.update(calls, graph=tf.compat.v1.get_default_graph())

    try:
        # Without a trace of it in the model, such as its losses.
        with keras.StatelessScope():
            tf.function(run, autograph=False).get_concrete_function(
                _models.input_specs(model)
            )
    except Exception as error:  # whatever a model raises
        raise ValueError(
            f"`{argument}` must run on inputs of the shape that it was built "
            "on, in float32, to tell what its layers give: make a functional "
            f"model of it. Received: {model.name!r}, which raised "
            f"{type(error).__name__}: {error}"
        ) from error
    return [
        _the_one(seen[id(each.operation)], each.path, argument, seen["graph"])
        for each in places
    ]


def _the_one(outputs, path, argument, graph):
    """The tensor that the one call of a layer returned, in that graph."""
    if not outputs:
        raise ValueError(
            f"`{argument}` of a Hint must be a layer that runs at every step. "
            f"Received: {argument}={path!r}, which did not run: another branch "
            "was taken, or it is within a function that TensorFlow keeps"
        )
    leaves = filter(tf.is_symbolic_tensor, keras.tree.flatten(outputs))
    if any(leaf.graph is not graph for leaf in leaves):
        raise ValueError(
            f"`{argument}` of a Hint must not run within a loop, a condition "
            "or a function of its own, such as the cell of a recurrent layer "
            "or the layer in a TimeDistributed: name the layer around it. "
            f"Received: {argument}={path!r}"
        )
    if len(outputs) > 1:
        raise _called_often(path, argument, len(outputs))
    return _one_tensor(outputs[0], path, argument)


def _called_often(path, argument, count):
    return ValueError(
        f"`{argument}` of a Hint must be a layer that is called once, so that "
        "it is plain which output is meant: add a keras.layers.Identity where "
        f"you want to look, and name that. Received: {argument}={path!r}, "
        f"which is called {count} times"
    )


def _one_tensor(outputs, path, argument):
    leaves = keras.tree.flatten(outputs)
    if len(leaves) != 1:
        raise ValueError(
            f"`{argument}` of a Hint must give one tensor: name a layer that "
            "takes the one you want, such as a keras.layers.Identity. "
            f"Received: {argument}={path!r}, which gives {len(leaves)}"
        )
    return leaves[0]


def _feature(place, output, argument):
    tensor = _one_tensor(output, place.path, argument)
    shape, dtype = (getattr(tensor, name, None) for name in ("shape", "dtype"))
    rank = None if shape is None else tf.TensorShape(shape).rank
    dtype = None if dtype is None else keras.backend.standardize_dtype(dtype)
    if (rank or 0) < 2 or not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            f"`{argument}` of a Hint must give floating numbers of a shape "
            "[batch, ..., width] whose rank is known. Received: "
            f"{argument}={place.path!r}, which gives {dtype} of shape {shape}"
        )
    return Feature(argument, place.path, place.operation, tuple(shape), dtype)
