"""trainers.speech.ensemble_report, on figures made up here."""

import copy

import numpy as np
import pytest

from trainers.core import pages
from trainers.speech import ensemble_report
from trainers.speech.ensemble_report import COLOURS
from trainers.speech.experiments import EXPERIMENTS

CONDITIONS = ("isolated, clean", "connected, 10 dB")


def system(each, interval, rates):
    return {
        "nets": len(each),
        "accuracy": {"each": each, "mean": np.mean(each), "ci95": interval},
        "held_out_accuracy": 0.5,
        "nll": 1.23456,
        "ece": 0.04321,
        "words": {
            c: {"rate": r} for c, r in zip(CONDITIONS, rates, strict=True)
        },
    }


def part():
    return {"clips": 3, "frames": 100, "skipped": {}}


def swept(reading, temperature, mean):
    return {
        "reading": reading,
        "temperature": temperature,
        "epochs": 7,
        **system([0.6], [None, None], (0.1, 0.2)),
        "gain_kept": {"mean": mean, "ci95": [mean - 0.25, mean + 0.25]},
        "held_out_gain_kept": 0.375,
    }


def gains(distilled):
    return {
        "distilled": {"mean": distilled, "ci95": [0.5, 1.125]},
        "control": {"mean": 0.25, "ci95": [0.125, 0.375]},
        "distilled_over_control": {"mean": 2 / 3, "ci95": [0.25, 0.75]},
    }


def fold(distilled=0.75):
    penalties = dict(zip(CONDITIONS, (10.0, -20.0), strict=True))
    return {
        "gain_kept": gains(distilled),
        "penalties": {name: penalties for name in COLOURS},
    }


@pytest.fixture
def metrics():
    curve = [{"epoch": e, "test_accuracy": a} for e, a in ((1, 0.25), (2, 0.5))]
    return {
        "dataset": "synthetic",
        "settings": {"split": "recordings"},
        "data": {
            "recordings": {
                **dict.fromkeys(("training", "held_out", "test"), part()),
                "states": 27,
            }
        },
        "systems": {
            "baseline": system([0.5, 0.6], [0.4, 0.7], (0.3, 0.4)),
            "ensemble": system([0.75], [None, None], (0.1, 0.2)),
            "distilled": system([0.65, 0.75], [0.6, 0.8], (0.125, 0.25)),
            "control": system([0.6, 0.7], [0.5, 0.8], (0.2, 0.3)),
        },
        "gain_kept": gains(0.75),
        "word_tests": {
            "isolated, clean": {"difference": 1.25, "p_value": 0.0321},
            "all": {"difference": -3.0, "p_value": 0.5},
        },
        "folds": {"recordings": fold()},
        "sweep": [
            swept(reading, temperature, share)
            for reading, temperature, share in (
                ("half", 1.0, 0.5),
                ("half", 5.0, 0.875),
                ("equal", 1.0, 0.625),
            )
        ],
        "curves": {"baseline": [curve, curve], "distilled": [curve]},
        "utterance": {
            "word": "no",
            "speaker": "a",
            "recording": 3,
            "frames_wrong": dict.fromkeys(
                ("baseline", "ensemble", "distilled"), 1
            ),
            "log_mel": [[0.0, 1.0]] * 3,
            "alignment": [0, 0, 1],
            "state_names": ["N1", "N2"],
            "posteriors": dict.fromkeys(
                ("baseline", "ensemble", "distilled"), [[0.25, 0.75]] * 3
            ),
        },
    }


def test_table(metrics):
    table = ensemble_report.table(metrics)
    columns = {
        row[0].split(" ")[0]: dict(zip(table.head, row, strict=True))
        for row in table.rows
    }
    assert list(columns) == list(metrics["systems"])
    expected = {
        "nets": "2",
        "frame accuracy": "70.00%",
        "95 % interval": "60.00% to 80.00%",
        "gain kept": "75% (50% to 112%)",
        "NLL": "1.2346",
        "ECE": "4.32%",
        "WER isolated, clean": "12.50%",
        "WER connected, 10 dB": "25.00%",
    }
    assert columns["distilled"] == expected | {
        "system": "distilled (soft targets)"
    }
    # What the shares are of has none, and one net no interval.
    for name in ("baseline", "ensemble"):
        assert columns[name]["gain kept"] == "-"
    assert columns["ensemble"]["95 % interval"] == "-"


def test_findings(metrics):
    text = "\n".join(ensemble_report.findings(metrics))
    for said in (
        "ensemble's gain over the baseline: 75% (50% to 112%)",
        "control on labels keeps of it: 25% (12% to 38%)",
        "gain over the control: 67% (25% to 75%)",
        "isolated, clean +1.2 (p = 0.032); all -3.0 (p = 0.5).",
    ):
        assert said in text
    assert "each fold" not in text


def test_several_folds_are_told_one_by_one(metrics):
    metrics["folds"] = {"speaker:a": fold(0.75), "speaker:b": fold(0.25)}
    text = "\n".join(ensemble_report.findings(metrics))
    assert (
        "in each fold: speaker:a 75% (50% to 112%); speaker:b 25% (50% to 112%)"
        in text
    )


def test_hearings_are_mentioned_unless_figures_are_older(metrics):
    before = ensemble_report.findings(metrics)
    metrics["settings"]["hearings"] = 6
    [said] = set(ensemble_report.findings(metrics)) - set(before)
    assert "from 6 hearings of each" in said


def test_sweep_table(metrics):
    metrics["sweep"][2]["held_out_gain_kept"] = None
    rows = ensemble_report.sweep_table(metrics).rows
    assert rows[1] == [
        "soft 1, hard 0.5",
        "5",
        "60.00%",
        "88% (62% to 112%)",
        "38%",
        "1.2346",
        "4.32%",
    ]
    assert rows[2][0] == "soft 0.5, hard 0.5" and rows[2][4] == "-"


def figures_of(metrics):
    """Dict from name to the figure of each plot."""
    blocks = EXPERIMENTS["ensemble"].blocks(metrics, None)
    return {b.name: b.figure for b in blocks if isinstance(b, pages.Plot)}


def lines_of(axes):
    """Dict from label to the points of a line."""
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_plots_draw_the_figures(metrics):
    figures = figures_of(metrics)
    [axes] = figures["speech_gains"].axes
    # Points above the baseline's 55 %.
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(heights, [0, 20, 15, 10])
    dots = axes.lines[0].get_xydata()  # the baseline's nets
    np.testing.assert_allclose(dots, [[0, -5], [0, 5]], atol=1e-9)
    axes = figures["speech_temperatures"].axes[0]
    lines = lines_of(axes)
    half, equal = lines["soft 1, hard 0.5"], lines["soft 0.5, hard 0.5"]
    assert half.tolist() == [[1, 50], [5, 87.5]]
    assert equal.tolist() == [[1, 62.5]]
    [axes] = figures["speech_words"].axes
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(heights, [30, 40, 10, 20, 12.5, 25, 20, 30])
    [axes] = figures["speech_curves"].axes
    lines = lines_of(axes)
    assert lines["distilled"].tolist() == [[1, 25], [2, 50]]
    assert len(axes.lines) == 4  # three nets, and the ensemble's level
    assert lines["ensemble"][:, 1].tolist() == [75, 75]


def test_a_level_of_all_folds_is_not_drawn_on_the_curves_of_one(metrics):
    metrics["folds"]["another"] = fold()
    [axes] = figures_of(metrics)["speech_curves"].axes
    assert "ensemble" not in lines_of(axes) and len(axes.lines) == 3


def test_the_section(metrics, tmp_path):
    section = pages.Section(
        "Title", EXPERIMENTS["ensemble"].blocks(metrics, None)
    )
    pages.write(tmp_path, "Title", [section])
    text = (tmp_path / "report.md").read_text()
    assert {path.stem for path in tmp_path.glob("*.png")} == {
        "speech_gains",
        "speech_temperatures",
        "speech_words",
        "speech_curves",
        "speech_utterance",
    }
    assert "One net each, 7 epochs." in text
    assert "| recordings | control | 10 | -20 |" in text
    metrics["sweep"] = []
    assert "speech_temperatures" not in figures_of(metrics)


def test_what_is_not_defined_is_not_told(metrics):
    """One net of each system, whose ensemble gains nothing."""
    single = copy.deepcopy(metrics)
    undefined = {"mean": None, "ci95": [None, None]}
    for each in single["systems"].values():
        each["accuracy"]["ci95"] = [None, None]
    single["gain_kept"] = dict.fromkeys(single["gain_kept"], undefined)
    for arm in single["sweep"]:
        arm["gain_kept"], arm["held_out_gain_kept"] = undefined, None
    section = pages.Section(
        "Title", EXPERIMENTS["ensemble"].blocks(single, None)
    )
    text = pages.to_markdown("Title", [section])
    assert "None" not in text and text.count("nothing, there is no gain.") == 3
