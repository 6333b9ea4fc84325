"""Many steps in one XLA program.

Under `jit_compile=True` Keras launches one compiled step after another, even
within an execution of many: a small student spends most of its time between
its steps. Here the steps of an execution are the loop of one program, over
batches that the input pipeline has grouped (`batch_groups`), or that are rows
of arrays on the device (`array_epochs`).

The teacher runs before the program: it does not change from step to step, and
on a CPU TensorFlow's own kernels run it faster than XLA's.
"""

import tensorflow as tf

from kdtf._training import (
    array_epochs,
    batch_groups,
    compile_policy,
    compiled_steps,
    executions,
)


def applies(distiller):
    """Whether a compiled Distiller runs the steps of an execution as one."""
    compiled = compiled_steps.applies(distiller)
    return compiled and compile_policy.loops_fast(distiller.student)


class ManySteps:
    """What Keras calls once per execution, to run up to K steps as one."""

    def __init__(self, distiller, step, others):
        """Of a compiled `Distiller`.

        Args:
          distiller: the `Distiller`.
          step: function of a batch with its targets to the logs, its `_update`
            or `_evaluate`.
          others: function of an iterator whose batches come one by one.
        """
        self._distiller, self._step, self._others = distiller, step, others
        self._names = []  # of a step's logs, when it has been traced
        self._run_groups = executions.graph(self._on_groups)
        self._run_part = executions.graph(self._part)

    def __call__(self, iterator):
        """Returns the logs of the last step.

        Raises:
          StopIteration: if there is no batch.
        """
        steps = self._distiller.steps_per_execution
        if isinstance(iterator, array_epochs.ArrayEpoch):
            return iterator.run(self._on_rows, steps)
        if not batch_groups.is_grouped(iterator):
            return self._others(iterator)
        done, logs = self._run_groups(iterator)
        if not int(done):
            raise StopIteration
        return logs

    def _on_groups(self, iterator):
        """Runs up to K steps; returns how many, and the logs."""
        steps = self._distiller.steps_per_execution
        done = executions.up_to(steps, iterator, self._on_group)
        return done, self._logs()

    def _on_group(self, group):
        """Runs the batches of a `Group`; returns how many they are."""
        count = tf.shape(tf.nest.flatten(group.data)[0])[0]

        def run_alike(first):
            # A program takes batches of one shape; usually that is all.
            last = _end_of_run(group.shapes, first, count)
            self._on_stacked(_cut_to_shape(group, first), first, last)
            return [last]

        tf.while_loop(lambda first: first < count, run_alike, [tf.constant(0)])
        return count

    def _on_rows(self, data, order, first, count, size, most):
        """The logs of the last of some steps; see `ArrayEpoch.run`."""
        place = tf.constant([first, count])
        # A power of two, so that other numbers of rows are not compiled anew.
        most = 1 << (most - 1).bit_length()
        return self._run_part(data, order, place, size=size, most=most)

    def _part(self, data, order, place, *, size, most):
        first, count = tf.unstack(place)
        stacked = array_epochs.stacked_batches(data, order, first, size, most)
        self._on_stacked(stacked, 0, count)
        return self._logs()

    def _on_stacked(self, stacked, first, last):
        """Runs those of the stacked batches, `[batches, batch, ...]`."""
        batches = self._distiller._with_targets(stacked, among=(first, last))
        leaves = [t for t in tf.nest.flatten(batches) if t is not None]
        self._program(batches)(leaves, first, last)

    def _program(self, template):
        """The compiled loop over batches.

        Args:
          template: what a step takes, with a stack or None for every tensor.
        """

        @tf.function(jit_compile=True, autograph=False)
        def program(stacks, first, last):
            def step(i):
                leaves = iter([stack[i] for stack in stacks])
                batch = tf.nest.map_structure(
                    lambda stack: None if stack is None else next(leaves),
                    template,
                )
                self._names[:] = self._step(*batch)
                return [i + 1]

            tf.while_loop(lambda i: i < last, step, [first])

        return program

    def _logs(self):
        """What a step returns, after the last one."""
        results = self._distiller.get_metrics_result()
        return {name: results[name] for name in self._names}


def _end_of_run(shapes, first, count):
    """The first batch after `first` that has another shape, or their count."""
    same = tf.fill([count], True)
    for each in shapes:
        same &= tf.reduce_all(each == each[first], axis=-1)
    return first + tf.argmin(
        tf.concat([same[first:], [False]], 0), output_type=tf.int32
    )


def _cut_to_shape(group, index):
    """The data, with all batches cut to the shape of one of them."""
    if not group.shapes:
        return group.data
    leaves = []
    for stack, shapes in zip(
        tf.nest.flatten(group.data), group.shapes, strict=True
    ):
        shape = tf.concat([tf.shape(stack)[:1], shapes[index]], 0)
        cut = tf.slice(stack, tf.zeros_like(shape), shape)
        leaves.append(tf.ensure_shape(cut, stack.shape))
    return tf.nest.pack_sequence_as(group.data, leaves)
