"""trainers.speech.views: an ensemble's word on hearings, stored."""

import itertools

import numpy as np
import pytest

import kdtf
from tests import reference, speech_corpora
from trainers.speech import frames, hearings, recipes, views

KIND = hearings.Kind(speed=1.2, loudness=3.0, noise=20.0, tempo=1.1)
TEMPERATURE = 2.0
COUNT = 2


def untrained(seed):
    corpus = speech_corpora.corpus()
    arm = recipes.member(speech_corpora.settings())
    return speech_corpora.untrained(arm, corpus, seed, None).net


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """`Views`, the path of their store, and the members that were asked."""
    heard = views.Views(speech_corpora.corpus(), KIND, COUNT)
    path = tmp_path_factory.mktemp("store") / "targets"
    members = [untrained(0), untrained(1)]
    heard.write(path, kdtf.Ensemble(members), TEMPERATURE)
    return heard, path, members


def test_all_clips_are_in_one_order():
    corpus = speech_corpora.corpus()
    heard = views.Views(corpus, KIND, COUNT)
    found, again = (
        [w[:n] for b in heard.clips() for w, n in _cut(b)] for _ in range(2)
    )
    used = corpus.used["training"]
    expected = {corpus.clips.waveforms[i].tobytes() for i in used}
    assert {w.tobytes() for w in found} == expected
    assert [w.tobytes() for w in found] == [w.tobytes() for w in again]


def _cut(batch):
    return zip(batch["waveform"].numpy(), batch["samples"].numpy(), strict=True)


@pytest.mark.slow
def test_the_store_has_what_the_ensemble_says_of_windows(stored):
    """As its members see them: padding changes nothing."""
    heard, path, members = stored
    joined = kdtf.SoftTargets(path).join(heard.clips(), augment=heard.hear)
    clips = joined.unbatch().map(views._without_padding)
    count = 0
    for clip in itertools.islice(clips, 5):
        utterance = frames.Frames(
            clip["frames"].numpy(),
            np.array([len(clip["states"])]),
            clip["states"].numpy(),
        )
        assert set(utterance.states) <= set(heard.corpus.training.states)
        logits = np.stack([frames.predict(m, utterance) for m in members])
        mean = reference.softmax(logits, TEMPERATURE).mean(0)
        expected = TEMPERATURE * np.log(mean)
        # Stored without their largest, in half precision.
        expected -= expected.max(-1, keepdims=True)
        np.testing.assert_allclose(clip["teacher_logits"], expected, atol=5e-3)
        count += 1
    assert count == 5


def test_every_clip_is_heard_each_time_in_another_way(stored):
    heard, path, _ = stored
    joined = kdtf.SoftTargets(path).join(heard.clips(), augment=heard.hear)
    found = [
        views._without_padding(x, y)["frames"].numpy()
        for x, y in joined.unbatch()
    ]
    assert len(found) == COUNT * len(heard.corpus.training.lengths)
    assert len({f.tobytes() for f in found}) == len(found)


def batches(stored, first_step, last_step, seed=0):
    heard, path, _ = stored
    found = heard.batches(
        path,
        batch_size=32,
        seed=seed,
        first_step=first_step,
        last_step=last_step,
    )
    return list(found.as_numpy_iterator())


def test_a_batch_depends_on_seed_and_step_alone(stored):
    whole, later = batches(stored, 0, 40), batches(stored, 37, 40)
    for (x, y), (same, targets) in zip(whole[37:], later, strict=True):
        np.testing.assert_array_equal(x, same)
        for key in ("labels", "teacher_logits"):
            np.testing.assert_array_equal(y[key], targets[key])
    [(other, _)] = batches(stored, 0, 1, seed=1)
    assert (other != whole[0][0]).any()


def test_it_does_not_matter_who_has_begun_to_read(stored):
    heard, path, _ = stored
    found = heard.batches(
        path, batch_size=32, seed=0, first_step=0, last_step=3
    )
    for _ in found.take(1):
        pass
    first, again = (
        [y["labels"] for _, y in found.as_numpy_iterator()] for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_a_net_of_windows_is_one_of_utterances():
    net = untrained(0)
    bands = len(speech_corpora.corpus().mean)
    given = np.random.default_rng(0).normal(size=(2, 7, bands))
    found = views._of_utterances(net, bands)({"frames": given})
    for utterance, logits in zip(given, found, strict=True):
        alone = frames.Frames(utterance.astype(np.float32), np.array([7]))
        np.testing.assert_allclose(
            logits, frames.predict(net, alone), rtol=1e-4, atol=1e-5
        )
