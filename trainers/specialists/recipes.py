"""The arms of the experiments, from the settings."""

from trainers.specialists import nets

_SPECIALIST_PARTS = 3  # of its training


def generalist(run, cases=""):
    """The `nets.Arm` of a generalist.

    Args:
      run: `run.Run`.
      cases: str, which training cases it sees; "" for all.
    """
    return _big(run, "generalist", cases=cases)


def longer(run):
    """A generalist trained for the cost of itself and its specialists."""
    cost = 1 + run.settings.specialist_cost
    return _big(run, "longer", steps=round(cost * run.settings.steps))


def wide(run):
    """A wide net trained for about that cost."""
    return _big(
        run,
        "wide",
        units=run.settings.wide_units,
        learning_rate=run.settings.wide_learning_rate,
    )


def student(run, units, soft_weight):
    """A net taught by generalist and specialists; by labels alone with 0."""
    return _big(
        run,
        "distilled" if soft_weight else "labels",
        units=units,
        steps=2 * run.settings.steps,
        learning_rate=run.settings.student_learning_rate,
        soft_weight=soft_weight,
        hard_weight=1.0 - soft_weight,
    )


def specialist(run, classes, cost, own_share=None):
    """One of several specialists of the same size.

    Args:
      run: `run.Run`.
      classes: `[size]` ints.
      cost: float, its training FLOPs over the generalist's.
      own_share: float, None for that of the settings.

    Returns:
      `nets.Arm`.
    """
    outputs = len(classes) + 1
    ratio = run.multiply_adds(run.classes) / run.multiply_adds(outputs)
    return _specialist(
        run,
        classes,
        run.settings.steps * cost * ratio,
        own_share=own_share or run.settings.own_share,
    )


def few_specialist(run, classes, *, full_softmax, by):
    """A specialist that sees few cases; see `soft_targets`.

    Args:
      run: `run.Run`.
      classes: `[size]` ints.
      full_softmax: bool.
      by: str, "labels", or "soft_targets" for cases of other classes.

    Returns:
      `nets.Arm`.
    """
    return _specialist(
        run,
        classes,
        run.settings.few_steps,
        full_softmax=full_softmax,
        cases=f"few, {by}",
        learning_rate=run.settings.few_learning_rate,
    )


def _big(run, name, *, steps=None, units=None, learning_rate=None, **others):
    settings = run.settings
    epochs, steps = nets.parts_of(steps or settings.steps)
    return nets.Arm(
        name,
        units or settings.units,
        learning_rate or settings.learning_rate,
        epochs,
        steps,
        settings.batch_size,
        **others,
    )


def _specialist(run, classes, steps, *, learning_rate=None, **others):
    settings = run.settings
    epochs, steps = nets.parts_of(round(steps), _SPECIALIST_PARTS)
    return nets.Arm(
        "specialist",
        settings.units,
        learning_rate or settings.specialist_learning_rate,
        epochs,
        steps,
        settings.batch_size,
        classes=tuple(int(c) for c in classes),
        **others,
    )
