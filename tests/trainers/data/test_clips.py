"""trainers.data.clips: splits are disjoint and complete, with right names."""

import dataclasses

import numpy as np
import pytest

from trainers.data.clips import Clips


def clips():
    """Two speakers, three words, seven recordings."""
    keys = [(s, w, r) for s in "ab" for w in range(3) for r in range(7)]
    speakers, labels, recordings = zip(*keys, strict=True)
    return Clips(
        [np.zeros(10, np.float32)] * len(keys),
        np.array(labels, np.int32),
        np.array(speakers),
        np.array(recordings, np.int32),
        words=("no", "yes", "oh"),
        sample_rate=8000,
    )


def test_recordings_0_to_4_are_the_test_set():
    data = clips()
    training, test = data.split("recordings")
    assert set(data.recordings[test]) == {0, 1, 2, 3, 4}
    assert set(data.recordings[training]) == {5, 6}
    assert len(test) == 2 * 3 * 5
    assert sorted([*training, *test]) == list(range(42))


def test_all_clips_of_a_speaker_are_the_test_set():
    data = clips()
    training, test = data.split("speaker:b")
    assert set(data.speakers[test]) == {"b"} and len(test) == 21
    assert set(data.speakers[training]) == {"a"} and len(training) == 21


def test_the_split_of_the_data_set_itself():
    data = dataclasses.replace(
        clips(), parts=np.array(["training", "held_out", "test"] * 14)
    )
    training, test = data.split("given")
    # Held-out clips count as training clips here; the corpus separates them.
    assert test.tolist() == list(range(2, 42, 3))
    assert sorted([*training, *test]) == list(range(42))
    assert "given" not in clips().split_names


def test_words_and_speakers():
    data = clips()
    assert data.transcripts()[5:9] == ["no", "no", "yes", "yes"]
    assert data.speaker_names == ["a", "b"]


@pytest.mark.parametrize(
    "name", ("speaker:c", "speakers", "", "speaker:", "given")
)
def test_unknown_splits(name):
    expected = f"`split` must be.*speaker:a, speaker:b.*split={name}"
    with pytest.raises(ValueError, match=expected):
        clips().split(name)


def test_empty_parts():
    data = clips()
    with pytest.raises(ValueError, match="which leaves 0 and 42"):
        dataclasses.replace(data, recordings=np.zeros(42, np.int32)).split(
            "recordings"
        )
    alone = dataclasses.replace(data, speakers=np.array(["a"] * 42))
    with pytest.raises(ValueError, match="which leaves 0 and 42"):
        alone.split("speaker:a")


def test_stereo():
    stereo = [np.zeros(10), np.zeros((10, 2))]
    with pytest.raises(ValueError, match=r"one channel.*1 of shape \(10, 2\)"):
        dataclasses.replace(clips(), waveforms=stereo)
