"""The settings of the speech experiments."""

import dataclasses

from trainers.core import settings
from trainers.core.settings import (
    LARGEST_RATE,
    LARGEST_WEIGHT,
    MOST_EPOCHS,
    MOST_UNITS,
    setting,
)

SMALL_DATA_EPOCHS = 40  # points of a learning curve
# A speaker that is left out makes a fold; five folds take five times as long.
MEMBERS_OF_SPEAKERS = 5


# Those of spoken_digit were chosen on held-out clips: see
# docs/results/choices.md.
@dataclasses.dataclass(frozen=True)
class Settings:
    """What the results depend on: a flag each, but for the plain fields."""

    dataset: str
    members: int = setting(
        f"nets of the ensemble; {MEMBERS_OF_SPEAKERS} if --split leaves "
        "speakers out",
        high=100,
        tiny=2,
        spoken_digit=10,
        synthetic=10,
    )
    hidden_layers: int = setting(
        "hidden layers of every net; the paper's has 8",
        high=50,
        tiny=1,
        spoken_digit=3,
        synthetic=2,
    )
    hidden_units: int = setting(
        "width of each of them; the paper's are 2560 wide",
        high=MOST_UNITS,
        tiny=16,
        spoken_digit=256,
        synthetic=64,
    )
    member_epochs: int = setting(
        "epochs of the ensemble's members",
        high=MOST_EPOCHS,
        tiny=2,
        spoken_digit=12,
        synthetic=12,
    )
    student_epochs: int = setting(
        "epochs of the distilled students, and of the control on labels alone",
        high=MOST_EPOCHS,
        tiny=3,
        spoken_digit=100,
        synthetic=40,
    )
    sweep_epochs: int = setting(
        "epochs of the students at other temperatures and weights; 0 "
        "leaves them out",
        high=MOST_EPOCHS,
        tiny=1,
        low=0,
        spoken_digit=40,
        synthetic=20,
    )
    updates: int = setting(
        "steps of each net of small_data, however few clips it sees, "
        f"in {SMALL_DATA_EPOCHS} epochs of a multiple of 20 steps: the rest "
        "is not run",
        high=10_000_000,
        tiny=80,
        low=SMALL_DATA_EPOCHS,
        spoken_digit=12_800,
        synthetic=2400,
    )
    small_data_temperature: float = setting(
        "T of the nets of small_data",
        low=0.001,
        high=1e6,
        spoken_digit=4.0,
        synthetic=4.0,
    )
    learning_rate: float = setting(
        "Adam's at the start; falls to 0 along a cosine",
        high=LARGEST_RATE,
        spoken_digit=0.002,
        synthetic=0.002,
    )
    batch_size: int = setting(
        "frames per step", high=100_000, spoken_digit=256, synthetic=256
    )
    temperature: float = setting(
        "T of the ensemble's and its student's softmax",
        low=0.001,
        high=1e6,
        spoken_digit=2.0,
        synthetic=2.0,
    )
    soft_weight: float = setting(
        "weight of T^2 KL(teacher || student)",
        high=LARGEST_WEIGHT,
        low=1e-6,
        spoken_digit=1.0,
        synthetic=1.0,
    )
    hard_weight: float = setting(
        "weight of the cross-entropy with the alignment's states",
        high=LARGEST_WEIGHT,
        low=0.0,
        spoken_digit=0.5,
        synthetic=0.5,
    )
    hearings: int = setting(
        "hearings of each clip, a little faster or slower, louder or softer, "
        "in faint noise, from which the ensemble's student learns: the "
        "ensemble's soft targets on them are stored",
        high=100,
        tiny=2,
        spoken_digit=9,
        synthetic=5,
    )
    components: int = setting(
        "Gaussians per state of the HMMs that align, a power of two",
        high=256,
        tiny=1,
        spoken_digit=4,
        synthetic=2,
    )
    voices: int = setting(
        "voices of --dataset=synthetic",
        high=100,
        tiny=2,
        spoken_digit=5,
        synthetic=5,
    )
    recordings: int = setting(
        "clips of each voice and word of --dataset=synthetic, at "
        "least 7: five to test on, one held out",
        high=1000,
        tiny=8,
        low=7,
        spoken_digit=50,
        synthetic=12,
    )
    split: str = "recordings"
    lexicon: str = ""
    snrs: str = ""


DEFAULTS = settings.defaults(Settings)
TINY = settings.tiny(Settings)
