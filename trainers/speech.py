r"""The paper's speech experiments (sections 4 and 6), from the waveform on.

HMMs align clips of spoken words with the states of their phones; nets learn to
tell the state of a frame from 26 frames of log-mel energies; words are decoded
from what they say. An ensemble of such nets is distilled into one net of the
same size:

    python -m trainers.speech --dataset=spoken_digit --run_dir=runs/speech
        Free Spoken Digit Dataset through TFDS, 2,500 clips of the ten digits by
        5 speakers: meant to take under an hour on two cores. Without network,
        add --manual_dir=FOLDER with free-spoken-digit-dataset-1.0.9.tar.gz, or
        --data_dir=FOLDER with a prepared data set.

    python -m trainers.speech --dataset=synthetic --run_dir=runs/synthetic
        The same on speech-like sound that needs no files: minutes.

    python -m trainers.speech --dataset=spoken_digit --run_dir=runs/by_speaker \
            --split=speakers
        Each speaker in turn is left out of the training and tested on, with
        ensembles of 5: several hours. --sweep_epochs=0 leaves out the other
        temperatures, the greater part of it. --split=speaker:theo leaves out
        one.

    python -m trainers.speech --run_dir=runs/speech --experiment=small_data
        Another experiment of the same run; the report gets another section.

    python -m trainers.speech --dataset=synthetic --tiny --run_dir=runs/tiny
        A minute: shows that all is installed; the figures mean nothing.

Experiments (`--experiment`):

    ensemble        the members' mean, their ensemble, one net distilled from
                    it, and a control on labels in as many updates: frames,
                    words (one by one, and strings of 3 to 7, clean and in
                    noise), calibration; T in 1, 2, 5, 10, and two readings of
                    the paper's "relative weight of 0.5" on the labels: T^2 KL
                    and half as much of their term (soft 1, hard 0.5), or as
                    much of both (soft 0.5, hard 0.5)
    small_data      3, 10, 30 and 100 % of the training clips: labels with early
                    stopping, against soft targets of a net that saw all clips

--split=recordings tests on the recordings 0 to 4 of each speaker and word, the
data set's own convention. A tenth of the training clips, the last recordings,
is held out from all training: the word penalty and early stopping are chosen on
them. --hidden_layers=8 --hidden_units=2560 is the paper's net.

Killed at any moment and run again, it goes on and ends with the same figures.
The run directory then holds metrics.json (every figure), report.html and
report.md with the plots, TensorBoard's logs, and export/ with the distilled
student as a SavedModel that takes waveforms (see README.md).
"""

import dataclasses
import pathlib

from absl import app, flags, logging

from kdtf import speech
from trainers import common, sections
from trainers.data import spoken_digit, synthetic_speech
from trainers.speech_experiments import EXPERIMENTS, about, recipes
from trainers.speech_experiments.run import BY_SPEAKERS, Run


def _define_flags():
    flags.DEFINE_enum(
        "dataset", "spoken_digit", sorted(recipes.DEFAULTS), "what to learn"
    )
    flags.DEFINE_enum(
        "experiment",
        "ensemble",
        [*EXPERIMENTS, "all"],
        "what to find out; see above",
    )
    flags.DEFINE_string("run_dir", None, "where results go; resumed if there")
    flags.DEFINE_string("data_dir", None, "TFDS's folder of prepared data")
    flags.DEFINE_string("manual_dir", None, "folder with the original archive")
    flags.DEFINE_string(
        "lexicon",
        None,
        "text file of lines `word PH ON ES`; none for the ten digits",
    )
    flags.DEFINE_string(
        "split", "recordings", "recordings, speaker:NAME or speakers"
    )
    flags.DEFINE_list(
        "snrs",
        ["20", "10"],
        "signal-to-noise ratios in decibels at which words are recognised, "
        "beside the clean ones",
    )
    flags.DEFINE_integer(
        "seeds", 3, "how many students of every arm", lower_bound=1
    )
    flags.DEFINE_integer(
        "checkpoint_every", 5, "epochs between checkpoints", lower_bound=1
    )
    flags.DEFINE_integer(
        "processes",
        1,
        "nets that are trained all at once, a process each; small ones finish "
        "soonest with a process a core",
        lower_bound=1,
    )
    flags.DEFINE_boolean("tiny", False, "small nets, few epochs: a smoke test")
    flags.mark_flag_as_required("run_dir")
    common.define_settings_flags(recipes.HELP, recipes.DEFAULTS, recipes.RANGES)


def _settings(values):
    """`Settings` from absl's flag values."""
    settings = common.settings_of(
        values,
        recipes.DEFAULTS,
        recipes.HELP,
        recipes.TINY,
        split=values.split,
        lexicon=values.lexicon or "",
        snrs=",".join(values.snrs),
    )
    by_speaker = settings.split.startswith("speaker")
    if by_speaker and values.members is None and not values.tiny:
        members = recipes.MEMBERS_OF_SPEAKERS
        settings = dataclasses.replace(settings, members=members)
    components = settings.components
    if components & (components - 1):
        raise ValueError(
            "--components must be a power of two. "
            f"Received: --components={components}"
        )
    _check_snrs(values.snrs)
    return settings


def _check_snrs(given):
    for snr in given:
        try:
            good = abs(float(snr)) <= 100
        except ValueError:
            good = False
        if not good:
            raise ValueError(
                "--snrs must be numbers from -100 to 100 between commas, in "
                f"decibels. Received: --snrs={','.join(given)}"
            )


def _load(values, settings):
    """`(Clips, Lexicon)`; both are known to fit each other and the split."""
    lexicon = speech.digits()
    if values.lexicon:
        try:
            lexicon = speech.Lexicon.read(values.lexicon)
        except (OSError, ValueError) as error:
            raise ValueError(
                "--lexicon must be a text file of lines `word PH ON ES`. "
                f"Received: --lexicon={values.lexicon} ({error})"
            ) from error
    if values.dataset == "synthetic":
        clips = synthetic_speech.load(
            lexicon, voices=settings.voices, recordings=settings.recordings
        )
    else:
        clips = spoken_digit.load(values.data_dir, values.manual_dir)
    try:
        lexicon.require(clips.words)
    except ValueError as error:
        raise ValueError(
            f"--lexicon must have every word of --dataset={values.dataset}. "
            f"Received: --lexicon={values.lexicon}: {error}"
        ) from error
    if settings.split != BY_SPEAKERS:
        try:
            clips.split(settings.split)
        except ValueError as error:
            names = ", ".join(f"speaker:{s}" for s in clips.speaker_names)
            raise ValueError(
                f"--split must be recordings, {BY_SPEAKERS} or one of {names}, "
                "and leave clips to train on and to test on. "
                f"Received: --split={settings.split}"
            ) from error
    return clips, lexicon


def main(argv):
    """Runs the experiments that the flags describe."""
    if len(argv) > 1:
        raise app.UsageError(f"Flags only, please. Received: {argv[1:]}")
    values = flags.FLAGS
    if not values["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    names = [values.experiment]
    if values.experiment == "all":
        names = list(EXPERIMENTS)
    try:
        settings = _settings(values)
        clips, lexicon = _load(values, settings)
        run = Run(
            settings,
            clips,
            lexicon,
            common.open_run_directory(
                pathlib.Path(values.run_dir), dataclasses.asdict(settings)
            ),
            seeds=values.seeds,
            checkpoint_every=values.checkpoint_every,
            processes=values.processes,
        )
    except (ValueError, RuntimeError) as error:
        raise app.UsageError(str(error)) from error
    sections.measure(
        run,
        names,
        EXPERIMENTS,
        title=f"Distillation on {settings.dataset}",
        provenance=lambda figures: (
            about.provenance(figures) + sections.said_of_software(figures)
        ),
    )
    sections.print_places(run)


if __name__ == "__main__":
    _define_flags()
    app.run(main)
