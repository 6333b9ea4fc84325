"""trainers.distill.sources.sound: clips of one length, as log energies."""

import struct

import numpy as np
import pytest
import tensorflow as tf

from kdtf import speech
from tests import distill_data
from trainers.distill.sources import sound, specs

SPEC = specs.of_data("folder:there")


def listening(seconds=0.1, bands=8):
    return sound.Listening(8000, seconds, bands)


@pytest.mark.parametrize("samples", (100, 800, 2000))
def test_cut_or_padded(samples):
    wave = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    heard = listening().hear(tf.constant(wave))
    whole = np.zeros(800, np.float32)
    whole[: min(samples, 800)] = wave[:800]
    expected = speech.log_mel(whole, sample_rate=8000, bands=8)
    assert heard.shape == (8, 8, 1) and heard.dtype == tf.float32
    np.testing.assert_allclose(heard[..., 0], expected, rtol=1e-5)


def test_integers_and_channels():
    """16 bits; the mean of both channels."""
    rng = np.random.default_rng(0)
    both = rng.integers(-1000, 1000, (800, 2))
    mean = both.mean(1).astype(np.float32) / 32768
    np.testing.assert_allclose(
        listening().hear(tf.constant(both)),
        listening().hear(tf.constant(mean)),
        rtol=1e-4,
    )


def test_in_a_pipeline():
    clips = tf.data.Dataset.from_generator(
        lambda: iter([np.ones(5, np.float32), np.ones(900, np.float32)]),
        output_signature=tf.TensorSpec([None], tf.float32),
    )
    shapes = [x.shape for x in clips.map(listening().hear)]
    assert shapes == [(8, 8, 1)] * 2


def test_shorter_than_a_frame():
    with pytest.raises(ValueError, match=r"--seconds must be at least 0\.025"):
        listening(seconds=0.02)


def test_files(tmp_path):
    path = tmp_path / "a.wav"
    distill_data.write_clip(path, [0, 16384, -32768], rate=11025)
    rate, lengths = sound.measured([path], SPEC)
    assert rate == 11025 and lengths.tolist() == [3]
    wave = sound.decode(path.read_bytes())
    np.testing.assert_array_equal(wave[:, 0], [0, 0.5, -1])


def test_files_that_cannot_be(tmp_path):
    good, text, cut, bad = (tmp_path / f"{k}.wav" for k in "gtcb")
    distill_data.write_clip(good, range(1000))
    text.write_text("no sound")
    cut.write_bytes(good.read_bytes()[:-500])
    distill_data.write_clip(bad, [])
    for path in (text, cut, bad):
        with pytest.raises(ValueError, match=f"16 bits.*file {path} is none"):
            sound.measured([good, path], SPEC)
    distill_data.write_clip(bad, range(1000), rate=16000)
    with pytest.raises(ValueError, match=r"one sampling rate.*b\.wav at 16000"):
        sound.measured([good, bad], SPEC)


@pytest.mark.parametrize("text", (b"", b"even", b"odd"))
@pytest.mark.parametrize("is_last", (False, True))
def test_files_with_more_than_samples(text, is_last, tmp_path):
    """As TensorFlow reads them, which knows no padding of odd chunks."""
    good, path = tmp_path / "g.wav", tmp_path / "m.wav"
    distill_data.write_clip(good, range(1000))
    whole = good.read_bytes()
    padding = b"\0" * (len(text) % 2)
    chunk = b"LIST" + struct.pack("<I", len(text)) + text + padding
    place = len(whole) if is_last else 36  # where "data" begins
    content = whole[:place] + chunk + whole[place:]
    path.write_bytes(content)
    if padding:
        with pytest.raises(ValueError, match=r"m\.wav is none: it holds"):
            sound.measured([good, path], SPEC)
        return
    assert sound.measured([good, path], SPEC)[1].tolist() == [1000, 1000]
    np.testing.assert_array_equal(sound.decode(content), sound.decode(whole))
