"""Many training steps in one XLA program.

Under `jit_compile=True` Keras launches one compiled step after another, also
within an execution of many: a small student spends a good part of its time
between its steps. Here the steps of an execution are the loop of one program.

The teacher runs before the program, batch by batch: it is the same at every
step, and on a CPU TensorFlow's own kernels run it faster than XLA's do.
"""

import tensorflow as tf

# Batches wait in memory until their program runs; an execution of many big
# ones becomes several programs.
_BYTES_A_PROGRAM = 2**26


def applies(distiller):
    """Whether a compiled Distiller trains many steps in one program."""
    return (
        distiller.jit_compile
        and not distiller.run_eagerly
        and distiller.steps_per_execution > 1
        and distiller.distribute_strategy.num_replicas_in_sync == 1
    )


def train_function(distiller, one_by_one):
    """What Keras calls once an execution, to train up to K steps.

    Args:
      distiller: a compiled `Distiller`, with K as its `steps_per_execution`.
      one_by_one: Keras's own such function, for data that cannot be stacked.

    Returns:
      Function from an iterator over batches to the logs of the last step, as
      Keras's own; it raises StopIteration where the iterator has no batch.
    """
    prepare = tf.function(distiller.with_targets, autograph=False)
    names = []

    @tf.function(reduce_retracing=True)
    def execute(iterator):
        """Trains up to K steps; returns how many there were batches for."""
        template = prepare.get_concrete_function(
            iterator.element_spec
        ).structured_outputs
        program = _program(distiller, template, names)
        step, batch = tf.constant(0), iterator.get_next_as_optional()
        # Mostly one group: a program takes batches of one shape.
        while step < distiller.steps_per_execution and batch.has_value():
            group = [
                tf.TensorArray(spec.dtype, 0, True, element_shape=spec.shape)
                for spec in _leaves(template)
            ]
            first = tf.nest.flatten(batch.get_value())
            shapes = [tf.shape(tensor) for tensor in first]
            room = _BYTES_A_PROGRAM // tf.maximum(_bytes(first), 1)
            size, goes_on = tf.constant(0, tf.int64), tf.constant(True)
            while goes_on:
                leaves = _leaves(prepare(batch.get_value()))
                group = [
                    array.write(tf.cast(size, tf.int32), leaf)
                    for array, leaf in zip(group, leaves, strict=True)
                ]
                size, step = size + 1, step + 1
                goes_on = tf.constant(False)
                if step < distiller.steps_per_execution:
                    batch = iterator.get_next_as_optional()
                    if batch.has_value():
                        goes_on = size < room and _have_shapes(
                            batch.get_value(), shapes
                        )
            program([array.stack() for array in group])
        results = distiller.get_metrics_result()
        return step, {name: results[name] for name in names}

    def function(iterator):
        if not _can_be_stacked(iterator):
            return one_by_one(iterator)
        steps, logs = execute(iterator)
        if not int(steps):
            raise StopIteration
        return logs

    return function


def _program(distiller, template, names):
    """The compiled loop over batches that are stacked to `[steps, ...]`.

    Args:
      distiller: the `Distiller`.
      template: what `Distiller.update` takes, with a spec or None for every
        tensor.
      names: list; gets the names of a step's logs when it is traced.
    """

    @tf.function(jit_compile=True, autograph=False)
    def program(stacks):
        def step(i):
            leaves = iter([stack[i] for stack in stacks])
            batch = tf.nest.map_structure(
                lambda spec: None if spec is None else next(leaves), template
            )
            names[:] = distiller.update(*batch)
            return [i + 1]

        steps = tf.shape(stacks[0])[0]
        tf.while_loop(lambda i: i < steps, step, [tf.constant(0)])

    return program


def _leaves(structure):
    return [leaf for leaf in tf.nest.flatten(structure) if leaf is not None]


def _bytes(tensors):
    return sum(tf.size(t, tf.int64) * t.dtype.size for t in tensors)


def _have_shapes(batch, shapes):
    """Whether the tensors of a batch have these shapes."""
    same = tf.constant(True)
    for tensor, shape in zip(tf.nest.flatten(batch), shapes, strict=True):
        same &= tf.reduce_all(tf.shape(tensor) == shape)
    return same


def _can_be_stacked(iterator):
    """Whether it iterates over batches of dense tensors of known rank."""
    return isinstance(iterator, tf.data.Iterator) and all(
        isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
        for spec in tf.nest.flatten(iterator.element_spec)
    )
