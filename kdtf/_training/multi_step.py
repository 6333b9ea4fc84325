"""Many training steps in one XLA program.

Under `jit_compile=True` Keras launches one compiled step after another, even
within an execution of many: a small student spends most of its time between
its steps. Here the steps of an execution are the loop of one program, over
batches that the input pipeline has grouped (`batch_groups`).

The teacher runs before the program, batch by batch: it does not change from
step to step, and on a CPU TensorFlow's own kernels run it faster than XLA's.
"""

import tensorflow as tf

from kdtf._training import batch_groups, compile_policy


def applies(distiller):
    """Whether a compiled Distiller trains many steps in one program."""
    return (
        distiller.jit_compile
        and not distiller.run_eagerly
        and distiller.steps_per_execution > 1
        and not compile_policy.has_strategy(distiller)
        and compile_policy.loops_fast(distiller.student)
    )


def train_function(distiller, one_by_one):
    """What Keras calls once per execution, to train up to K steps.

    Args:
      distiller: a compiled `Distiller`, with K as its `steps_per_execution`.
      one_by_one: Keras's own such function, for data that are not grouped.

    Returns:
      Function from an iterator over groups (or batches) to the logs of the last
      step, like Keras's own; it raises StopIteration if there is no batch.
    """
    names = []

    def train_on_next(iterator, step):
        group = iterator.get_next_as_optional()
        there_is_one = group.has_value()
        trained = tf.cond(
            there_is_one,
            lambda: _train_on_group(distiller, group.get_value(), names),
            lambda: tf.constant(0),
        )
        return step + trained, there_is_one

    @tf.function(autograph=False, reduce_retracing=True)
    def execute(iterator):
        """Trains up to K steps; returns how many there were batches for."""
        steps, _ = tf.while_loop(
            lambda step, more: more & (step < distiller.steps_per_execution),
            lambda step, _: train_on_next(iterator, step),
            [tf.constant(0), tf.constant(True)],
        )
        results = distiller.get_metrics_result()
        return steps, {name: results[name] for name in names}

    def function(iterator):
        if not batch_groups.is_grouped(iterator):
            return one_by_one(iterator)
        steps, logs = execute(iterator)
        if not int(steps):
            raise StopIteration
        return logs

    return function


def _train_on_group(distiller, group, names):
    """Trains on the batches of a `Group`; returns how many they are."""
    count = tf.shape(tf.nest.flatten(group.data)[0])[0]

    def train(first):
        # A program takes batches of one shape; usually that is all of them.
        last = _end_of_run(group.shapes, first, count)
        stacked = distiller._with_targets(
            _cut_to_shape(group, first), among=(first, last)
        )
        _program(distiller, stacked, names)(_leaves(stacked), first, last)
        return [last]

    tf.while_loop(lambda first: first < count, train, [tf.constant(0)])
    return count


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


def _program(distiller, template, names):
    """The compiled loop over batches that are stacked to `[batches, ...]`.

    Args:
      distiller: the `Distiller`.
      template: what `Distiller._update` takes, with a stack or None for every
        tensor.
      names: list, filled with the names of a step's logs when it is traced.
    """

    @tf.function(jit_compile=True, autograph=False)
    def program(stacks, first, last):
        def step(i):
            leaves = iter([stack[i] for stack in stacks])
            batch = tf.nest.map_structure(
                lambda stack: None if stack is None else next(leaves), template
            )
            names[:] = distiller._update(*batch)
            return [i + 1]

        tf.while_loop(lambda i: i < last, step, [first])

    return program


def _leaves(structure):
    return [leaf for leaf in tf.nest.flatten(structure) if leaf is not None]
