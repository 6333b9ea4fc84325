"""trainers.data.tfds_audio: data sets that TFDS has written to disk."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests import tfds_words
from trainers.data import tfds_audio

WORDS = ("no", "six", "two")


def load(data_dir, **options):
    return tfds_audio.load(tfds_words.NAME, WORDS, data_dir=data_dir, **options)


def example(audio, label="no", **others):
    return {"audio": np.array(audio, np.int16), "label": label, **others}


def test_clips_of_the_splits(tmp_path):
    examples = {
        "train": [
            example([16384, -32768, 1], "six"),
            example([2], tfds_words.NOISE),
            example([3], "no"),
            example([4, 5], "six"),
        ],
        "validation": [example([6], "six")],
        "test": [example([7], "two"), example([8], tfds_words.NOISE)],
    }
    clips = load(tfds_words.write(tmp_path, examples))
    # The labels that are in the lexicon, in the order of the data set.
    assert clips.words == ("two", "no", "six")
    assert clips.transcripts() == ["six", "no", "six", "six", "two"]
    assert clips.labels.tolist() == [2, 1, 2, 2, 0]
    parts = ["training"] * 3 + ["held_out", "test"]
    assert clips.parts.tolist() == parts
    # The first, second and third recording of "six", and one of each other.
    assert clips.recordings.tolist() == [0, 0, 1, 2, 0]
    assert clips.speaker_names == ["all"]
    assert clips.left_out == {tfds_words.NOISE: 2}
    assert clips.sample_rate == 8000
    np.testing.assert_array_equal(
        clips.waveforms[0], np.array([0.5, -1, 1 / 32768], np.float32)
    )
    assert clips.waveforms[0].dtype == np.float32
    training, test = clips.split("given")
    assert training.tolist() == [0, 1, 2, 3] and test.tolist() == [4]


@pytest.mark.parametrize(
    "name, feature, values",
    (
        ("speaker", tfds.features.Text(), ("ann", "bob")),
        ("speaker_id", tfds.features.Scalar(np.int64), (3, 12)),
        (
            "client_id",
            tfds.features.ClassLabel(names=["bob", "ann"]),
            ("ann", "bob"),
        ),
    ),
)
def test_speakers(name, feature, values, tmp_path):
    examples = [
        example([k], **{name: value})
        for k, value in enumerate((values[0], values[1], values[0]))
    ]
    data_dir = tfds_words.write(
        tmp_path, {"train": examples}, **{name: feature}
    )
    clips = load(data_dir)
    first, second = map(str, values)
    assert clips.speakers.tolist() == [first, second, first]
    assert clips.recordings.tolist() == [0, 0, 1]
    assert clips.parts is None
    assert "given" not in clips.split_names


def test_channels_are_averaged_and_floats_are_not_scaled(tmp_path):
    stereo = np.array([[0.5, 0.25], [-1.0, 1.0]], np.float32)
    audio = tfds.features.Audio(
        shape=(None, 2), dtype=np.float32, sample_rate=16000
    )
    examples = {"train": [{"audio": stereo, "label": "no"}]}
    clips = load(tfds_words.write(tmp_path, examples, audio=audio))
    np.testing.assert_array_equal(clips.waveforms[0], [0.375, 0.0])
    assert clips.sample_rate == 16000


def test_the_sampling_rate_is_required_if_tfds_does_not_know_it(tmp_path):
    audio = tfds.features.Audio(dtype=np.int16)
    examples = {"train": [example([1])]}
    data_dir = tfds_words.write(tmp_path, examples, audio=audio)
    with pytest.raises(ValueError, match="--sample_rate must be given"):
        load(data_dir)
    assert load(data_dir, sample_rate=11025).sample_rate == 11025


@pytest.mark.parametrize(
    "others, options, message",
    (
        (
            {},
            {"sample_rate": 16000},
            "--sample_rate must be left out, or 8000.*--sample_rate=16000",
        ),
        (
            {"label": tfds.features.Text()},
            {},
            "--dataset must have a feature `label`.*ClassLabel.*=tiny_words",
        ),
        (
            {"audio": tfds.features.Tensor(shape=(None,), dtype=np.int16)},
            {},
            "--dataset must have a feature `audio`.*Audio",
        ),
        (
            {"label": tfds.features.ClassLabel(names=["no", "up", "down"])},
            {},
            "--lexicon must have at least two words of .*: no, up, down. "
            "Received: a lexicon of no, six, two",
        ),
    ),
)
def test_unsuitable_data_sets(others, options, message, tmp_path):
    data_dir = tfds_words.write(tmp_path, {"train": [example([1])]}, **others)
    with pytest.raises(ValueError, match=message):
        load(data_dir, **options)


@pytest.mark.parametrize(
    "examples, message",
    (
        (
            {"full": [example([1])]},
            "--dataset must have a split `train`.*with full",
        ),
        (
            {"train": [example([1], tfds_words.NOISE)]},
            "--dataset must have clips of two, no, six.*whose 1 clips",
        ),
    ),
)
def test_empty_data_sets(examples, message, tmp_path):
    data_dir = tfds_words.write(tmp_path, examples)
    with pytest.raises(ValueError, match=message):
        load(data_dir)


def test_clips_without_a_label_are_left_out(tmp_path):
    examples = [example([1]), example([2], -1)]
    clips = load(tfds_words.write(tmp_path, {"train": examples}))
    assert len(clips.waveforms) == 1
    assert clips.left_out == {"(unlabelled)": 1}


def test_an_unknown_data_set(tmp_path):
    with pytest.raises(ValueError, match=r"--dataset must be.*=nobodys_words"):
        tfds_audio.load("nobodys_words", WORDS, data_dir=str(tmp_path))


def test_more_than_16_bits():
    audio = np.array([0, 40000], np.int32)
    with pytest.raises(ValueError, match=r"16 bits.*from 0 to 40000"):
        tfds_audio.waveform_of(audio)


def test_floats_far_beyond_1_are_refused():
    loud = np.array([0.0, -1.2, np.nan], np.float32)
    np.testing.assert_array_equal(tfds_audio.waveform_of(loud), loud)
    with pytest.raises(ValueError, match=r"within \[-1, 1\].*from -3"):
        tfds_audio.waveform_of(np.array([0.0, -3.0], np.float32))
