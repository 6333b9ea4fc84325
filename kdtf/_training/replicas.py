"""A batch over several replicas of `tf.distribute`: every row counts the same.

Each replica holds a part of the global batch, and the parts may differ in size;
the last batch of an epoch may even leave some of them without a row. Keras
takes the mean over replicas, which gives the rows of a small part more weight
than others. Here a replica's loss counts by its share of the entries, so that
the sum over replicas is what one process has for the whole batch.
"""

import contextlib
import itertools
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._math import entries

_ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)


def several():
    """Whether the code that is being traced runs on one of several replicas."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def trains_on_several(distiller):
    """Whether a Distiller's strategy has several replicas."""
    return distiller.distribute_strategy.num_replicas_in_sync > 1


class Part(NamedTuple):
    """What a replica holds of a global batch.

    Attributes:
      share: scalar float32, by which its loss counts; they sum to 1.
      rows: scalar float32, the rows that its loss stands for; they sum to the
        rows of the global batch.
    """

    share: Any
    rows: Any


def part(logits):
    """The `Part` of this replica, or of the whole batch if there is but one.

    Args:
      logits: `[..., classes]`, with their Keras mask, if there is one.
    """
    own_rows = tf.cast(tf.shape(logits)[0], tf.float32)
    if not several():
        return Part(tf.constant(1.0), own_rows)
    context = tf.distribute.get_replica_context()
    own = tf.cast(entries.entry_count(logits), tf.float32)
    total, rows = tf.unstack(
        context.all_reduce(
            tf.distribute.ReduceOp.SUM, tf.stack([own, own_rows])
        )
    )
    # Without a valid entry there is still the student's own regularisation.
    evenly = 1.0 / context.num_replicas_in_sync
    share = tf.where(total > 0, tf.math.divide_no_nan(own, total), evenly)
    return Part(share, share * rows)


def apply_gradients(optimizer, gradients, variables):
    """Updates variables by the sum of all replicas' gradients.

    Keras adds them up after it has clipped, or found infinite, each replica's
    own; one process does so with the sum.
    """
    pairs = list(zip(gradients, variables, strict=True))
    if not several():
        optimizer.apply_gradients(pairs)
        return
    pairs = [(gradient, v) for gradient, v in pairs if gradient is not None]
    summed = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, [gradient for gradient, _ in pairs]
    )
    with keras_private.summed_already(optimizer):
        optimizer.apply_gradients(
            zip(summed, [v for _, v in pairs], strict=True)
        )


@contextlib.contextmanager
def with_a_row(x, student=None):
    """Yields a batch for a model, and a function of what it returns for it.

    Many layers need a row, and a BatchNormalization takes the mean of its rows:
    where there is none the model sees one of zeros, which the function takes
    off again, and whose mean is forgotten.

    Args:
      x: structure of tensors `[batch, ...]`.
      student: the model, if it is one that trains.
    """
    leaves = tf.nest.flatten(x)
    may_be_empty = several() and all(
        isinstance(leaf, tf.Tensor) and not leaf.shape[0] for leaf in leaves
    )
    if not may_be_empty or (student and _adds_up_rows(student)):
        yield x, lambda logits: logits
        return
    has_rows = tf.shape(leaves[0])[0] > 0
    variables = [v.value for v in _statistics(student)] if student else []
    before = [tf.identity(variable) for variable in variables]
    filled = tf.nest.map_structure(lambda leaf: _filled(leaf, has_rows), x)
    yield filled, lambda logits: _emptied(logits, has_rows)

    def put_back():
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        return tf.constant(0)

    if variables:
        tf.cond(has_rows, lambda: tf.constant(0), put_back)


def _filled(leaf, has_rows):
    """A tensor, or a row of zeros."""
    shape = tf.concat([[1], tf.shape(leaf)[1:]], axis=0)
    filled = tf.cond(
        has_rows, lambda: leaf, lambda: tf.zeros(shape, leaf.dtype)
    )
    filled.set_shape([None, *leaf.shape[1:]])
    return filled


def _emptied(logits, has_rows):
    """Logits, and their mask, without the row that was filled in."""

    def cut(tensor):
        found = tf.cond(has_rows, lambda: tensor, lambda: tensor[:0])
        found.set_shape([None, *tensor.shape[1:]])
        return found

    mask = keras_private.mask_of(logits)
    logits = cut(logits)
    if mask is not None:
        keras_private.set_mask(logits, cut(mask))
    return logits


def _batch_normalizations(model):
    kind = keras.layers.BatchNormalization
    found = keras_private.all_layers(model)
    return [layer for layer in found if isinstance(layer, kind)]


def _adds_up_rows(model):
    """Whether layers take the mean of all replicas' rows."""
    return any(each.synchronized for each in _batch_normalizations(model))


def _statistics(model):
    """The variables that change with what a model sees, without a gradient."""
    return [
        variable
        for each in _batch_normalizations(model)
        for variable in each.non_trainable_variables
    ]


def execution(distiller, step_function):
    """What Keras calls once per execution, on several replicas.

    In place of Keras's own, whose loop of many steps cannot hold a batch of
    several replicas, and which reports the mean of the replicas' results.

    Args:
      distiller: a compiled `Distiller`.
      step_function: its `train_step` or `test_step`.

    Returns:
      Function from an iterator to the logs of its last step; it raises
      StopIteration if there is no batch.
    """
    names: list = []

    def run(batch):
        names[:] = distiller.distribute_strategy.run(
            step_function, args=(keras_private.without_optionals(batch),)
        )
        return tf.constant(1)

    def run_next(iterator, done):
        batch = iterator.get_next_as_optional()
        there_is_one = batch.has_value()
        ran = tf.cond(
            there_is_one, lambda: run(batch.get_value()), lambda: tf.constant(0)
        )
        return done + ran, there_is_one

    def execute(iterator):
        """Runs up to K steps; returns how many there were batches for."""
        done, _ = tf.while_loop(
            lambda done, more: more & (done < distiller.steps_per_execution),
            lambda done, _: run_next(iterator, done),
            [tf.constant(0), tf.constant(True)],
        )
        return done

    if not distiller.run_eagerly:
        execute = tf.function(execute, autograph=False, reduce_retracing=True)
        run_given = tf.function(run, autograph=False, reduce_retracing=True)
    else:
        run_given = run

    def function(iterator):
        if isinstance(iterator, _ITERATORS):
            if not int(execute(iterator)):
                raise StopIteration
        else:  # of `train_on_batch`
            for batch in itertools.islice(
                iterator, distiller.steps_per_execution
            ):
                run_given(batch)
        return _results(distiller, names)

    return function


def _results(distiller, names):
    """The results of metrics, over all replicas."""
    results = distiller.get_metrics_result()
    unknown = [name for name in names if name not in results]
    if unknown:
        raise ValueError(
            "`train_step` and `test_step` must return results of the model's "
            "metrics where there are several replicas, as "
            "`self.get_metrics_result()` does: what else they compute is each "
            f"replica's own. Received: logs of the names {unknown}"
        )
    return {name: results[name] for name in names}


class MetricResults:
    """The results of metrics over all replicas, by one message of each dtype.

    Read one by one, every variable of every metric is a message to all other
    workers, and a step of a small student consists of little else.
    """

    def __init__(self, distiller):
        self._metrics = list(distiller.metrics)
        self._strategy = distiller.distribute_strategy
        self._run = self._compute
        if not distiller.run_eagerly:
            self._run = tf.function(self._compute, autograph=False)

    def holds(self, distiller):
        """Whether they are those of a Distiller's present metrics."""
        return self._metrics == list(distiller.metrics)

    def __call__(self):
        """As `keras.Model.get_metrics_result`."""
        results = {}
        for metric, found in zip(self._metrics, self._run(), strict=True):
            is_one = not isinstance(found, dict)
            results |= {metric.name: found} if is_one else found
        return results

    def _compute(self):
        variables = [metric.variables for metric in self._metrics]
        together = list(itertools.chain.from_iterable(variables))
        local = self._strategy.experimental_local_results
        summed = iter(
            [local(v)[0] for v in self._strategy.run(_sums, args=(together,))]
        )
        return [
            metric.stateless_result([next(summed) for _ in own])
            for metric, own in zip(self._metrics, variables, strict=True)
        ]


def _sums(variables):
    """The sums over replicas of variables, each replica's own."""
    values = [tf.convert_to_tensor(variable) for variable in variables]
    context = tf.distribute.get_replica_context()
    summed = {}
    for dtype in {value.dtype for value in values}:
        alike = [i for i, v in enumerate(values) if v.dtype == dtype]
        flat = tf.concat([tf.reshape(values[i], [-1]) for i in alike], axis=0)
        flat = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
        parts = tf.split(flat, [values[i].shape.num_elements() for i in alike])
        summed |= zip(alike, parts, strict=True)
    return [tf.reshape(summed[i], v.shape) for i, v in enumerate(values)]
