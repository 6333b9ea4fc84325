"""What the scripts of all trainers share: flags, and the course of a run."""

import contextlib

import tensorflow as tf
from absl import app, flags, logging

from kdtf import _disk
from trainers.core import sections, strategies, workers
from trainers.core import settings as settings_module
from trainers.core.errors import FlagsError

# The flags that are defined here are those of the script, which --help shows.
flags.disclaim_key_flags()


def define_flags(
    experiments, settings_class, *, seeds, manual_dir, default=None
):
    """Defines the flags that every trainer has; `dataset` is its own.

    Args:
      experiments: dict from name to `sections.Experiment`.
      settings_class: dataclass of settings, see `settings.setting`.
      seeds: int, how many are run by default.
      manual_dir: str, what `--help` says of the folder of original files.
      default: str, the experiment that is run by default, or "all"; None for
        the first one.
    """
    flags.DEFINE_multi_enum(
        "experiment",
        [default or next(iter(experiments))],
        [*experiments, "all"],
        "what to find out; see above. Given several times, one after another",
    )
    flags.DEFINE_string("run_dir", None, "where results go; resumed if there")
    flags.DEFINE_string("data_dir", None, "TFDS's folder of prepared data")
    flags.DEFINE_string("manual_dir", None, manual_dir)
    flags.DEFINE_integer(
        "seeds", seeds, "how many seeds to run", lower_bound=1, upper_bound=1000
    )
    flags.DEFINE_integer(
        "checkpoint_every",
        5,
        "epochs between checkpoints",
        lower_bound=1,
        upper_bound=settings_module.MOST_EPOCHS,
    )
    flags.DEFINE_boolean("tiny", False, "small nets, few epochs: a smoke test")
    strategies.define_flags()
    flags.mark_flag_as_required("run_dir")
    settings_module.define_flags(settings_class)


def refuse_ignored(values, names, dataset):
    """Raises where a flag was given to which a data set means nothing.

    Args:
      values: absl's flag values.
      names: of flags whose default is None.
      dataset: str.

    Raises:
      ValueError: if one of them has a value.
    """
    for name in names:
        value = getattr(values, name)
        if value is not None:
            raise ValueError(
                f"--{name} must be left out with --dataset={dataset}, which "
                f"would ignore it. Received: --{name}={value}"
            )


def run(argv, open_run, experiments, provenance):
    """Runs the experiments that the flags describe.

    Args:
      argv: what absl leaves of the command line, the script's name alone.
      open_run: function from absl's flag values to a run, with attributes
        `settings`, `data` and `directory`.
      experiments: dict from name to `sections.Experiment`, in the order of
        `--experiment=all`.
      provenance: function from an experiment's figures to a sentence about
        them.

    Raises:
      app.UsageError: if the flags, or what they name, cannot be right.
      SystemExit: if another worker was lost.
    """
    if len(argv) > 1:
        raise app.UsageError(f"Flags only, please. Received: {argv[1:]}")
    values = flags.FLAGS
    if not values["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    names = values.experiment
    if "all" in names:
        names = [name for name, e in experiments.items() if e.in_all]
    with _usage_errors(values.run_dir, (ValueError, RuntimeError)):
        strategies.start(values)
    with strategies.ended_by_losses():
        with _usage_errors(values.run_dir, (ValueError, RuntimeError)):
            strategies.require_same(values)
            opened = strategies.chief_first(lambda: open_run(values))
        with _usage_errors(values.run_dir, FlagsError), workers.ended():
            sections.measure(
                opened,
                names,
                experiments,
                title=f"Distillation on {opened.settings.dataset}",
                provenance=provenance,
            )
    if strategies.is_chief():
        sections.print_places(opened)


@contextlib.contextmanager
def _usage_errors(run_dir, refusals):
    """Makes usage errors of refusals, and of a full disk."""
    try:
        yield
    except refusals as error:
        raise app.UsageError(str(error)) from error
    except (OSError, tf.errors.OpError) as error:
        if not _is_of_resources(error):
            raise
        raise app.UsageError(
            "A run must be able to read and write its files, and needs room "
            "for them on disk and in memory: see to that and run again, it "
            f"resumes. Received: --run_dir={run_dir} ({_disk.reason(error)})"
        ) from error


def _is_of_resources(error):
    """Whether files or memory failed, and not the code or a download."""
    of_its_kind = PermissionError | tf.errors.ResourceExhaustedError
    return isinstance(error, of_its_kind) or _disk.lacks_room(error)
