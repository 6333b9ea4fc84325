"""What a Distiller minimises: the losses of every entry, and their mean."""

from typing import Any, NamedTuple

import tensorflow as tf

from kdtf._math import heads, loss_kernels, terms
from kdtf._training import compile_policy


class EntryLosses(NamedTuple):
    """The losses of every entry of a batch, `[...]` each.

    Attributes:
      total: their weighted mean; `hard` as it is if there is no soft term.
      soft: KL(teacher || student) at T, or None without soft targets.
      hard: cross-entropy with the labels, or None without labels.
    """

    total: Any
    soft: Any
    hard: Any


def entry_losses(logits, targets, temperature, soft_weight, hard_weight, head):
    """The `EntryLosses` of a batch, compiled by XLA where that pays.

    Args:
      logits: `[..., classes]`, the student's.
      targets: `targets.Targets`.
      temperature: scalar tensor.
      soft_weight: scalar tensor.
      hard_weight: scalar tensor.
      head: str, the name of one of `_math.heads`.

    Returns:
      `EntryLosses`.

    Raises:
      ValueError: if there are neither labels nor soft targets.
    """
    if targets.labels is None and targets.tempered_logits is None:
        raise ValueError(
            "`y` must hold labels or teacher_logits, or the Distiller must "
            "have a teacher. Received: none of them"
        )
    compute = _entry_losses
    if compile_policy.compiles_loss(logits):
        compute = _compiled_entry_losses
    return compute(
        logits,
        targets.tempered_logits,
        targets.labels,
        temperature,
        soft_weight,
        hard_weight,
        head,
    )


def _entry_losses(
    logits, tempered_logits, labels, temperature, soft_weight, hard_weight, head
):
    kernels = []
    if tempered_logits is not None:
        kernels.append(
            heads.soft_kernel(
                logits, tempered_logits, temperature=temperature, head=head
            )
        )
    if labels is not None:
        kernels.append(heads.hard_kernel(logits, labels, head=head))
    values = terms.evaluate(logits, *kernels)
    hard = None if labels is None else values[-1]
    if tempered_logits is None:
        return EntryLosses(hard, None, hard)
    soft = values[0]
    total = loss_kernels.weighted_mean(
        soft,
        tf.zeros_like(soft) if hard is None else hard,
        temperature,
        soft_weight,
        hard_weight,
    )
    return EntryLosses(total, soft, hard)


# For steps that are not compiled as a whole.
_compiled_entry_losses = tf.function(
    _entry_losses, jit_compile=True, autograph=False
)
