"""trainers.speech.small_data."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import speech_corpora
from trainers.core import pages
from trainers.speech import nets, recipes, small_data
from trainers.speech.experiments import EXPERIMENTS
from trainers.speech.settings import SMALL_DATA_EPOCHS

SHARES = (0.25, 1.0)
EPOCHS = SMALL_DATA_EPOCHS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return speech_corpora.make_run(
        tmp_path_factory.mktemp("run"), seeds=2, updates=3 * EPOCHS
    )


@pytest.fixture(scope="module")
def measured(run):
    """The figures of nets as they begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets, "train", speech_corpora.untrained)
        patch.setattr(recipes, "SHARES", SHARES)
        return small_data.measure(run)


def test_figures_of_the_nets(run, measured):
    assert json.loads(json.dumps(measured)) == measured
    kinds = [(arm["kind"], arm["share"]) for arm in measured["arms"]]
    assert kinds == [(kind, s) for s in SHARES for kind in ("hard", "soft")]
    corpus = run.folds[0].corpus
    frames = corpus.training
    for arm in measured["arms"]:
        soft = arm["kind"] == "soft"
        recipe = recipes.few_clips(run.settings, arm["share"], soft=soft)
        # Of 12 clips.
        clips = corpus.nested(arm["share"])
        assert arm["clips"] == len(clips) == 12 * arm["share"]
        rows = np.flatnonzero(np.isin(frames.utterance, clips))
        shares = []
        for seed in range(2):
            net = speech_corpora.untrained(recipe, corpus, seed, None).net
            logits = net(frames.windows(tf.constant(rows))).numpy()
            shares.append((logits.argmax(-1) == frames.states[rows]).mean())
        assert arm["train_accuracy"] == pytest.approx(np.mean(shares))
        assert arm["updates"] == 3 * EPOCHS and arm["nets"] == 2
        assert len(arm["curves"]) == 2 and len(arm["curves"][0]) == EPOCHS
        # The made-up nets with early stopping are best after one epoch.
        assert arm["stopped_at"] == ([None, None] if soft else [1, 1])


def test_untaught_nets_recover_nothing(measured):
    """On labels and on soft targets they start from the same weights."""
    assert list(measured["recovered"]) == ["0.25"]
    # As good with all clips as with few: nothing is lost.
    assert measured["recovered"]["0.25"]["mean"] is None


def test_what_soft_targets_recover():
    # Of 6 - 2 errors an utterance 6 - 3, in every resample.
    hard, whole, soft = (
        types.SimpleNamespace(wrong=np.full((1, 5), errors))
        for errors in (6, 2, 3)
    )
    found = small_data._recovered(hard, whole, soft)
    assert found["mean"] == pytest.approx(3 / 4)
    assert found["ci95"] == pytest.approx([3 / 4, 3 / 4])


def arm(kind, share, accuracy, stopped_at, curve):
    return {
        "kind": kind,
        "share": share,
        "train_accuracy": 0.8765,
        "clips": round(2000 * share),
        "updates": 400,
        "epochs": 40,
        "stopped_at": stopped_at,
        "curves": [curve, curve],
        "accuracy": {
            "each": [accuracy - 0.125, accuracy + 0.125],
            "mean": accuracy,
            "ci95": [accuracy - 0.25, accuracy + 0.25],
        },
        "nll": 1.2345,
    }


@pytest.fixture
def metrics():
    part = {"clips": 3, "frames": 100, "skipped": {}}
    curve = [
        {"epoch": e, "train_accuracy": 0.5 + e / 100, "test_accuracy": e / 100}
        for e in (1, 2)
    ]
    stopped = {"hard": [7, 12], "soft": [None, None]}
    return {
        "dataset": "synthetic",
        "settings": {"split": "recordings"},
        "data": {
            "recordings": dict.fromkeys(("training", "held_out", "test"), part)
        },
        "arms": [
            arm(kind, share, accuracy, stopped[kind], curve)
            for kind, share, accuracy in (
                ("hard", 0.03, 0.375),
                ("soft", 0.03, 0.5),
                ("hard", 1.0, 0.625),
                ("soft", 1.0, 0.625),
            )
        ],
        "recovered": {"0.03": {"mean": 0.5, "ci95": [0.25, 0.625]}},
    }


def rows_of(metrics):
    """Dict from (clips, taught by) to dict from heading to cell."""
    table = small_data.table(metrics)
    return {
        tuple(row[:2]): dict(zip(table.head, row, strict=True))
        for row in table.rows
    }


def test_table(metrics):
    rows = rows_of(metrics)
    soft = "soft targets of a net that saw all clips"
    assert rows["3% (60)", soft] == {
        "training clips": "3% (60)",
        "taught by": soft,
        "frame accuracy, training": "87.6%",
        "frame accuracy, test": "50.00%",
        "95 % interval": "25.00% to 75.00%",
        "stopped at, of its updates": "the end, 400",
        "NLL": "1.234",
        "recovered of what is lost": "50% (25% to 62%)",
        "the paper's training and test": "65.4 %, 57.0 %",
    }
    hard = rows["3% (60)", "labels, early stopping"]
    # Ten updates an epoch.
    assert hard["stopped at, of its updates"] == "70, 120"
    assert hard["recovered of what is lost"] == "-"
    assert hard["the paper's training and test"] == "67.3 %, 44.5 %"
    # Of all clips nothing is lost, and the paper has no such net.
    whole = rows["100% (2,000)", soft]
    assert whole["recovered of what is lost"] == "-"
    assert whole["the paper's training and test"] == "-"


def test_findings(metrics):
    [_, said] = small_data.findings(metrics)
    assert "With 3% of the clips, soft targets recover 50% (25% to 62%)" in said
    assert "the paper: 87 %" in said
    metrics["recovered"] = {"0.1": {"mean": None, "ci95": [None, None]}}
    [_, said] = small_data.findings(metrics)
    assert "recover - of" in said and "the paper" not in said


def test_hearings_are_mentioned_unless_figures_are_older(metrics):
    before = small_data.findings(metrics)
    metrics["settings"]["hearings"] = 6
    [said] = set(small_data.findings(metrics)) - set(before)
    assert "hearings of the few clips without end" in said


@pytest.mark.slow
def test_the_section(metrics, tmp_path):
    blocks = EXPERIMENTS["small_data"].blocks(metrics, None)
    pages.write(tmp_path, "Title", [pages.Section("Title", blocks)])
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {"small_data", "small_data_curves"}
    figures = {b.name: b.figure for b in blocks if isinstance(b, pages.Plot)}
    [axes] = figures["small_data"].axes
    lines = {li.get_label(): li.get_xydata() for li in axes.lines}
    test = lines["test: labels, early stopping"]
    np.testing.assert_allclose(test, [[3, 37.5], [100, 62.5]])
    panels = figures["small_data_curves"].axes
    titles = [axes.get_title() for axes in panels]
    assert titles == [f"{s:.0%} of the training clips" for s in recipes.SHARES]
    # Two arms of two nets, on training and on test clips.
    drawn = {t: len(a.lines) for t, a in zip(titles, panels, strict=True)}
    assert drawn["3% of the training clips"] == 2 * 2 * 2
    assert drawn["10% of the training clips"] == 0
    label = "labels, early stopping, test"
    [line] = [li for li in panels[0].lines if li.get_label() == label]
    np.testing.assert_allclose(line.get_xydata(), [[10, 1], [20, 2]])
