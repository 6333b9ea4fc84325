"""What acoustic nets are trained and how: settings, defaults, and the arms."""

import dataclasses

from trainers.speech import nets

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
_FEW_CLIPS_SPREAD = 5.0
SMALL_DATA_EPOCHS = 40  # points of a learning curve


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the results depend on; one flag each."""

    dataset: str
    members: int
    hidden_layers: int
    hidden_units: int
    member_epochs: int
    student_epochs: int
    sweep_epochs: int
    updates: int
    learning_rate: float
    batch_size: int
    temperature: float
    soft_weight: float
    hard_weight: float
    views: int
    components: int
    voices: int
    recordings: int
    split: str = "recordings"
    lexicon: str = ""
    snrs: str = ""


# Those of spoken_digit were chosen on held-out clips, see BENCHMARKS.md.
DEFAULTS = {
    "spoken_digit": Settings(
        dataset="spoken_digit",
        members=10,
        hidden_layers=3,
        hidden_units=256,
        member_epochs=12,
        student_epochs=100,
        sweep_epochs=40,
        updates=12_800,
        learning_rate=0.002,
        batch_size=256,
        temperature=2.0,
        soft_weight=1.0,
        hard_weight=0.5,
        views=8,
        components=4,
        voices=5,
        recordings=50,
    ),
    "synthetic": Settings(
        dataset="synthetic",
        members=10,
        hidden_layers=2,
        hidden_units=64,
        member_epochs=12,
        student_epochs=40,
        sweep_epochs=20,
        updates=2400,
        learning_rate=0.002,
        batch_size=256,
        temperature=2.0,
        soft_weight=1.0,
        hard_weight=0.5,
        views=4,
        components=2,
        voices=5,
        recordings=12,
    ),
}

TINY = {
    "members": 2,
    "hidden_layers": 1,
    "hidden_units": 16,
    "member_epochs": 2,
    "student_epochs": 3,
    "sweep_epochs": 1,
    "updates": 80,
    "views": 1,
    "components": 1,
    "voices": 2,
    "recordings": 8,
}

# A speaker that is left out makes a fold; five folds take five times as long.
MEMBERS_OF_SPEAKERS = 5

HELP = {
    "members": "nets of the ensemble; "
    f"{MEMBERS_OF_SPEAKERS} where --split leaves speakers out",
    "hidden_layers": "hidden layers of every net; the paper's has 8",
    "hidden_units": "width of each of them; the paper's are 2560 wide",
    "member_epochs": "epochs of the ensemble's members",
    "student_epochs": "epochs of the distilled students, and of the control on "
    "labels alone",
    "sweep_epochs": "epochs of the students at other temperatures and weights; "
    "0 leaves them out",
    "updates": "steps of each net of small_data, however few clips it sees, "
    f"in {SMALL_DATA_EPOCHS} epochs of a multiple of 20 steps: what is left is "
    "not run",
    "learning_rate": "Adam's at the start; falls to 0 along a cosine",
    "batch_size": "frames a step",
    "temperature": "T, of the ensemble's and the student's softmax",
    "soft_weight": "weight of T^2 KL(teacher || student)",
    "hard_weight": "weight of the cross-entropy with the alignment's states",
    "views": "other hearings of each clip that distilled nets learn from: a "
    "little faster or slower, louder or softer, in faint noise; of few clips "
    "(small_data) there are more, and labels, too, are of some; 0 for none",
    "components": "Gaussians a state of the HMMs that align, a power of two",
    "voices": "voices of --dataset=synthetic",
    "recordings": "clips of each voice and word of --dataset=synthetic, at "
    "least 7: five to test on, one held out",
}

RANGES = {
    "sweep_epochs": {"lower_bound": 0},
    "temperature": {"lower_bound": 1e-3, "upper_bound": 1e6},
    "soft_weight": {"lower_bound": 1e-6},
    "hard_weight": {"lower_bound": 0.0},
    "views": {"lower_bound": 0},
    "recordings": {"lower_bound": 7},
    "updates": {"lower_bound": SMALL_DATA_EPOCHS},
}


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
        views=settings.views,
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
        # As many frames as all clips have; more of them do not help labels.
        return dataclasses.replace(
            arm,
            views=round(1 / share) - 1 if settings.views else 0,
            keep_best=True,
        )
    return dataclasses.replace(
        arm,
        # As many frames, however few clips there are.
        views=round(settings.views / share),
        spread=_FEW_CLIPS_SPREAD,
        taught_by="all_clips",
        temperature=settings.temperature,
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
