"""Settings of experiments: each described once, and a flag of the script.

A trainer's settings are a frozen dataclass whose fields are made by `setting`:

    @dataclasses.dataclass(frozen=True)
    class Settings:
        dataset: str
        units: int = setting(
            "width of the net", high=20_000, tiny=8, mnist=800, digits=24
        )

Fields that are made otherwise, like `dataset`, are no flags.
"""

import dataclasses
import math

from absl import flags

# Bounds that several settings have.
MOST_UNITS = 20_000
MOST_EPOCHS = 10_000
LARGEST_RATE = 1.0  # of Adam, whose steps are about as large as its rate
LARGEST_WEIGHT = 1e3

_KEY = "setting"

# The flags that are defined here are those of the script, which --help shows.
flags.disclaim_key_flags()


@dataclasses.dataclass(frozen=True)
class Setting:
    """All there is to say of a setting.

    Attributes:
      help: str, for `--help`.
      defaults: dict from data set to value.
      tiny: the value of a smoke test, or None for the default.
      low: the smallest value that is allowed, or None for any positive one.
      high: the largest: beyond it nothing would come of a run but an absurd
        net, or a machine without memory.
    """

    help: str
    defaults: dict
    tiny: float | None
    low: float | None
    high: float

    @property
    def is_integer(self):
        """Whether all values are whole numbers."""
        return all(isinstance(v, int) for v in self.defaults.values())

    @property
    def bounds(self):
        """Absl's bounds: a dict."""
        lowest = 1 if self.is_integer else 1e-9
        low = lowest if self.low is None else self.low
        return {"lower_bound": low, "upper_bound": self.high}

    def text(self):
        """What `--help` shows, with the defaults."""
        values = set(self.defaults.values())
        if len(values) == 1:
            [default] = values
        else:
            default = ", ".join(
                f"{v} for {d}" for d, v in self.defaults.items()
            )
        return f"{self.help} (default: {default})"


def setting(help, *, high, tiny=None, low=None, **defaults):
    """A field of a dataclass of settings; see `Setting`.

    Args:
      help: str.
      high: number.
      tiny: number or None.
      low: number or None.
      **defaults: the default of each data set.
    """
    described = Setting(help, defaults, tiny, low, high)
    return dataclasses.field(metadata={_KEY: described})


def describe(settings_class):
    """Dict from name to `Setting`, in the order of the fields."""
    return {
        field.name: field.metadata[_KEY]
        for field in dataclasses.fields(settings_class)
        if _KEY in field.metadata
    }


def defaults(settings_class):
    """Dict from data set to the settings it has by default."""
    described = describe(settings_class)
    datasets = next(iter(described.values())).defaults
    return {
        dataset: settings_class(
            dataset=dataset,
            **{name: s.defaults[dataset] for name, s in described.items()},
        )
        for dataset in datasets
    }


def tiny(settings_class):
    """Dict from setting to its value in a smoke test, where it has one."""
    return {
        name: s.tiny
        for name, s in describe(settings_class).items()
        if s.tiny is not None
    }


def define_flags(settings_class):
    """Defines a flag for each setting; its default depends on the data set."""
    for name, described in describe(settings_class).items():
        define = flags.DEFINE_float
        if described.is_integer:
            define = flags.DEFINE_integer
        define(name, None, described.text(), **described.bounds)
        flags.register_validator(
            name,
            # Bounds let nan pass.
            lambda value: value is None or math.isfinite(value),
            message=f"--{name} must be a finite number",
        )


def from_flags(values, settings, **others):
    """Settings with those that absl's flags give.

    Args:
      values: `absl.flags.FLAGS`, with a flag `tiny` and those of
        `define_flags`.
      settings: a dataclass of settings, the defaults.
      **others: values of fields that are no flags.

    Returns:
      A dataclass of the same kind.
    """
    kind = type(settings)
    if values.tiny:
        settings = dataclasses.replace(settings, **tiny(kind))
    given = {n: getattr(values, n) for n in describe(kind)}
    given = {n: v for n, v in given.items() if v is not None}
    return dataclasses.replace(settings, **others, **given)
