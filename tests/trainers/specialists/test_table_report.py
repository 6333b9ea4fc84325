"""trainers.specialists.table_report: what is said of made-up figures."""

import copy

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.core import pages
from trainers.specialists import groups, table, table_report


def over_seeds(*each):
    mean = float(np.mean(each))
    return {
        "each": list(each),
        "mean": mean,
        "ci95": [mean - 0.01, mean + 0.01],
    }


def system(accuracy):
    return {
        "accuracy": over_seeds(accuracy - 0.005, accuracy + 0.005),
        "conditional": over_seeds(accuracy - 0.1, accuracy + 0.1),
        "nll": over_seeds(1.5, 1.5),
        "calibration_error": over_seeds(0.04, 0.04),
    }


def compared(points):
    return {
        "points": over_seeds(points),
        "p_value": 0.00012,
        "mcnemar": [0.1],
        "relative_gain": over_seeds(2 * points),
    }


def make_figures(run):
    costs = table.costs(run, [1.5, 2.0, 2.5])
    systems = {name: system(0.6) for name in costs}
    systems["specialists, top 1"] = system(0.7)
    systems["ensemble of 4, geometric"]["accuracy"] = over_seeds(0.65, 0.65)
    names = table_report._RIVALS
    return {
        "classes": 12,
        "settings": {"specialists": run.settings.specialists},
        "systems": systems,
        "costs": costs,
        "tests": {
            **{
                name: compared(0.01 * i)
                for i, name in enumerate(("generalist", *names))
            },
            "conditional": {"relative_gain": over_seeds(0.25)},
        },
        "covering": [
            {"specialists": n, "cases": 1000 + n, "change": 9, "relative": gain}
            for n, gain in enumerate((0.01, 0.05, 0.08))
        ],
        "corrections": {
            name: {
                **system(0.66),
                "held_out_accuracy": over_seeds(0.67),
                "own_mass": [0.1, 0.2, 0.3, 0.4],
            }
            for name in groups.CORRECTIONS
        },
        "sets": {
            "covered_confusion": over_seeds(0.81),
            "covered_classes": [10, 11],
            "active": [1.5, 2.0, 2.5],
        },
        "gallery": {
            "sets": [[0, 1, 2]],
            "right": [],
            "wrong": [{"case": 3, "label": 1, "before": 1, "after": 2}],
        },
    }


@pytest.fixture
def found(tmp_path):
    return make_figures(runs.make_run(tmp_path))


def test_table(found):
    head, rows = (
        getattr(table_report.table(found), name) for name in ("head", "rows")
    )
    assert all(len(row) == len(head) for row in rows)
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(by_name) == list(found["systems"])
    row = by_name["specialists, top 1"]
    assert row["test accuracy"] == "70.00%"
    assert row["interval"] == "69.00% to 71.00%"
    assert row["conditional"] == "70.00%"
    assert row["NLL"] == "1.500" and row["calibration error"] == "0.040"
    wide = by_name["wide"]  # 64 * 9 + 81 + 9 * 12 = 765; 492 of 6 units
    assert (wide["weights"], wide["training FLOPs"]) == ("1 k", "1.55")
    assert by_name["random sets"]["multiply-adds a prediction"] == "-"
    # Of all four generalists there is one ensemble only, whatever the seed.
    assert by_name["ensemble of 4, geometric"]["interval"] == "-"


def test_findings(found):
    gain, conditional, rivals, wide, covering, sets, calibration = (
        table_report.findings(found)
    )
    assert "from 60.0% to 70.0%: +0.0% relative (-1.0% to +1.0%;" in gain
    assert "from 60.0% to 70.0%: +25.0% relative" in conditional
    # Rivals are the first to the sixth; points are 0.01 each.
    said = (
        "+2.00 points (+1.00 to +3.00; p = 0.00012) against an ensemble of two"
    )
    assert said in rivals and "a wide net" not in rivals
    assert "+4.00 points (+3.00 to +5.00; p = 0.00012) against a wide" in wide
    assert "of 1.55 times the training FLOPs and 1 thousand" in wide
    assert "+1.0% with 0 (1,000); +5.0% with 1 (1,001); +8.0%" in covering
    assert "It rises with their number" in covering
    assert "cover 10, 11 of 12 classes, and 81% of the mass" in sets
    assert "1.50 specialists (top 1), 2.00 specialists (top 2)" in sets
    assert calibration.count("66.00% (held out 67.00%)") == 4
    assert "fitted: 66.00%" in calibration
    assert (
        "mass 0.100 for 0.200 of all cases and 0.300 for 0.400" in calibration
    )


def test_a_gain_that_does_not_rise_is_told(found):
    found["covering"][1]["relative"] = 0.09
    assert "It does not rise steadily" in table_report.findings(found)[4]


def test_cases_that_the_generalist_has_all_wrong_have_no_gain(found):
    found["covering"].append(
        {"specialists": 3, "cases": 7, "change": 2, "relative": None}
    )
    assert "(7)" not in table_report.findings(found)[4]
    assert table_report.details(found, runs.data())


def test_one_seed_has_no_intervals(found):
    found = copy.deepcopy(found)
    for name in found["systems"]:
        found["systems"][name] = {
            figure: {**values, "ci95": [None, None]}
            for figure, values in found["systems"][name].items()
        }
    for test in found["tests"].values():
        for figure in ("points", "relative_gain"):
            if figure in test:
                test[figure]["ci95"] = [None, None]
    assert {row[2] for row in table_report.table(found).rows} == {"-"}
    assert all(table_report.findings(found))
    plot = table_report.details(found, runs.data())[0]
    assert plot.png


def test_every_system_has_a_row_of_the_plot(found):
    plot, *gallery = table_report.details(found, runs.data())
    systems, covering = plot.figure.axes
    labels = [label.get_text() for label in systems.get_yticklabels()]
    assert len(labels) == len(found["systems"])
    assert labels[-1] == "generalist, 1.00"
    assert labels[0].startswith("ensemble of 4")
    assert [bar.get_height() for bar in covering.patches] == pytest.approx(
        [1, 5, 8]
    )
    assert [b.name for b in gallery if isinstance(b, pages.Plot)] == [
        "sets",
        "cases",
    ]
