"""The acoustic nets: what each is trained on, and how."""

import dataclasses

from trainers.speech import hearings, nets
from trainers.speech.settings import SMALL_DATA_EPOCHS

# The paper tried these (section 4).
TEMPERATURES = (1.0, 2.0, 5.0, 10.0)
# "A relative weight of 0.5 on the cross-entropy for the hard targets" can mean
# two things; both as (soft_weight, hard_weight), which are then divided by
# their sum.
READINGS = {
    # T^2 KL + 0.5 CE: half the weight of the soft term.
    "half": (1.0, 0.5),
    # 0.5 T^2 KL + 0.5 CE: half of the whole, as much as the soft term.
    "equal": (0.5, 0.5),
}
# Of the training clips (paper, section 6: 3 % and 100 %).
SHARES = (0.03, 0.1, 0.3, 1.0)
# For nets on labels, and where there are many clips.
MILD = hearings.Kind(speed=1.05, loudness=2.0, noise=30.0)
# For those that are told what to think of them.
WIDE = hearings.Kind(
    speed=1.05**5, loudness=10.0, noise=6.0, tempo=1.2, colour=0.5
)


def member(settings):
    """A net of the ensemble; the baseline is their mean."""
    return _arm(settings, "member", settings.member_epochs)


def control(settings):
    """A net on labels alone, in as many updates as the distilled one."""
    return _arm(settings, "control", settings.student_epochs)


def distilled(settings):
    """The student of the ensemble."""
    return dataclasses.replace(
        _arm(settings, "distilled", settings.student_epochs),
        taught_by="ensemble",
        temperature=settings.temperature,
        soft_weight=settings.soft_weight,
        hard_weight=settings.hard_weight,
        hears=MILD,
        views=settings.hearings,
    )


def sweep(settings):
    """Dict from (reading, temperature) to a student of fewer epochs."""
    if not settings.sweep_epochs:
        return {}
    return {
        (reading, temperature): dataclasses.replace(
            distilled(settings),
            epochs=settings.sweep_epochs,
            temperature=temperature,
            soft_weight=weights[0],
            hard_weight=weights[1],
        )
        for reading, weights in READINGS.items()
        for temperature in TEMPERATURES
    }


def few_clips(settings, share, *, soft):
    """A net that sees a share of the training clips.

    Args:
      settings: `Settings`.
      share: float, one of `SHARES`.
      soft: whether it learns from the soft targets of a net that saw all clips,
        and from nothing else, to the end; or from labels, and is taken as it
        was at its best on held-out clips (early stopping).

    Returns:
      `nets.Arm`.
    """
    arm = dataclasses.replace(
        _arm(settings, "soft" if soft else "hard", SMALL_DATA_EPOCHS),
        steps=settings.updates // SMALL_DATA_EPOCHS,
        share=share,
    )
    if not soft:
        # Labels of all clips gain nothing from other hearings.
        kind = MILD if share < 1 else None
        return dataclasses.replace(arm, hears=kind, keep_best=True)
    return dataclasses.replace(
        arm,
        hears=WIDE,
        # A hearing of a window that no clip has, too.
        mixed=0.5,
        taught_by="all_clips",
        temperature=settings.small_data_temperature,
        soft_weight=1.0,
        hard_weight=0.0,
    )


def _arm(settings, name, epochs):
    return nets.Arm(
        name=name,
        layers=settings.hidden_layers,
        units=settings.hidden_units,
        learning_rate=settings.learning_rate,
        epochs=epochs,
        batch_size=settings.batch_size,
    )
