"""trainers.core.settings: one description makes default, flag and bounds."""

import dataclasses
import types

import pytest
from absl import flags

from trainers.core import settings
from trainers.mnist import settings as mnist
from trainers.speech import settings as speech


@dataclasses.dataclass(frozen=True)
class Settings:
    dataset: str
    units: int = settings.setting("width", high=900, tiny=2, big=800, small=24)
    rate: float = settings.setting(
        "Adam's", low=0.0, high=1.0, big=0.1, small=0.1
    )
    seed: int = 7


DEFAULTS = settings.defaults(Settings)


def parse(*arguments):
    """What a script of its own with these flags would see."""
    values = flags.FlagValues()

    def define(kind):
        def define_in_values(name, *args, **bounds):
            return kind(name, *args, flag_values=values, **bounds)

        return define_in_values

    patched = types.SimpleNamespace(
        DEFINE_float=define(flags.DEFINE_float),
        DEFINE_integer=define(flags.DEFINE_integer),
        register_validator=lambda *args, **kwargs: flags.register_validator(
            *args, **kwargs, flag_values=values
        ),
    )
    original, settings.flags = settings.flags, patched
    try:
        settings.define_flags(Settings)
    finally:
        settings.flags = original
    values(["script", *arguments])
    return values


def test_every_data_set_has_its_defaults():
    assert {
        "big": Settings("big", 800, 0.1, 7),
        "small": Settings("small", 24, 0.1, 7),
    } == DEFAULTS
    assert settings.tiny(Settings) == {"units": 2}


def test_help_tells_the_defaults():
    texts = {n: s.text() for n, s in settings.describe(Settings).items()}
    assert texts == {
        "units": "width (default: 800 for big, 24 for small)",
        "rate": "Adam's (default: 0.1)",
    }


def test_flags_override_tiny_and_tiny_overrides_defaults():
    def read(tiny, **given):
        values = types.SimpleNamespace(
            tiny=tiny, **{"units": None, "rate": None, **given}
        )
        return settings.from_flags(values, DEFAULTS["small"], seed=3)

    assert read(False) == Settings("small", 24, 0.1, 3)
    assert read(True) == Settings("small", 2, 0.1, 3)
    assert read(True, units=5, rate=0.0) == Settings("small", 5, 0.0, 3)


def test_flags_are_numbers_of_their_kind():
    values = parse("--units=3", "--rate=0.5")
    assert (values.units, values.rate) == (3, 0.5)
    assert parse().units is None


@pytest.mark.parametrize(
    "flag",
    (
        "--units=0",
        "--units=901",
        "--units=1.5",
        "--rate=-1",
        "--rate=2",
        "--rate=nan",
        "--rate=inf",
    ),
)
def test_numbers_that_cannot_be_are_refused(flag):
    """Bounds alone would let nan pass, and train a net on it."""
    name = flag.removeprefix("--").partition("=")[0]
    with pytest.raises(flags.IllegalFlagValueError, match=name):
        parse(flag)


@pytest.mark.parametrize("trainer", (mnist, speech))
def test_what_a_trainer_takes_holds_all_that_it_has(trainer):
    """Defaults and smoke tests; and neither an absurd number nor a hang."""
    for name, each in settings.describe(trainer.Settings).items():
        low, high = each.bounds["lower_bound"], each.bounds["upper_bound"]
        for value in (each.tiny, *each.defaults.values()):
            assert value is None or low <= value <= high, name
        assert 0 <= low < high <= 1e7, name


@pytest.mark.parametrize(
    "trainer, name, absurd",
    (
        (mnist, "teacher_learning_rate", 1e30),
        (mnist, "distilled_learning_rate", 2.0),
        (mnist, "jitter", 1000),
        (mnist, "teacher_units", 10**6),
        (mnist, "max_norm", 1e30),
        (speech, "learning_rate", 1e30),
        (speech, "hearings", 10**5),
        (speech, "components", 2**20),
    ),
)
def test_absurd_values(trainer, name, absurd):
    described = settings.describe(trainer.Settings)[name]
    assert described.bounds["upper_bound"] < absurd
