"""trainers.distill.comparison: figures, table, findings and plot."""

import json

import numpy as np
import pytest
from scipy import stats

from tests import distill_runs
from trainers.core import plots, sections
from trainers.distill import comparison, costs

LABELS = np.arange(100) % 4
EXPERIMENT = sections.of_module(comparison)


@pytest.fixture(autouse=True)
def forms(monkeypatch):
    """No export is made: the student is three times as fast."""
    figures = {
        "forms": [
            {"net": "distilled", "cases_a_second": 300.0},
            {"net": "teacher", "cases_a_second": 100.0},
        ]
    }
    monkeypatch.setattr(costs, "measured", lambda run: figures)


def logits(*wrong):
    """Of a net that is wrong on these cases: it takes the next class."""
    choices = LABELS.copy()
    choices[list(wrong)] = (choices[list(wrong)] + 1) % 4
    return 5.0 * np.eye(4, dtype=np.float32)[choices]


TEST_LOGITS = {
    "teacher": logits(*range(4)),
    "plain": [logits(*range(24)), logits(*range(2, 24))],
    "distilled": [logits(*range(12)), logits(*range(1, 15))],
}


def measured(tmp_path, **options):
    """Figures that went through JSON, and the run."""
    options = {
        "classes": 4,
        "cases": 100,
        "test_logits": TEST_LOGITS,
        "test_labels": LABELS,
    } | options
    run = distill_runs.make_run(tmp_path, **options)
    return json.loads(json.dumps(EXPERIMENT.measure(run), allow_nan=False)), run


def test_accuracies_and_what_distillation_adds(tmp_path):
    figures, _ = measured(tmp_path)
    nets = figures["nets"]
    assert list(nets) == ["teacher", "plain", "distilled"]
    assert nets["plain"]["accuracy"]["each"] == pytest.approx([0.76, 0.78])
    assert nets["distilled"]["accuracy"]["each"] == pytest.approx([0.88, 0.86])
    assert nets["teacher"]["accuracy"]["mean"] == pytest.approx(0.96)
    wilson = stats.binomtest(96, 100).proportion_ci(method="wilson")
    assert nets["teacher"]["accuracy"]["ci95_cases"] == pytest.approx(
        [wilson.low, wilson.high]
    )
    gain = figures["gain"]
    assert gain["each"] == pytest.approx([0.12, 0.08])
    # 46 and 26 errors of the students, twice 4 of the teacher.
    assert gain["transferred"]["mean"] == pytest.approx((46 - 26) / (46 - 8))
    assert [
        (seed["only_first_wrong"], seed["only_second_wrong"])
        for seed in gain["mcnemar"]
    ] == [(12, 0), (9, 1)]
    assert gain["mcnemar"][0]["p_value"] == pytest.approx(2 * 0.5**12)
    assert figures["teacher_lead"]["mean"] == pytest.approx(0.23 - 0.04)
    assert figures["behind_teacher"]["mean"] == pytest.approx(0.13 - 0.04)


def test_likelihood_agreement_and_fidelity(tmp_path):
    net = measured(tmp_path)[0]["nets"]["distilled"]
    log_rest = np.log(np.exp(5.0) + 3.0)
    assert net["nll"] == pytest.approx(log_rest - 5.0 * 0.87)
    # Seed 0 is wrong on eight cases more than the teacher, seed 1 on eleven
    # more and right on case 0.
    assert net["agreement"]["each"] == pytest.approx([0.92, 0.88])
    # Two softmaxes that favour different classes by a logit of 5.
    favoured, other = np.exp([5.0, 0.0]) / np.exp(log_rest)
    assert net["fidelity_kl"] == pytest.approx(0.1 * 5 * (favoured - other))
    assert net["seconds"]["mean"] == 15.0  # ten epochs of 1.5 s


def test_table_and_findings(tmp_path):
    figures, run = measured(tmp_path)
    table = EXPERIMENT.table(figures)
    assert [row[0] for row in table.rows] == [
        "teacher",
        "plain student",
        "distilled student",
    ]
    cells = dict(zip(table.head, table.rows[2], strict=True))
    assert cells["test accuracy"] == "87.0%"
    assert cells["each seed"] == "88.0%, 86.0%"
    assert cells["agrees with the teacher"] == "90.0%"
    assert cells["training time"] == "15 s"
    cells = dict(zip(table.head, table.rows[0], strict=True))
    assert cells["95 % interval"].endswith("(cases)")
    assert cells["agrees with the teacher"] == "-"
    said = " ".join(EXPERIMENT.findings(figures))
    assert "clips" not in said and "have a label" not in said
    assert "by +10.0 points" in said
    assert "keeps 53%" in said
    assert "(95 % bootstrap over seeds and cases)" in said
    assert "seed 0: 12 and 0, p = 0.00049; seed 1: 9 and 1, p = 0.021" in said
    assert "300 cases a second in batches of 32, the teacher 100" in said
    assert EXPERIMENT.introduction(figures).startswith(
        "The distilled student is right on 87.0% of 100 test cases"
    )
    [plot] = EXPERIMENT.details(figures, run.data)
    left, right = plot.figure.axes
    ticks = [tick.get_text() for tick in left.get_xticklabels()]
    assert ticks == ["teacher", "plain\nstudent", "distilled\nstudent"]
    assert len(right.lines) == 4  # two seeds of two students
    assert right.lines[0].get_color() == plots.COLOURS["student"]
    assert right.lines[3].get_ydata()[-1] == pytest.approx(90.0, abs=1.0)


def test_cases_that_only_the_teacher_tells_of(tmp_path):
    figures, _ = measured(tmp_path)
    figures |= {"train_cases": 2000, "train_labelled": 150}
    said = " ".join(EXPERIMENT.findings(figures))
    assert "150 of 2,000 training cases have a label" in said


def test_clips_that_are_cut(tmp_path):
    figures, _ = measured(tmp_path)
    figures["cut_clips"] = 1234
    said = EXPERIMENT.findings(figures)
    assert said[-1].startswith("1,234 clips are longer than --seconds")


def test_cases_without_a_label_count_in_agreement_only(tmp_path):
    labels = np.where(np.arange(100) < 20, -1, LABELS)
    figures, _ = measured(tmp_path, test_labels=labels)
    nets = figures["nets"]
    assert figures["labelled_cases"] == 80
    # Of 24 wrong cases the first 20 have lost their labels.
    assert nets["plain"]["accuracy"]["each"] == pytest.approx([0.95, 0.95])
    assert nets["distilled"]["accuracy"]["each"] == [1.0, 1.0]
    assert nets["distilled"]["agreement"]["each"] == pytest.approx([0.92, 0.88])
    said = " ".join(EXPERIMENT.findings(figures))
    assert "20 of 100 test cases have no label" in said


def test_without_labels_agreement_is_compared(tmp_path):
    figures, run = measured(tmp_path, labels="none", test_labels=LABELS * 0 - 1)
    assert figures["reference"] == "teacher"
    assert list(figures["nets"]) == ["teacher", "plain", "distilled"][::2]
    assert figures["gain"] is None
    table = EXPERIMENT.table(figures)
    assert table.head[1] == "agrees with the teacher"
    assert "NLL" not in table.head
    assert table.rows[1][1] == "90.0%"
    assert EXPERIMENT.blocks(figures, run.data)


def test_intervals_of_rates_are_rates(tmp_path):
    # Two seeds: a t-interval of 12.7 standard errors.
    distilled = [logits(), logits(*range(20))]
    figures, _ = measured(
        tmp_path, test_logits=TEST_LOGITS | {"distilled": distilled}
    )
    low, high = figures["nets"]["distilled"]["accuracy"]["ci95"]
    assert (low, high) == (0.0, 1.0)


def test_stored_targets_alone_give_no_teacher(tmp_path):
    figures, run = measured(tmp_path, teacher="stored")
    assert list(figures["nets"]) == ["plain", "distilled"]
    assert figures["gain"]["transferred"]["mean"] is None
    assert figures["teacher_lead"] is None
    assert "agrees with the teacher" not in EXPERIMENT.table(figures).head
    assert "no figures on test cases" in " ".join(EXPERIMENT.findings(figures))
    assert EXPERIMENT.blocks(figures, run.data)


def test_one_seed_has_intervals_over_cases(tmp_path):
    one = {n: z[:1] if n != "teacher" else z for n, z in TEST_LOGITS.items()}
    figures, run = measured(tmp_path, seeds=1, test_logits=one)
    accuracy = figures["nets"]["distilled"]["accuracy"]
    wilson = stats.binomtest(88, 100).proportion_ci(method="wilson")
    assert accuracy["ci95"] == [None, None]
    assert accuracy["ci95_cases"] == pytest.approx([wilson.low, wilson.high])
    said = " ".join(EXPERIMENT.findings(figures))
    assert "one seed says nothing" in said
    assert "(95 % bootstrap over cases)" in said
    assert EXPERIMENT.blocks(figures, run.data)


def test_nothing_to_compare_with(tmp_path):
    figures, run = measured(
        tmp_path, labels="none", teacher="stored", test_labels=LABELS * 0 - 1
    )
    assert figures["reference"] is None
    assert EXPERIMENT.table(figures).head == (
        "net",
        "parameters",
        "training time",
    )
    assert EXPERIMENT.blocks(figures, run.data)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.21, "3.2 s"), (59.6, "60 s"), (150, "2.5 min"), (9000, "2.5 h")],
)
def test_durations(seconds, text):
    assert comparison._duration(seconds) == text
