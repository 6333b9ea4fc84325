"""What Keras calls once per execution, to run a Distiller's steps.

In place of Keras's own function, which packs the logs of every execution into a
`tf.experimental.Optional`: to take them out again costs a small student a
quarter of its step.
"""

import functools
import itertools

import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import array_epochs, compile_policy


def applies(distiller):
    """Whether a compiled Distiller's own steps run here: on one device."""
    return not (distiller.run_eagerly or compile_policy.has_strategy(distiller))


class Execution:
    """Runs up to K steps on an iterator's batches."""

    def __init__(self, distiller, step):
        """Of a compiled `Distiller` and its `train_step` or `test_step`."""
        self._distiller = distiller
        self._step = graph(
            lambda batch: step(keras_private.without_optionals(batch))
        )
        self._run_one = graph(lambda it: self._step(it.get_next()))
        self._run_many = graph(self._up_to)
        self._run_part = graph(self._part)

    def __call__(self, iterator):
        """Returns the logs of the last step.

        Raises:
          StopIteration: if there is no batch; or `tf.errors.OutOfRangeError`,
            of which Keras makes one.
        """
        steps = self._distiller.steps_per_execution
        if isinstance(iterator, array_epochs.ArrayEpoch):
            return iterator.run(self._on_rows, steps)
        if not isinstance(iterator, tf.data.Iterator):  # of `train_on_batch`
            for batch in itertools.islice(iterator, steps):
                logs = self._step(batch)
            return logs
        if steps == 1:
            return self._run_one(iterator)
        return self._run_many(iterator, tf.constant(steps))

    def _up_to(self, iterator, steps):
        """The logs of the last of up to that many steps."""

        def run_next(done, _, logs):
            batch = iterator.get_next_as_optional()
            there_is_one = batch.has_value()
            logs = tf.cond(
                there_is_one,
                lambda: self._step(batch.get_value()),
                lambda: logs,
            )
            return done + 1, there_is_one, logs

        first = self._step(iterator.get_next())
        *_, logs = tf.while_loop(
            lambda done, more, _: more & (done < steps),
            run_next,
            [tf.constant(1), tf.constant(True), first],
        )
        return logs

    def _on_rows(self, data, order, first, count, size, most):
        """The logs of the last of some steps; see `ArrayEpoch.run`."""
        # Of tensors: in a graph of batches of one known size, TensorFlow would
        # add up in another order than in Keras's.
        place = tf.constant([first, count, size])
        return self._run_part(data, order, place, several=most > 1)

    def _part(self, data, order, place, *, several):
        first, count, size = tf.unstack(place)

        def run(i):
            rows = array_epochs.batch(data, order, first + i * size, size)
            return self._step(rows)

        if not several:
            return run(0)
        _, logs = tf.while_loop(
            lambda i, _: i < count,
            lambda i, _: (i + 1, run(i)),
            [tf.constant(1), run(0)],
        )
        return logs


def up_to(steps, iterator, run):
    """Runs the elements of an iterator, as a loop of a graph.

    Args:
      steps: int, how many to run if there are as many.
      iterator: of batches, or of groups of them.
      run: function of an element to the number of its steps.

    Returns:
      Scalar int32, how many there were.
    """

    def run_next(done, _):
        element = iterator.get_next_as_optional()
        there_is_one = element.has_value()
        ran = tf.cond(
            there_is_one,
            lambda: run(element.get_value()),
            lambda: tf.constant(0),
        )
        return done + ran, there_is_one

    done, _ = tf.while_loop(
        lambda done, more: more & (done < steps),
        run_next,
        [tf.constant(0), tf.constant(True)],
    )
    return done


def graph(function):
    """A `tf.function`, traced anew for another structure of batches only.

    As a partial, which has no code of its own: TensorFlow counts traces by it,
    and warns at the fifth Distiller of a process.
    """
    return tf.function(
        functools.partial(function), autograph=False, reduce_retracing=True
    )
