r"""A convolutional student on real images, against the same one on labels.

Characters of many alphabets by 20 drawers each: 13 drawings of a character
train, 2 are held out for choices, 5 test. A wide net with BatchNorm and dropout
learns from augmented drawings; a narrow one learns from labels, and, from the
same initial weights, from labels and the wide net's soft targets of the very
views that it sees:

    python -m trainers.characters --run_dir=runs/characters \
        --data_dir=FOLDER_OF_TFDS

    python -m trainers.characters --run_dir=runs/characters \
        --data_dir=FOLDER_OF_TFDS --experiment=few
        The narrow net on few labelled drawings, with the teachers of that run.

    python -m trainers.characters --run_dir=runs/choice \
        --experiment=choice --seeds=1
        How the settings were chosen, on held-out drawings.

    python -m trainers.characters --dataset=glyphs --run_dir=runs/tiny --tiny
        Seconds, without any file: shows that all is installed; the figures mean
        nothing.

Killed at any moment and run again, it resumes and ends with the same figures.
The run directory then holds metrics.json (every figure), report.html and
report.md with the plots, TensorBoard's logs, and export/ with a distilled
student as SavedModel.
"""

import dataclasses

from absl import app, flags

from trainers.characters import few
from trainers.characters.experiments import EXPERIMENTS
from trainers.characters.run import Run
from trainers.characters.settings import DEFAULTS, Settings
from trainers.core import main as core
from trainers.core import run_directory, sections
from trainers.core import settings as core_settings
from trainers.data import glyphs, omniglot

_SIZE = 56  # pixels of an image, twice those of a view
_DRAWERS = (13, 2, 5)  # for training, held out and test


def _define_flags():
    flags.DEFINE_enum("dataset", "omniglot", list(DEFAULTS), "what to learn")
    core.define_flags(
        EXPERIMENTS, Settings, seeds=5, manual_dir="must be left out"
    )


def _open_run(values):
    """The `Run` that absl's flag values describe."""
    settings = core_settings.from_flags(values, DEFAULTS[values.dataset])
    data = _load(values, settings)
    _require_batches(values, settings, len(data.train_labels))
    return Run(
        settings,
        data,
        run_directory.open_run_directory(
            values.run_dir, dataclasses.asdict(settings)
        ),
        seeds=values.seeds,
        checkpoint_every=values.checkpoint_every,
    )


def _require_batches(values, settings, cases):
    """Requires a batch of the cases that each net sees, at least.

    Args:
      values: absl's flag values.
      settings: `settings.Settings`.
      cases: int, training cases.
    """
    of_few = ""
    if not {"few", "all"}.isdisjoint(values.experiment):
        cases = min(cases, few.DRAWINGS * settings.classes)
        of_few = f" ({few.DRAWINGS} of each character in --experiment=few)"
    if settings.batch_size > cases:
        raise ValueError(
            "--batch_size must be at most the number of training cases, "
            f"{cases}{of_few}. Received: --batch_size={settings.batch_size}"
        )


def _load(values, settings):
    """The `trainers.data.images.SplitImages` of a run."""
    core.refuse_ignored(values, ("manual_dir",), values.dataset)
    if values.dataset == "omniglot":
        return omniglot.load_split(
            values.data_dir, characters=settings.classes, size=_SIZE
        )
    core.refuse_ignored(values, ("data_dir",), values.dataset)
    cases = (settings.classes * drawers for drawers in _DRAWERS)
    train, held_out, test = cases
    return glyphs.load(
        classes=settings.classes, train=train, held_out=held_out, test=test
    )


def _provenance(figures):
    said = (
        f"{figures['cases']:,} {figures['evaluated_on']} cases of "
        f"{figures['classes']:,} characters of {figures['dataset']}, "
        f"{figures['train_cases']:,} training cases, {figures['seeds']} seeds. "
    )
    return said + sections.said_of_software(figures)


def main(argv):
    """Runs the experiments that the flags describe."""
    core.run(argv, _open_run, EXPERIMENTS, _provenance)


if __name__ == "__main__":
    _define_flags()
    app.run(main)
