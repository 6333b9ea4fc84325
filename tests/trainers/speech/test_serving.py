"""trainers.speech.serving: waveforms in, words out."""

import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from kdtf import speech
from tests import speech_corpora
from trainers.speech import nets, recipes, scores, serving
from trainers.speech.frames import WINDOW

GUIDE = pathlib.Path(__file__).resolve().parents[3] / "docs/guides/speech.md"


@pytest.fixture(scope="module")
def net():
    corpus = speech_corpora.corpus()
    arm = recipes.distilled(speech_corpora.settings())
    return nets.build_net(arm, WINDOW * 40, corpus.lexicon.num_states, 0)


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "export"
    for penalty in (3.0, 7.0):  # the second in place of the first
        serving.export(net, speech_corpora.corpus(), path, penalty=penalty)
    return path


def test_what_is_served_is_what_was_trained(net, exported):
    corpus = speech_corpora.corpus()
    served = tf.saved_model.load(str(exported))
    expected = scores.log_posteriors(net, corpus.test)
    for i in (0, 7):
        waveform = corpus.clips.waveforms[corpus.used["test"][i]]
        found = served.serve(waveform[None])["log_posteriors"][0]
        np.testing.assert_allclose(found, expected[i], atol=2e-4)
        np.testing.assert_allclose(tf.exp(found).numpy().sum(-1), 1, atol=1e-5)
    signature = served.signatures["serving_default"]
    outputs = signature(waveforms=np.zeros((2, 2000), np.float32))
    # 1 + (2000 - 200) / 80 frames of 25 ms every 10 ms at 8 kHz.
    assert outputs["log_posteriors"].shape == (2, 23, 27)


def test_what_decoding_needs_is_beside_it(exported):
    corpus = speech_corpora.corpus()
    served = tf.saved_model.load(str(exported))
    assert served.sample_rate == 8000 and served.penalty == 7.0
    np.testing.assert_allclose(served.log_priors, corpus.log_priors)
    np.testing.assert_allclose(served.stay, corpus.hmms.stay)


def test_the_guides_way_from_a_file_to_words(
    net, exported, tmp_path, monkeypatch, capsys
):
    corpus = speech_corpora.corpus()
    waveform = corpus.clips.waveforms[corpus.used["test"][3]]
    sound = tf.audio.encode_wav(waveform[:, None], corpus.clips.sample_rate)
    (tmp_path / "digits.wav").write_bytes(sound.numpy())
    (tmp_path / "runs" / "speech").mkdir(parents=True)
    os.symlink(exported, tmp_path / "runs" / "speech" / "export")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    [example] = [b for b in blocks if "saved_model.load" in b]
    monkeypatch.chdir(tmp_path)
    # The example is of digits; this export knows other words.
    monkeypatch.setattr(speech, "digits", speech_corpora.lexicon)
    exec(compile(example, GUIDE.name, "exec"), {})
    [expected] = speech.decode(
        [scores.log_posteriors(net, corpus.test)[3]],
        corpus.lexicon,
        log_priors=corpus.log_priors,
        stay=corpus.hmms.stay,
        penalty=7.0,
    )
    assert capsys.readouterr().out == f"{[expected]}\n"
