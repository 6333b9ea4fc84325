"""benchmarks.summary: README's lines, from the committed figures."""

import json
import pathlib

from benchmarks import summary

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "results"


def test_every_result_begins_with_its_name():
    lines = summary.lines(RESULTS)
    assert len(lines) == 19
    assert [i for i, line in enumerate(lines) if "**[" in line] == [
        0,
        3,
        5,
        8,
        11,
        13,
        14,
        17,
        18,
    ]


def test_figures_are_those_of_the_result_files():
    lines = summary.lines(RESULTS)
    mnist = json.loads((RESULTS / "mnist/metrics.json").read_text())
    for arm in mnist["experiments"]["table"]["arms"].values():
        errors = arm["test_errors"]
        assert f"{sum(errors) / len(errors):.1f}" in lines[0]
    mnist = json.loads((RESULTS / "mnist_omitted/metrics.json").read_text())
    omitted = mnist["experiments"]["omit_3"]
    wrong = omitted["ways"]["prior"]["omitted_errors"]["test_errors"]
    right = 1 - sum(wrong) / len(wrong) / omitted["omitted_cases"]
    assert f"{right:.1%} with" in lines[2]
    found = json.loads((RESULTS / "characters/metrics.json").read_text())
    found = found["experiments"]
    long = [a for a in found["table"]["arms"] if a["time"] == "long"]
    for line, arms in ((3, found["few"]["arms"][:2]), (4, long[1:])):
        for arm in arms:
            each = arm["accuracy"]["each"]
            assert f"{sum(each) / len(each):.1%}" in lines[line]
    speech = json.loads((RESULTS / "speech/metrics.json").read_text())
    kept = speech["experiments"]["ensemble"]["gain_kept"]["distilled"]
    assert f"{kept['mean']:.0%}" in lines[5]
    found = json.loads((RESULTS / "specialists/metrics.json").read_text())
    systems = found["experiments"]["table"]["systems"]
    for name in ("generalist", "specialists, top 1"):
        each = systems[name]["accuracy"]["each"]
        assert f"{sum(each) / len(each):.1%}" in lines[8]
    sound = json.loads(
        (RESULTS / "distill_spoken_digits/metrics.json").read_text()
    )
    nets = sound["experiments"]["comparison"]["nets"]
    for net in nets.values():
        each = net["accuracy"]["each"]
        assert f"{sum(each) / len(each):.1%}" in lines[11]
    sizes = json.loads((RESULTS / "arrays.json").read_text())["sizes"]
    by_default = next(iter(sizes.values()))["ratios"][0]["median"]
    assert f"takes {by_default:.2f} of the time" in lines[13]
    labelling = json.loads((RESULTS / "scale.json").read_text())["labelling"]
    one, two, *_ = (row["seconds"] for row in labelling)
    each = sorted(a / b for a, b in zip(one, two, strict=True))
    assert f"label {each[len(each) // 2]:.2f} times" in lines[17]
    rows = json.loads((RESULTS / "faults/faults.json").read_text())["rows"]
    faults = sum(row["faults"] for row in rows)
    lost = sum(row["outcomes"]["lost"] for row in rows)
    assert f"of {faults:,} kills" in lines[18]
    assert f" {lost:,} passed unnoticed" in lines[18]
