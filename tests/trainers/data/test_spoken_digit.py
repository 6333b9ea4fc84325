"""trainers.data.spoken_digit: examples of TFDS, sorted; the real files."""

import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import spoken_digit

# Next to the checkout on machines that have it; not needed otherwise.
MANUAL = (
    pathlib.Path(__file__).resolve().parents[4]
    / "shared/data/manual/spoken_digit"
)


class Builder:
    """Takes the place of a TFDS builder."""

    def __init__(self, names=(), error=None):
        self.names, self.error = names, error

    def download_and_prepare(self, download_config):
        if self.error:
            raise self.error

    def as_dataset(self, split, shuffle_files):
        assert split == "train" and not shuffle_files
        audio = [[16384, -32768, k] for k in range(len(self.names))]
        return tf.data.Dataset.from_tensor_slices(
            {
                "audio": tf.constant(audio, tf.int64),
                "audio/filename": list(self.names),
            }
        )


def use(monkeypatch, builder):
    # All of `tfds` is replaced, since older versions load attributes lazily.
    stand_in = types.SimpleNamespace(
        builder=lambda *_, **__: builder,
        download=tfds.download,
        as_numpy=tfds.as_numpy,
    )
    monkeypatch.setattr(spoken_digit, "tfds", stand_in)


def test_clips_are_sorted_and_file_names_parsed(monkeypatch):
    names = ["7_theo_10.wav", "7_theo_9.wav", "0_theo_3.wav", "9_ann_0.wav"]
    use(monkeypatch, Builder(names))
    clips = spoken_digit.load()
    assert clips.speakers.tolist() == ["ann", "theo", "theo", "theo"]
    assert clips.transcripts() == ["nine", "zero", "seven", "seven"]
    assert clips.recordings.tolist() == [0, 3, 9, 10]
    expected = np.array([[0.5, -1, k / 32768] for k in (3, 2, 1, 0)])
    np.testing.assert_array_equal(clips.waveforms, expected)
    assert clips.waveforms[0].dtype == np.float32
    assert clips.sample_rate == 8000 and clips.states is None


def test_advice_if_the_data_cannot_be_prepared(monkeypatch):
    use(monkeypatch, Builder(error=ConnectionError("no network")))
    expected = "pydub.*--manual_dir=.*--data_dir=.*--dataset=synth.*no network"
    with pytest.raises(RuntimeError, match=expected):
        spoken_digit.load("somewhere")


@pytest.mark.slow
@pytest.mark.skipif(not MANUAL.exists(), reason="needs the original archive")
def test_the_original_archive(tmp_path):
    clips = spoken_digit.load(str(tmp_path), str(MANUAL))
    names = ["jackson", "nicolas", "theo", "yweweler"]
    assert set(names) < set(clips.speaker_names)
    assert len(clips.speaker_names) == 5 and len(clips.waveforms) == 2500
    keys = zip(clips.speakers, clips.labels, clips.recordings, strict=True)
    assert len(set(keys)) == 2500 and clips.recordings.max() == 49
    training, test = clips.split("recordings")
    assert (len(training), len(test)) == (2250, 250)
    assert max(np.abs(w).max() for w in clips.waveforms) <= 1
    minutes = sum(map(len, clips.waveforms)) / 8000 / 60
    assert minutes == pytest.approx(17.1, abs=0.1)
