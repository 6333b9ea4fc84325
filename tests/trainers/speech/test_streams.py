"""trainers.speech.streams."""

import dataclasses

import numpy as np
import tensorflow as tf

from tests import speech_corpora
from trainers.speech import hearings, streams
from trainers.speech.frames import WINDOW
from trainers.speech.streams import Blocks, Sound

KIND = hearings.Kind(speed=1.1, loudness=3.0, noise=20.0)
BANDS = 2


def clips(lengths=(5, 9, 4, 6), teacher=False):
    """Endless clips, whose frames have their place in the stream as values."""

    def made():
        place = 0
        while True:
            for length in lengths:
                rows = np.arange(place, place + length)
                place += length
                clip = {
                    "frames": np.stack([rows] * BANDS, 1).astype(np.float32),
                    "states": rows.astype(np.int32),
                }
                if teacher:
                    clip["teacher_logits"] = rows[:, None] * np.ones((1, 3))
                yield clip

    signature = {
        "frames": tf.TensorSpec([None, BANDS], tf.float32),
        "states": tf.TensorSpec([None], tf.int32),
    }
    if teacher:
        signature["teacher_logits"] = tf.TensorSpec([None, 3], tf.float32)
    return tf.data.Dataset.from_generator(made, output_signature=signature)


def test_sizes_of_blocks():
    # 2 clips of 5 frames on average are 10 frames: 3 batches of 3.
    blocks = Blocks.of([4, 6], batch_size=3, seed=0)
    assert (blocks.clips, blocks.batches) == (2, 3)
    many = Blocks.of([10] * 1000, batch_size=256, seed=0)
    assert (many.clips, many.batches) == (128, 5)
    assert Blocks.of([4], batch_size=256, seed=0).batches == 1


def test_a_block_has_each_frame_once_in_another_order():
    blocks = Blocks(clips=4, batches=6, batch_size=4, seed=0)
    found = list(blocks.cut(clips()).take(12).as_numpy_iterator())
    states = np.concatenate([y for _, y in found])
    # 24 frames a block: 5 + 9 + 4 + 6.
    first, second = states[:24], states[24:]
    assert sorted(first) == list(range(24))
    assert sorted(second) == list(range(24, 48))
    assert (first != second - 24).any() and (np.diff(first) != 1).any()


def test_windows_stay_within_their_clip():
    blocks = Blocks(clips=4, batches=6, batch_size=4, seed=0)
    ends = np.cumsum([0, 5, 9, 4, 6])
    for x, y in blocks.cut(clips()).take(6).as_numpy_iterator():
        rows = x.reshape(4, WINDOW, BANDS)[..., 0]
        for window, state in zip(rows, y, strict=True):
            clip = np.searchsorted(ends, state, "right") - 1
            # 20 frames before, 5 after; the ends are repeated.
            expected = np.clip(
                np.arange(state - 20, state + 6), ends[clip], ends[clip + 1] - 1
            )
            np.testing.assert_array_equal(window, expected)


def test_frames_are_repeated_where_there_are_too_few():
    blocks = Blocks(clips=2, batches=2, batch_size=8, seed=0)
    found = blocks.cut(clips((5, 5))).take(2).as_numpy_iterator()
    states = np.concatenate([y for _, y in found])
    counts = np.bincount(states)
    assert len(counts) == 10 and set(counts) == {1, 2}


def test_a_frame_keeps_its_soft_targets():
    blocks = Blocks(clips=2, batches=1, batch_size=8, seed=0)
    [(_, y)] = blocks.cut(clips(teacher=True)).take(1)
    np.testing.assert_array_equal(y["teacher_logits"][:, 0], y["labels"])


def test_windows_are_mixed_with_their_neighbours():
    plain = Blocks(clips=4, batches=2, batch_size=10, seed=0)
    mixed = dataclasses.replace(plain, mixed=0.5)
    (x, y), (z, same) = (
        next(b.cut(clips((8,))).as_numpy_iterator()) for b in (plain, mixed)
    )
    np.testing.assert_array_equal(y, same)  # that of the larger part
    before = np.roll(x, 1, axis=0)
    parts = (z - x) / np.where(before == x, np.nan, before - x)
    part = np.nanmean(parts, axis=1)
    np.testing.assert_allclose(x + part[:, None] * (before - x), z, atol=1e-3)
    assert (part == 0).any() and (part > 0).any() and part.max() < 0.5


def batches(first_step, last_step, share=0.3, **options):
    sound = Sound.of(speech_corpora.corpus(), share)
    given = {"batch_size": 16, "seed": 3, "mixed": 0.5, **options}
    found = sound.batches(
        KIND, first_step=first_step, last_step=last_step, **given
    )
    return list(found.as_numpy_iterator())


def test_a_batch_depends_on_seed_and_step_alone():
    whole, later = batches(0, 9), batches(5, 9)
    for ours, theirs in zip(whole[5:], later, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    [(other, _)] = batches(0, 1, seed=4)
    assert (other != whole[0][0]).any()


def test_no_hearing_is_like_another():
    """Of one clip, heard again and again."""
    corpus = speech_corpora.corpus()
    sound = Sound.of(corpus, 0.01)
    assert len(sound.waveforms) == 1
    heard = [sound._heard(KIND, 0, tf.constant(i, tf.int64)) for i in range(6)]
    assert len({h["frames"].numpy().tobytes() for h in heard}) == 6
    states = set(sound.states[0].tolist())
    assert all(set(h["states"].numpy().tolist()) <= states for h in heard)


def test_a_pass_has_every_clip_normalised(monkeypatch):
    corpus = speech_corpora.corpus()
    sound = Sound.of(corpus)
    count = len(sound.waveforms)
    same = hearings.Kind(speed=1.0, loudness=0.0, noise=100.0)
    monkeypatch.setattr(hearings, "_FAINTEST", 100.0)
    passes = [
        [
            sound._heard(same, 1, tf.constant(place, tf.int64))
            for place in range(first, first + count)
        ]
        for first in (0, count)
    ]
    recorded = sorted(map(len, sound.states))
    for heard in passes:
        # One that begins later may have a frame less.
        lengths = sorted(len(h["states"]) for h in heard)
        assert set(np.subtract(recorded, lengths)) <= {0, 1}
    values = np.concatenate([h["frames"] for h in passes[0]])
    np.testing.assert_allclose(values.mean(0), 0, atol=0.15)
    np.testing.assert_allclose(values.std(0), 1, atol=0.15)
    orders = [[len(h["states"]) for h in heard] for heard in passes]
    assert orders[0] != orders[1]


def test_clips_of_the_training_part():
    corpus = speech_corpora.corpus()
    waveforms, states = streams.clips_of(corpus)
    assert len(waveforms) == len(states) == len(corpus.used["training"])
    np.testing.assert_array_equal(
        waveforms[3], corpus.clips.waveforms[corpus.used["training"][3]]
    )
