"""trainers.speech.ensemble: from nets to figures."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests import reference, speech_corpora
from trainers.speech import ensemble, nets, recipes, scores

TEMPERATURES = (1.0, 4.0)


def of_errors(wrong, word_errors):
    """`Scores` of ten utterances of ten frames and a word each."""
    count = len(wrong)
    return scores.Scores(
        np.full(10, 10),
        np.array(wrong),
        nll=np.ones(count),
        ece=np.ones(count),
        held_out_accuracy=np.ones(count),
        word_errors={"clean": np.array(word_errors)},
        words={"clean": np.ones(10, int)},
    )


def test_shares_of_the_gain():
    """The same errors in every utterance: only the nets make a difference."""
    words = [[0] * 8 + [1] * 2]
    systems = {
        # 5 on average, of two nets.
        "baseline": of_errors([[4] * 10, [6] * 10], words * 2),
        "ensemble": of_errors([[1] * 10], [[0] * 10]),
        "distilled": of_errors([[2] * 10], words),
        "control": of_errors([[6] * 10], words),
    }
    found = ensemble.summarise(systems)
    # Of 5 - 1 errors: 5 - 2, 5 - 6; of 6 - 1 errors: 6 - 2.
    # In a quarter of the samples each, the baseline is its first net twice, or
    # its second: of 4 - 1 errors 4 - 2, 4 - 6; of 6 - 1 errors 6 - 2, 6 - 6.
    for name, (share, *bounds) in {
        "distilled": (3 / 4, 2 / 3, 4 / 5),
        "control": (-1 / 4, -2 / 3, 0),
        "distilled_over_control": (4 / 5, 4 / 5, 4 / 5),
    }.items():
        gain = found["gain_kept"][name]
        assert gain["mean"] == pytest.approx(share)
        assert gain["ci95"] == pytest.approx(bounds)
    assert found["word_tests"]["clean"]["difference"] == 2
    accuracies = {n: s["accuracy"]["mean"] for n, s in found["systems"].items()}
    assert accuracies == pytest.approx(
        {"baseline": 0.5, "ensemble": 0.9, "distilled": 0.8, "control": 0.4}
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The figures of nets as they begin, and the run."""
    run = speech_corpora.make_run(
        tmp_path_factory.mktemp("run"), seeds=2, members=3
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets, "train", speech_corpora.untrained)
        patch.setattr(recipes, "TEMPERATURES", TEMPERATURES)
        patch.setattr(scores, "PENALTIES", (-10.0, 0.0))
        return ensemble.measure(run), run


def accuracy_of(logits, frames):
    return (logits.argmax(-1) == frames.states).mean()


def logits_of(make, seeds, frames):
    """`[seeds, frames, states]` of the nets of an arm."""
    arm = make(speech_corpora.settings(members=3))
    windows = frames.windows(tf.range(len(frames)))
    corpus = speech_corpora.corpus()
    return np.stack(
        [
            speech_corpora.untrained(arm, corpus, seed, None).net(windows)
            for seed in range(seeds)
        ]
    )


def test_every_system_has_its_nets(measured):
    figures, run = measured
    test = run.folds[0].corpus.test
    members = logits_of(recipes.member, 3, test)
    # As they begin, distilled net and control are the same.
    students = logits_of(recipes.control, 2, test)
    students = [accuracy_of(z, test) for z in students]
    expected = {
        "baseline": [accuracy_of(z, test) for z in members],
        # The arithmetic mean of probabilities, at T = 1.
        "ensemble": [accuracy_of(reference.softmax(members).mean(0), test)],
        "distilled": students,
        "control": students,
    }
    assert list(figures["systems"]) == list(expected)
    for name, accuracies in expected.items():
        system = figures["systems"][name]
        assert system["accuracy"]["each"] == pytest.approx(accuracies)
        assert system["words"]["isolated, clean"]["said"] == 30
    assert figures["gain_kept"]["distilled"] == figures["gain_kept"]["control"]
    [fold] = figures["folds"].values()
    assert fold["systems"] == figures["systems"]
    assert {n: len(c) for n, c in figures["curves"].items()} == {
        "baseline": 3,
        "distilled": 2,
        "control": 2,
    }


@pytest.mark.slow
def test_the_sweep(measured):
    figures, run = measured
    pairs = [(a["reading"], a["temperature"]) for a in figures["sweep"]]
    assert sorted(pairs) == sorted(
        (reading, t) for reading in recipes.READINGS for t in TEMPERATURES
    )
    corpus = run.folds[0].corpus
    members = logits_of(recipes.member, 3, corpus.held_out)
    base = np.mean([accuracy_of(z, corpus.held_out) for z in members])
    together = reference.softmax(members).mean(0)
    gain = accuracy_of(together, corpus.held_out) - base
    [student] = logits_of(recipes.distilled, 1, corpus.held_out)
    kept = (accuracy_of(student, corpus.held_out) - base) / gain
    for arm in figures["sweep"]:
        assert arm["held_out_gain_kept"] == pytest.approx(kept)
        assert arm["epochs"] == run.settings.sweep_epochs
        assert arm["nets"] == 1


def test_figures_are_json_and_the_student_is_exported(measured):
    figures, run = measured
    assert json.loads(json.dumps(figures)) == figures
    module = tf.saved_model.load(str(run.directory / "export"))
    corpus = run.folds[0].corpus
    clip = corpus.used["test"][0]
    served = module.serve(corpus.clips.waveforms[clip][None])
    rows = corpus.test.rows_of([0])
    expected = logits_of(recipes.distilled, 1, corpus.test)[0, rows]
    np.testing.assert_allclose(
        served["log_posteriors"][0], reference.log_softmax(expected), atol=1e-3
    )
    [fold] = figures["folds"].values()
    chosen = fold["chosen"]["distilled"]["connected, clean"]
    assert float(module.penalty) == chosen["penalty"]
    assert chosen["held_out_rate"] >= 0


def test_a_finished_run_is_not_decoded_anew(measured, monkeypatch):
    figures, run = measured
    monkeypatch.setattr(nets, "train", speech_corpora.untrained)
    monkeypatch.setattr(recipes, "TEMPERATURES", TEMPERATURES)
    monkeypatch.setattr(scores, "with_words", None)
    again = ensemble.measure(run)
    assert {**again, "commit": None} == {**figures, "commit": None}


def test_nothing_gained_has_no_share():
    assert ensemble._ratio(0.5, 0.5, 0.7) is None
    assert ensemble._ratio(0.5, 0.9, 0.7) == pytest.approx(0.5)
