"""How executions of steps run on several replicas, and what they report.

In place of Keras's own loop, which cannot hold a batch of several replicas, and
reports the mean of the replicas' results.
"""

import itertools

import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import executions

_ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)


class Execution:
    """What Keras calls once per execution: up to K steps on all replicas."""

    def __init__(self, distiller, step_function):
        """Of a compiled `Distiller` and its `train_step` or `test_step`."""
        self._distiller, self._step = distiller, step_function
        self._names = []  # of a step's logs, when it has been traced
        self._execute, self._run_one = self._run_many, self._run
        if not distiller.run_eagerly:
            self._execute = executions.graph(self._run_many)
            self._run_one = executions.graph(self._run)

    def __call__(self, iterator):
        """Runs steps on an iterator's batches; returns the logs of the last.

        Raises:
          StopIteration: if there is no batch.
        """
        steps = self._distiller.steps_per_execution
        if isinstance(iterator, _ITERATORS):
            if not int(self._execute(iterator)):
                raise StopIteration
        else:  # of `train_on_batch`
            for batch in itertools.islice(iterator, steps):
                self._run_one(batch)
        return _results(self._distiller, self._names)

    def _run_many(self, iterator):
        """Runs up to K steps; returns how many there were batches for."""
        steps = self._distiller.steps_per_execution
        return executions.up_to(steps, iterator, self._run)

    def _run(self, batch):
        batch = keras_private.without_optionals(batch)
        strategy = self._distiller.distribute_strategy
        self._names[:] = strategy.run(self._step, args=(batch,))
        return tf.constant(1)


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
            self._run = executions.graph(self._compute)

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
    """The sums over replicas of variables of metrics, in their order.

    Those that are no sums, which a metric of one's own may have, stay as they
    are on this replica.
    """
    values = [tf.convert_to_tensor(variable) for variable in variables]
    context = tf.distribute.get_replica_context()
    is_sum = [v.aggregation == "sum" for v in variables]
    for dtype in {value.dtype for value in values}:
        alike = [
            i for i, v in enumerate(values) if is_sum[i] and v.dtype == dtype
        ]
        if not alike:
            continue
        flat = tf.concat([tf.reshape(values[i], [-1]) for i in alike], axis=0)
        flat = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
        parts = tf.split(flat, [values[i].shape.num_elements() for i in alike])
        for i, part in zip(alike, parts, strict=True):
            values[i] = tf.reshape(part, values[i].shape)
    return values
