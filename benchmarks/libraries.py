"""kdtf and `keras.distillation` behind one interface."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

import kdtf


@dataclasses.dataclass(frozen=True)
class Library:
    """A way to distill.

    Attributes:
      name: str, as the tables give it.
      soft_term: (student_logits, teacher_logits, temperature) -> scalar, the
        batch mean of what should be T^2 KL(teacher || student).
      distiller: (student, teacher, temperature) -> an uncompiled `keras.Model`
        with half the weight on soft targets and half on labels.
      compile: (distiller, optimizer, **kwargs) -> None.
      matching: as `distiller`, with the output of the layer "hidden" matched
        by its mean squared error, too.
    """

    name: str
    soft_term: Callable
    distiller: Callable
    compile: Callable
    matching: Callable


def _kdtf():
    def soft_term(student_logits, teacher_logits, temperature):
        rows = kdtf.losses.soft_loss(
            student_logits, teacher_logits, temperature=temperature
        )
        return temperature**2 * tf.reduce_mean(rows)

    def distiller(student, teacher, temperature, **kwargs):
        return kdtf.Distiller(
            student,
            teacher,
            temperature=temperature,
            soft_weight=0.5,
            hard_weight=0.5,
            **kwargs,
        )

    def matching(*given):
        return distiller(*given, hints=[kdtf.Hint("hidden", "hidden")])

    def compile_it(distiller, optimizer, **kwargs):
        distiller.compile(optimizer, **kwargs)

    return Library("kdtf", soft_term, distiller, compile_it, matching)


def _keras(name, make_loss):
    def soft_term(student_logits, teacher_logits, temperature):
        return make_loss(temperature).compute_loss(
            teacher_logits, student_logits
        )

    def distiller(student, teacher, temperature, *more):
        return keras.distillation.Distiller(
            teacher=teacher,
            student=student,
            distillation_losses=[make_loss(temperature), *more],
            student_loss_weight=0.5,
        )

    def matching(*given):
        return distiller(
            *given,
            keras.distillation.FeatureDistillation(
                teacher_layer_name="hidden", student_layer_name="hidden"
            ),
        )

    def compile_it(distiller, optimizer, **kwargs):
        labels_loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        )
        distiller.compile(optimizer, loss=labels_loss, **kwargs)

    return Library(name, soft_term, distiller, compile_it, matching)


KDTF = _kdtf()
KERAS_DEFAULT = _keras(
    "keras.distillation, default",
    lambda temperature: keras.distillation.LogitsDistillation(temperature),
)
# The only loss with which it applies softmax and T^2.
KERAS_BEST = _keras(
    "keras.distillation, KLDivergence()",
    lambda temperature: keras.distillation.LogitsDistillation(
        temperature, loss=keras.losses.KLDivergence()
    ),
)
ALL = (KDTF, KERAS_DEFAULT, KERAS_BEST)
