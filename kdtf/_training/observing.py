"""What layers within a model return, seen in the pass that it makes anyway.

A layer has no hooks. A second functional model with more outputs would be
another program than the `call` of a subclass, and two passes would move
BatchNormalization twice. But what is in `vars` of an object goes before the
method of its class: for the time of a pass it tells what the method returned.
"""

import contextlib
import functools
import threading

import tensorflow as tf

from kdtf import _keras_private as keras_private

# Replicas are traced in threads that take turns within a forward pass: each
# collects for itself, and the last one to leave puts back what was there.
_threads = threading.local()
_lock = threading.Lock()
_STATE = "_kdtf_observed"


@contextlib.contextmanager
def observed(operations):
    """Yields what layers and operations return while the context is open.

    Args:
      operations: list of layers and operations.

    Yields:
      Dict from the `id` of an operation to the list of what its calls
      returned, in this thread.
    """
    calls = {id(operation): [] for operation in operations}
    distinct = {id(operation): operation for operation in operations}
    _collecting().append(calls)
    for operation in distinct.values():
        _begin(operation)
    try:
        yield calls
    finally:
        for operation in distinct.values():
            _end(operation)
        _collecting().pop()


def _collecting():
    """The dicts that the open contexts of this thread fill."""
    if not hasattr(_threads, "collecting"):
        _threads.collecting = []
    return _threads.collecting


def _begin(operation):
    own = vars(operation)
    with _lock:
        count, name, before = own.get(_STATE, (0, None, None))
        if not count:
            name = keras_private.method_that_runs(operation)
            before = own.get(name)
            own[name] = _telling_method(operation, name)
        own[_STATE] = (count + 1, name, before)


def _end(operation):
    own = vars(operation)
    with _lock:
        count, name, before = own.pop(_STATE)
        if count > 1:
            own[_STATE] = (count - 1, name, before)
        elif before is None:
            del own[name]
        else:
            own[name] = before


def _telling_method(operation, name):
    """A method that does what it did, and tells what comes out."""
    method = getattr(operation, name)
    if name != "rematerialized_call":
        return _telling(operation, method)

    @functools.wraps(method)
    def rematerialized_call(*args, **kwargs):
        return _telling(operation, method(*args, **kwargs))

    return rematerialized_call


def _telling(operation, function):
    @functools.wraps(function)
    def run(*args, **kwargs):
        first = next(iter((*args, *kwargs.values())), None)
        masks = tf.nest.map_structure(keras_private.mask_of, first)
        if kwargs.get("mask") is not None:
            masks = kwargs["mask"]
        outputs = function(*args, **kwargs)
        seen = _with_mask(operation, outputs, first, masks)
        for calls in _collecting():
            if id(operation) in calls:
                calls[id(operation)].append(seen)
        return outputs

    return run


def _with_mask(operation, outputs, inputs, masks):
    """Outputs with the mask that Keras puts on them after the call.

    A copy: layers that follow may take it off again, as attention does.
    """
    if not tf.is_tensor(outputs):
        return outputs
    mask = keras_private.mask_of(outputs)
    masking = getattr(operation, "supports_masking", False)
    if mask is None and masking:
        mask = operation.compute_mask(inputs, masks)
    seen = tf.identity(outputs)
    if mask is not None:
        keras_private.set_mask(seen, mask)
    return seen
