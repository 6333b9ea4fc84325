"""Every private name of Keras that kdtf uses, each with its reason.

None of them is promised by Keras. Where one is missing or means something
else, either Keras's own way is taken (and is only slower), or a RuntimeError
says so: nothing is dropped in silence.
"""

import contextlib
import copy
import functools
import itertools
from typing import Any, NamedTuple

import keras
import tensorflow as tf

try:
    # Reason: `fit` has no public way to iterate over groups of batches, or over
    # arrays that stay where they are, and none to split off validation data by
    # itself. Without them `fit` runs Keras's own loop.
    from keras.src.trainers.data_adapters import get_data_adapter
    from keras.src.trainers.data_adapters.array_data_adapter import (
        ArrayDataAdapter,
    )
    from keras.src.trainers.data_adapters.array_slicing import (
        convert_to_sliceable,
        train_validation_split,
    )
    from keras.src.trainers.data_adapters.data_adapter import DataAdapter
except ImportError:
    get_data_adapter = train_validation_split = None
    DataAdapter = object


def has_data_adapters():
    """Whether `get_data_adapter` and its kin are there."""
    return get_data_adapter is not None


def arrays_of(adapter):
    """The arrays that Keras's data adapter of arrays takes its batches of.

    Reason: an adapter gives batches only.

    Returns:
      Tuple of x, y and sample weight, as far as they are given; floating arrays
      are of Keras's default dtype. None if it is another adapter, or Keras
      hides them.
    """
    inputs = getattr(adapter, "_inputs", None)
    if inputs is None or not isinstance(adapter, ArrayDataAdapter):
        return None
    return keras.tree.lists_to_tuples(
        convert_to_sliceable(inputs, target_backend="tensorflow")
    )


def mask_of(tensor):
    """The mask `[...]` that Keras's layers left on their output, or None.

    Reason: a model returns its mask as an attribute of its output; only
    `keras.Model.compute_loss` reads it, and that for its own losses alone.

    Raises:
      RuntimeError: if this Keras keeps masks elsewhere, since every masked
        entry would then count.
    """
    _require_masks_as_attributes()
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor, mask):
    """Puts a mask on a tensor, where `mask_of` finds it.

    Reason: as of `mask_of`.
    """
    tensor._keras_mask = mask


@functools.cache
def _require_masks_as_attributes():
    with tf.init_scope():
        masked = keras.layers.Masking()(tf.zeros([1, 1, 1]))
    if getattr(masked, "_keras_mask", None) is None:
        raise _missing("tf.Tensor._keras_mask")


def all_layers(model):
    """A model and all layers within it, at any depth.

    Reason: `model.layers` stops at the layers that wrap others.

    Raises:
      RuntimeError: if Keras hides them.
    """
    return list(_attribute(model, "_flatten_layers")())


def unusual_layers(model):
    """The layers that were quantized or have weights of low rank, and how.

    Reason: as of `all_layers`. Of what is no layer, or hides them, none.

    Returns:
      List of `(path, quantization mode, whether there are such weights)`.
    """
    flatten = getattr(model, "_flatten_layers", tuple)
    found = (
        (
            getattr(layer, "path", None),  # Keras 2 has none
            getattr(layer, "quantization_mode", None),
            getattr(layer, "lora_enabled", False),
        )
        for layer in flatten()
    )
    return [each for each in found if any(each[1:])]


def operations_from_the_end(model, output=None):
    """Yields the layers and operations that make an output of a model.

    Reason: only the tensors of a functional model tell what made them.

    Args:
      model: a `keras.Model`. Of a subclass, whose `call` is code, nothing is
        known.
      output: the `keras.KerasTensor` of one of several outputs, or None for
        the only one.

    Yields:
      Layers and operations, the last one first, as long as each has one input.
    """
    if isinstance(model, keras.Sequential):
        yield from reversed(model.layers)
        return
    outputs = getattr(model, "outputs", None) or []
    outputs = outputs if output is None else [output]
    while len(outputs) == 1:
        history = getattr(outputs[0], "_keras_history", None)
        if history is None:
            return
        yield history.operation
        node = history.operation._inbound_nodes[history.node_index]
        outputs = node.input_tensors


class Call(NamedTuple):
    """One call of a layer or operation in a functional model.

    Attributes:
      operation: the layer or operation.
      inputs: list of `keras.KerasTensor`.
      keywords: dict, the other arguments of the call.
    """

    operation: Any
    inputs: list
    keywords: dict


def call_of(tensor):
    """The `Call` that gave a `keras.KerasTensor`.

    Reason: as of `operations_from_the_end`.

    Raises:
      RuntimeError: if Keras hides it.
    """
    history = getattr(tensor, "_keras_history", None)
    nodes = getattr(history and history.operation, "_inbound_nodes", None)
    if not nodes:
        raise _missing("keras.KerasTensor._keras_history")
    node = nodes[history.node_index]
    return Call(
        history.operation, node.input_tensors, dict(node.arguments.kwargs)
    )


def runs_as_graph(model):
    """Whether a model's `call` is that of its graph, and no code of its own.

    Reason: a subclass of a functional model may have a `call` beside a graph.
    """
    module = getattr(type(model).call, "__module__", "")
    return module.startswith("keras.src.models.")


def maker_of(tensor):
    """The layer or operation that gives a `keras.KerasTensor`, or None.

    Reason: as of `operations_from_the_end`.
    """
    return getattr(getattr(tensor, "_keras_history", None), "operation", None)


def parts_of(layer):
    """The layers and operations that a layer, or a model, is made of.

    Not those that are parts of its parts, nor `keras.layers.InputLayer`s,
    which never run.

    Reason: `layers` of a model leaves out operations of `keras.ops`, and other
    layers do not tell what they hold.

    Raises:
      RuntimeError: if Keras hides them.
    """
    found = _attribute(layer, "_flatten_layers")(
        include_self=False, recursive=False
    )
    found += getattr(_graph_of(layer), "operations", [])
    by_id = {id(part): part for part in found}
    return [
        part
        for part in by_id.values()
        if not isinstance(part, keras.layers.InputLayer)
    ]


def outputs_within(layer, part):
    """What a part of a functional model gives, for each call of it.

    Reason: as of `uses_of`.

    Returns:
      List of lists of `keras.KerasTensor`; None if the model is not
      functional, or calls the part nowhere that can be seen.
    """
    by_depth = getattr(_graph_of(layer), "_nodes_by_depth", None) or {}
    nodes = itertools.chain.from_iterable(by_depth.values())
    return [
        list(node.outputs) for node in nodes if node.operation is part
    ] or None


def _graph_of(layer):
    """What has the nodes of a functional model; a Sequential holds it."""
    is_sequential = isinstance(layer, keras.Sequential)
    return getattr(layer, "_functional", None) if is_sequential else layer


def is_recomputed(layer):
    """Whether the backward pass runs a layer's whole call once more.

    What its parts give is then no part of what is differentiated.

    Reason: a layer tells nobody that it was made in a `keras.RematScope`.
    """
    scope = getattr(layer, "_remat_mode", None)
    if getattr(scope, "mode", None) == "list_of_layers":
        return layer.name in scope.layer_names
    return getattr(scope, "mode", None) in ("full", "larger_than")


def method_that_runs(operation):
    """The name of the method through which Keras runs an operation.

    Reason: within a layer that is rematerialised nothing is differentiated, and
    what `call` returns is not what the next layer gets; quantized layers run
    another method.

    Returns:
      "call", "quantized_call", or "rematerialized_call", which returns the
      function that is run.
    """
    if getattr(operation, "_remat_mode", None):
        return "rematerialized_call"
    if getattr(operation, "quantization_mode", None):
        return "quantized_call"
    return "call"


def is_evaluated_by_fit(keywords):
    """Whether `evaluate` was called by `fit`, on its validation data.

    Reason: Keras tells by an argument of its own. Without it, arrays are only
    checked once an epoch.

    Args:
      keywords: the keyword arguments that `evaluate` got.
    """
    return bool(keywords.get("_use_cached_eval_dataset"))


def initial_epoch(model):
    """The epoch that a restored `fit` begins with.

    Reason: Keras's callback tells `fit`, and nobody else.
    """
    return getattr(model, "_initial_epoch", None) or 0


def forget_initial_epoch(model):
    """Has the next `fit` begin where it is told to.

    Reason: what Keras's callback told one `fit` holds for all later ones, which
    would leave out as many epochs.
    """
    model._initial_epoch = None


@contextlib.contextmanager
def computing_in_float32(layers):
    """Has layers compute in float32; afterwards they are as they were.

    Reason: no public policy computes in float32 from weights of half precision,
    and `layer.dtype_policy = ...` writes into a policy map that layers share.

    Args:
      layers: list of built layers.

    Raises:
      RuntimeError: if Keras keeps the policy, or its dtype, elsewhere.
    """
    name = "_dtype_policy"
    own = [_attribute(layer, name, "keras.Layer") for layer in layers]
    try:
        for layer, policy in zip(layers, own, strict=True):
            if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
                policy = policy[layer.path]
            _attribute(policy, "_compute_dtype", "keras.DTypePolicy")
            policy = copy.copy(policy)
            policy._compute_dtype = "float32"
            setattr(layer, name, policy)
        yield
    finally:
        for layer, policy in zip(layers, own, strict=True):
            setattr(layer, name, policy)


def uses_of(model, layer):
    """How often a layer, or operation, is called in a model.

    Reason: a functional model keeps its calls to itself; where Keras hides
    them, each layer is taken to be called once.
    """
    by_depth = getattr(model, "_nodes_by_depth", None) or {}
    nodes = itertools.chain.from_iterable(by_depth.values())
    return sum(node.operation is layer for node in nodes) or 1


def without_optionals(batch):
    """A batch with None where Keras put an empty `tf.experimental.Optional`.

    Reason: data sets cannot hold None, and Keras's own functions of an iterator
    put it back; those of kdtf replace them.
    """
    return keras.tree.map_structure(
        lambda leaf: (
            None if isinstance(leaf, tf.experimental.Optional) else leaf
        ),
        batch,
    )


@contextlib.contextmanager
def summed_already(optimizer):
    """Keeps an optimizer from adding up gradients over replicas.

    Reason: Keras adds them up inside of the optimizer, after it has clipped
    each replica's own; there is no argument for gradients that are sums.

    Raises:
      RuntimeError: if this Keras does it elsewhere.
    """
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    name = "_all_reduce_sum_gradients"
    _attribute(optimizer, name, "keras.Optimizer")
    # Replicas are traced in threads that take turns: the last one to leave
    # puts Keras's method back.
    own = vars(optimizer)
    own["_kdtf_sums"] = own.get("_kdtf_sums", 0) + 1
    own[name] = lambda gradients_and_variables: gradients_and_variables
    try:
        yield
    finally:
        own["_kdtf_sums"] -= 1
        if not own["_kdtf_sums"]:
            del own["_kdtf_sums"], own[name]


def build_from_spec(build, iterator):
    """Builds a model and its metrics for what an iterator over epochs yields.

    Reason: Keras takes the mean of a first batch over the replicas, which fails
    where their parts differ in size or lie in several processes (keras issue
    20585), and draws the batch from the data. All that it needs is shapes and
    dtypes; only where a rank is not known a batch must tell them.

    Args:
      build: function, Keras's own `_maybe_symbolic_build`.
      iterator: Keras's iterator over epochs.
    """
    dataset = getattr(iterator, "_distributed_dataset", None)
    specs = getattr(dataset, "element_spec", None)
    first = keras.tree.map_structure(_spec_of_first, specs)
    leaves = [spec for spec in keras.tree.flatten(first) if spec is not None]
    if leaves and all(spec.shape.rank is not None for spec in leaves):
        build(data_batch=first)
        return
    _, _, batches = next(iter(iterator))
    build(data_batch=keras.tree.map_structure(_of_first, next(batches)))


def _spec_of_first(spec):
    """The `tf.TensorSpec` of what the first replica sees; None for None."""
    spec = getattr(spec, "_value_specs", [spec])[0]
    return spec if isinstance(spec, tf.TensorSpec) else None


def _of_first(value):
    """What the first replica of this process sees of a batch."""
    if isinstance(value, tf.distribute.DistributedValues):
        return value.values[0]
    return value


def loss_tracker(model):
    """The metric that `fit` reports as `loss`.

    Reason: Keras makes it in `compile`, and lists it first among the metrics
    under that name; a second metric called `loss` would collide.

    Raises:
      RuntimeError: if this Keras has none.
    """
    return _attribute(model, "_loss_tracker")


def compiled_metrics(model):
    """The collection of the metrics that were given to `compile`, or None.

    Reason: metrics are fed one by one here, either the teacher's logits or the
    labels; `compute_metrics` feeds all of them the same.

    Raises:
      RuntimeError: if this Keras has none.
    """
    return _attribute(model, "_compile_metrics")


def metrics_by_output(compiled):
    """The metrics given to `compile`, each with the output that it is of.

    Reason: Keras resolves names, such as "accuracy", by output, and keeps what
    it made to itself; metrics are fed one by one here.

    Args:
      compiled: Keras's collection, built.

    Returns:
      List of (name of the output or None, metric, whether it is weighted);
      the name is None if there is one output.

    Raises:
      RuntimeError: if this Keras keeps them elsewhere.
    """
    kind = "keras.src.trainers.compile_utils.CompileMetrics"
    return [
        (each.output_name, metric, weighted)
        for name, weighted in (
            ("_flat_metrics", False),
            ("_flat_weighted_metrics", True),
        )
        for each in _attribute(compiled, name, kind)
        if each is not None
        for metric in each.metrics
    ]


def metric_function(metric):
    """The function of (labels, predictions) that a metric takes the mean of.

    Reason: Keras makes metrics of the functions given to `compile`, and weighs
    results one by one, also of a function that gives one result a batch.

    Returns:
      The function, or None if the metric has none, or Keras hides it.
    """
    return getattr(metric, "_fn", None)


def function_of_loss(loss):
    """The function of (labels, predictions) that a loss of Keras calls.

    Reason: metrics are made of functions. None of a loss with a `call` of its
    own, or if Keras hides it.
    """
    package = type(loss).call.__module__.partition(".")[0]
    hides = package != "keras" or not hasattr(loss, "_fn_kwargs")
    return None if hides else getattr(loss, "fn", None)


def arguments_of_loss(loss):
    """The arguments of the function that a loss, or metric, of Keras calls.

    Reason: `get_config` of some, such as Huber's `delta`, leaves them out, so
    that another loss would be loaded. Without the name that is so again.
    """
    return dict(getattr(loss, "_fn_kwargs", {}))


def metrics_held_by(model):
    """The metrics that are attributes of a model, as those of any layer.

    Reason: Keras leaves them out if the model is within another one.

    Raises:
      RuntimeError: if this Keras keeps them elsewhere.
    """
    return list(_attribute(model, "_metrics"))


def _attribute(owner, name, kind="keras.Model"):
    try:
        return getattr(owner, name)
    except AttributeError:
        raise _missing(f"{kind}.{name}") from None


def _missing(name):
    return RuntimeError(
        f"kdtf needs `{name}`, a private name of Keras, which Keras "
        f"{keras.__version__} no longer has: install a version of Keras that "
        "BUILD.md lists as tested, or a newer kdtf."
    )
