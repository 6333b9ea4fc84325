"""trainers.core.main: what goes wrong is a usage error, without a traceback."""

import errno
import types

import pytest
import tensorflow as tf
from absl import app

from trainers.core import main, sections
from trainers.core.errors import FlagsError


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Function from an error, and whether in opening, to what `run` does."""

    def raise_it(error):
        raise error

    verbosity = types.SimpleNamespace(present=True)
    values = type("Values", (), {"__getitem__": lambda self, name: verbosity})()
    values.experiment = ["all"]
    values.run_dir = tmp_path
    values.strategy, values.cpu_replicas = "none", None
    monkeypatch.setattr(main.flags, "FLAGS", values)
    opened = types.SimpleNamespace(
        directory=tmp_path, settings=types.SimpleNamespace(dataset="digits")
    )

    def run(error, *, opening=False):
        monkeypatch.setattr(
            sections, "measure", lambda *a, **k: raise_it(error)
        )
        main.run(
            ["script"],
            lambda values: raise_it(error) if opening else opened,
            {"a": types.SimpleNamespace(in_all=True)},
            None,
        )

    return run


@pytest.mark.parametrize("error", (ValueError("--a must"), RuntimeError("--a")))
def test_what_flags_do_wrong(run, error):
    with pytest.raises(app.UsageError, match=r"^--a"):
        run(error, opening=True)


@pytest.mark.parametrize(
    "error, message",
    (
        (FlagsError("weights are missing"), "^weights are missing$"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "room.*Received: --run_dir=.*No space left",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "No space left"),
            "room.*Received: --run_dir=.*No space left",
        ),
        (
            tf.errors.OutOfRangeError(None, None, "{{node a}} File too large"),
            r"room.*Received: --run_dir=.*\(File too large\)$",
        ),
    ),
)
@pytest.mark.parametrize("opening", (False, True))
def test_what_stops_a_run(run, error, message, opening):
    with pytest.raises(app.UsageError, match=message):
        run(error, opening=opening)


@pytest.mark.parametrize(
    "error",
    (ValueError("a fault"), tf.errors.OutOfRangeError(None, None, "a fault")),
)
def test_a_fault_of_the_code_keeps_its_traceback(run, error):
    with pytest.raises(type(error), match="a fault"):
        run(error)


def test_flags_that_a_data_set_would_ignore():
    values = types.SimpleNamespace(data_dir=None, voices=0, manual_dir="here")
    main.refuse_ignored(values, ("data_dir",), "digits")
    for name, value in (("voices", "0"), ("manual_dir", "here")):
        with pytest.raises(
            ValueError,
            match=f"^--{name} must be left out with --dataset=digits.*"
            f"Received: --{name}={value}$",
        ):
            main.refuse_ignored(values, ("data_dir", name), "digits")
