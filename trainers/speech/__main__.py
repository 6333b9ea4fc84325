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
        ensembles of 5: takes five times as long. --sweep_epochs=0 leaves out
        the other temperatures. --split=speaker:theo leaves out one speaker.

    python -m trainers.speech --dataset=speech_commands --lexicon=words.txt \
            --run_dir=runs/commands
        Any data set of TFDS with `audio` and `label` features, and the words
        that the lexicon has; clips of other labels, such as noise, are left
        out and counted. Its train, validation and test splits are used.

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
                    stopping, against soft targets of a net that saw all clips,
                    on hearings of the few without end
    choice          the settings of small_data varied one at a time, on held-out
                    clips

The distilled nets learn from --hearings of each clip: a little faster or
slower, louder or softer, in faint noise. The ensemble's soft targets on them
are stored, for spoken_digit 140 MB per temperature; the sound is not, but made
again from seeds. Members and control learn from the clips as recorded, which is
better for nets on labels (docs/results/choices.md). small_data makes hearings
of its few clips without end, more varied ones for nets on soft targets, about
which it asks the teacher in every step.

--split=recordings tests on the recordings 0 to 4 of each speaker and word, the
convention of spoken_digit; --split=given on TFDS's split `test`. A tenth of the
training clips, the last recordings, is held out from all training, or TFDS's
split `validation` with --split=given: the word penalty and early stopping are
chosen on them. --hidden_layers=8 --hidden_units=2560 is the paper's net.

Of several channels the mean is taken; nothing is resampled. Clips with fewer
frames (10 ms each) than their word has states, silent ones and those with NaN
are skipped, and the report tells how many.

Killed at any moment and run again, it resumes and ends with the same figures.
The run directory then holds metrics.json (every figure), report.html and
report.md with the plots, TensorBoard's logs, and export/ with the distilled
student as a SavedModel that takes waveforms (see docs/guides/speech.md).

Settings belong to the run directory, for all of its experiments: --updates may
be given beside --experiment=ensemble, which does not use it, since another
experiment of the same run may follow.
"""

import dataclasses
import hashlib
import pathlib

from absl import app, flags

from kdtf import speech
from trainers.core import main as core
from trainers.core import run_directory, sections, workers
from trainers.core import settings as core_settings
from trainers.data import spoken_digit, synthetic_speech, tfds_audio
from trainers.data.clips import GIVEN, RECORDINGS
from trainers.speech import about
from trainers.speech.experiments import EXPERIMENTS
from trainers.speech.run import BY_SPEAKERS, Run
from trainers.speech.settings import DEFAULTS, MEMBERS_OF_SPEAKERS, Settings


def _define_flags():
    flags.DEFINE_string(
        "dataset",
        "spoken_digit",
        "spoken_digit, synthetic, or a data set of TFDS with features `audio` "
        "(tfds.features.Audio) and `label` (tfds.features.ClassLabel, of "
        "words), and `speaker`, `speaker_id` or `client_id` where it tells "
        "speakers; the defaults are then those of spoken_digit, but "
        "for --hearings=1",
    )
    core.define_flags(
        EXPERIMENTS,
        Settings,
        seeds=3,
        manual_dir="folder with the original archive",
    )
    flags.DEFINE_string(
        "lexicon",
        None,
        "text file of lines `word PH ON ES`; none for the ten digits. "
        "--dataset=synthetic speaks its words, for spoken_digit it must have "
        "the ten digits, and of another data set only the clips of its words "
        "are used, two at least",
    )
    flags.DEFINE_integer(
        "sample_rate",
        None,
        "of the clips, in hertz, where TFDS does not know it",
        lower_bound=1000,
        upper_bound=1_000_000,
    )
    flags.DEFINE_string(
        "split",
        None,
        "recordings, given, speaker:NAME or speakers (default: given where the "
        "data set has a split `test`, else recordings)",
    )
    flags.DEFINE_list(
        "snrs",
        ["20", "10"],
        "signal-to-noise ratios in decibels at which words are recognised, "
        "beside the clean ones",
    )
    workers.define_flag()


def _settings(values):
    """`Settings` from absl's flag values; `split` is "" for the default."""
    defaults = DEFAULTS.get(values.dataset) or dataclasses.replace(
        DEFAULTS["spoken_digit"],
        dataset=values.dataset,
        # Larger ones need fewer, whose soft targets are large enough.
        hearings=1,
    )
    settings = core_settings.from_flags(
        values,
        defaults,
        split=values.split or "",
        lexicon=values.lexicon or "",
        snrs=",".join(values.snrs),
    )
    by_speaker = settings.split.startswith("speaker")
    if by_speaker and values.members is None and not values.tiny:
        members = MEMBERS_OF_SPEAKERS
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
    """`(Clips, Lexicon)` that fit each other."""
    core.refuse_ignored(values, _ignored_flags(values.dataset), values.dataset)
    lexicon = _lexicon(values)
    clips = _clips(values, settings, lexicon)
    try:
        return clips, lexicon.of(clips.words)
    except ValueError as error:
        raise ValueError(
            f"--lexicon must have every word of --dataset={values.dataset}. "
            f"Received: --lexicon={values.lexicon}: {error}"
        ) from error


def _ignored_flags(dataset):
    """Names of the flags to which a data set means nothing."""
    if dataset == "synthetic":
        return ("data_dir", "manual_dir", "sample_rate")
    made = ("voices", "recordings")
    # Of the others TFDS may not know the sampling rate.
    return (*made, "sample_rate") if dataset in DEFAULTS else made


def _lexicon(values):
    if not values.lexicon:
        return speech.digits()
    try:
        return speech.Lexicon.read(values.lexicon)
    except (OSError, ValueError) as error:
        raise ValueError(
            "--lexicon must be a text file of lines `word PH ON ES`. "
            f"Received: --lexicon={values.lexicon} ({error})"
        ) from error


def _clips(values, settings, lexicon):
    if values.dataset not in DEFAULTS:
        return tfds_audio.load(
            values.dataset,
            lexicon.words,
            data_dir=values.data_dir,
            manual_dir=values.manual_dir,
            sample_rate=values.sample_rate,
        )
    if values.dataset == "synthetic":
        return _synthetic_clips(values, settings, lexicon)
    return spoken_digit.load(values.data_dir, values.manual_dir)


def _synthetic_clips(values, settings, lexicon):
    try:
        return synthetic_speech.load(
            lexicon, voices=settings.voices, recordings=settings.recordings
        )
    except ValueError as error:
        raise ValueError(
            "--lexicon must have phones that --dataset=synthetic can speak. "
            f"Received: --lexicon={values.lexicon}: {error}"
        ) from error


def _with_split(settings, clips):
    """`Settings` with a split that the clips have, the default one for ""."""
    default = RECORDINGS if clips.parts is None else GIVEN
    split = settings.split or default
    names = [split]
    if split == BY_SPEAKERS:
        names = [f"speaker:{name}" for name in clips.speaker_names]
    try:
        for name in names:
            clips.split(name)
    except ValueError as error:
        raise ValueError(
            f"--split must be {BY_SPEAKERS} or one of "
            f"{', '.join(clips.split_names)}, and leave clips to train on and "
            f"to test on. Received: --split={split}: {error}"
        ) from error
    return dataclasses.replace(settings, split=split)


def _run(values):
    """The `Run` that absl's flag values describe, its clips aligned."""
    settings = _settings(values)
    clips, lexicon = _load(values, settings)
    settings = _with_split(settings, clips)
    described = dataclasses.asdict(settings)
    if values.lexicon:
        # Edited, it would give states other numbers than trained nets have.
        pronounced = hashlib.sha256(repr(lexicon.pronunciations).encode())
        described["lexicon"] += f" ({pronounced.hexdigest()[:12]})"
    if values.sample_rate:
        described["sample_rate"] = values.sample_rate
    run = Run(
        settings,
        clips,
        lexicon,
        run_directory.open_run_directory(
            pathlib.Path(values.run_dir), described
        ),
        seeds=values.seeds,
        checkpoint_every=values.checkpoint_every,
        processes=values.processes,
    )
    _align(run)
    return run


def _align(run):
    """Aligns the clips before anything is trained on them."""
    try:
        return run.folds
    except ValueError as error:
        run_directory.leave_run_directory(run.directory)
        raise ValueError(
            "--dataset, --lexicon and --split must leave clips to train on, to "
            "hold out and to test on that can be aligned: not silent, and with "
            "as many frames (10 ms each, at the clips' own sampling rate) as "
            "their word has states. Received: "
            f"--dataset={run.settings.dataset}, of {run.clips.sample_rate} "
            f"hertz, --lexicon={run.settings.lexicon}: {error}"
        ) from error


def _provenance(figures):
    return about.provenance(figures) + sections.said_of_software(figures)


def main(argv):
    """Runs the experiments that the flags describe."""
    core.run(argv, _run, EXPERIMENTS, _provenance)


if __name__ == "__main__":
    _define_flags()
    app.run(main)
