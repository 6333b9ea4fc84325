"""trainers.mnist.few_labels_weight, on a run that trains nothing."""

import json

from tests.trainers.mnist import test_few_labels
from trainers.mnist import few_labels_weight, hard_weight

ERRORS = {0.0: 50, 0.1: 40, 0.3: 30, 0.6: 60, 1.0: 100}


def test_students_of_few_cases_differ_in_the_weight_alone(tmp_path):
    run = test_few_labels.Run(tmp_path)

    def weight_of(arm):
        return arm.hard_weight if arm.soft_weight else 1.0

    run.result_of = lambda arm: test_few_labels.result(ERRORS[weight_of(arm)])
    figures = few_labels_weight.measure(run)
    assert json.loads(json.dumps(figures)) == figures
    assert [arm["mean"] for arm in figures["arms"]] == list(ERRORS.values())
    for seed in range(run.seeds):
        seen = {tuple(seen) for _, s, seen, _ in run.asked if s == seed}
        assert len(seen) == 1
    for arm, *_ in run.asked:
        weight = weight_of(arm)
        assert arm.keep_best == (weight == 1.0)
        if weight < 1.0:
            assert arm.soft_weight == round(1 - weight, 6)
    assert len({(arm.epochs, arm.steps) for arm, *_ in run.asked}) == 1
    # 35 on average below a half; 60, and 50 without.
    assert figures["low_against_half_and_more"]["difference"] == -25
    assert figures["low_against_none"]["difference"] == -15

    rows = few_labels_weight.table(figures).rows
    assert len(rows) == len(hard_weight.HARD_WEIGHTS)
    assert "yes: -25.0 errors" in few_labels_weight.findings(figures)[0]
    assert "3%" in few_labels_weight.introduction(figures)
    [plot] = few_labels_weight.details(figures, run.data)
    assert plot.name == "few_labels_weight" and plot.png
