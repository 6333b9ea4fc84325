"""How many steps an execution has under `steps_per_execution="auto"`.

As many as take a fraction of a second, if nobody looks at single batches and
the data are arrays that stay on the device. Of a data set an execution of many
steps would read ahead, which its user may not want.
"""

import math

import keras

from kdtf import _models

_OPERATIONS = 1e10  # 0.1 to 0.2 s on two CPU cores
_BYTES = 2**26  # of the batches of an execution
_MOST = 1024
_ENTRIES = 128  # of a row, along an axis of unknown size
_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)


def of_arrays(student, adapter, callbacks):
    """How many steps over arrays to run at once.

    Args:
      student: the `keras.Model`.
      adapter: an `array_epochs.ArraysAdapter`.
      callbacks: what `fit` or `evaluate` was given.

    Returns:
      int; such that the executions of an epoch are about equally long.
    """
    if any(map(looks_at_batches, keras.tree.flatten(callbacks))):
        return 1
    if not student.built:  # it does not tell its size
        return 1
    rows = max(1, min(adapter.batch_size, adapter.rows))
    most = min(
        _MOST,
        _OPERATIONS // (rows * _operations_a_row(student)),
        _BYTES // (rows * max(1, adapter.bytes_a_row)),
    )
    executions = math.ceil(adapter.num_batches / max(1, most))
    return math.ceil(adapter.num_batches / max(1, executions))


def _operations_a_row(student):
    """About how many floating-point operations a step has for a row.

    A weight takes part in six for every entry: a product and a sum in the
    forward pass, and twice that for the gradients.
    """
    shape = _models.output_shape(student) or ()
    entries = math.prod(size or _ENTRIES for size in shape[1:-1])
    return 6 * entries * max(1, student.count_params())


def looks_at_batches(callback, *, only_others=False):
    """Whether a callback does something at single batches.

    Args:
      callback: one of what `fit` was given.
      only_others: whether those of Keras and kdtf do not count, which write
        and show, but change nothing.
    """
    if isinstance(callback, keras.callbacks.CallbackList):
        return True  # whatever it holds
    # Those that save count batches, if they save between two epochs.
    package = type(callback).__module__.partition(".")[0]
    if package in ("keras", "kdtf"):
        runs_code = isinstance(callback, keras.callbacks.LambdaCallback)
        saves = getattr(callback, "save_freq", None) == "epoch"
        if saves or (only_others and not runs_code):
            return False
    return any(
        getattr(getattr(callback, hook, None), "__func__", None)
        is not getattr(keras.callbacks.Callback, hook)
        for hook in _HOOKS
        if callback is not None
    )
