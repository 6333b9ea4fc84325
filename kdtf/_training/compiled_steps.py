"""Which part of a step XLA compiles: the student's, never the teacher's.

A teacher may do what XLA cannot (look up strings, call Python), and on a CPU
TensorFlow's own kernels run it faster. So Keras is not left to compile a step
as a whole: the step runs the teacher, and then a program of all the rest.
"""

import tensorflow as tf

from kdtf._training import executions

_UNKNOWN_TO_XLA = (tf.string, tf.resource, tf.variant)


class CompiledSteps:
    """The programs of a Distiller, one for each kind of step."""

    def __init__(self):
        self._programs = {}

    def reset(self, name):
        """Forgets a program, which holds what it was traced with."""
        self._programs.pop(name, None)

    def run(self, name, step, batch):
        """A step's results, compiled by XLA if its batch can be.

        Args:
          name: str, the kind of step.
          step: function of the parts of `batch`.
          batch: tuple of structures of tensors, or None.
        """
        if not all(can_be_compiled(t) for t in tf.nest.flatten(batch)):
            return step(*batch)
        if name not in self._programs:
            self._programs[name] = tf.function(
                step, jit_compile=True, autograph=False, reduce_retracing=True
            )
        return self._programs[name](*batch)


def can_be_compiled(leaf):
    """Whether XLA takes a tensor, or its spec, as an argument."""
    if leaf is None:
        return True
    is_dense = isinstance(leaf, (tf.Tensor, tf.TensorSpec))
    return is_dense and leaf.dtype not in _UNKNOWN_TO_XLA


def applies(distiller):
    """Whether a compiled Distiller's own steps compile their programs."""
    return distiller.jit_compile and executions.applies(distiller)
