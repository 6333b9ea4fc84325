"""benchmarks.summary: README's lines, from the committed figures."""

import json
import pathlib
import re

from benchmarks import summary

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "results"


def lines_by_result():
    """Lines of each result: the first one begins with its name, in bold."""
    found = {}
    for line in summary.lines(RESULTS):
        if name := re.match(r"- \*\*\[(.+?)\]", line):
            found[name[1]] = []
        found[next(reversed(found))].append(line)
    return found


def test_every_result_begins_with_its_name():
    assert list(lines_by_result()) == [
        "MNIST",
        "Characters",
        "Speech",
        "Specialists",
        "Your own teacher",
        "Arrays in memory",
        "Data sets",
        "Several processes",
        "Faults",
    ]


def test_figures_are_those_of_the_result_files():
    lines = lines_by_result()
    mnist = json.loads((RESULTS / "mnist/metrics.json").read_text())
    for arm in mnist["experiments"]["table"]["arms"].values():
        errors = arm["test_errors"]
        assert f"{sum(errors) / len(errors):.1f}" in lines["MNIST"][0]
    mnist = json.loads((RESULTS / "mnist_omitted/metrics.json").read_text())
    omitted = mnist["experiments"]["omit_3"]
    wrong = omitted["ways"]["prior"]["omitted_errors"]["test_errors"]
    right = 1 - sum(wrong) / len(wrong) / omitted["omitted_cases"]
    assert f"{right:.1%} with" in lines["MNIST"][2]
    mnist = json.loads((RESULTS / "mnist_few_labels/metrics.json").read_text())
    for arm in mnist["experiments"]["few_labels"]["arms"]:
        if (arm["kind"], arm["share"]) in [("same", 0.3), ("labels", 1.0)]:
            errors = arm["test_errors"]
            assert f"{sum(errors) / len(errors):.1f}" in lines["MNIST"][3]
    found = json.loads((RESULTS / "characters/metrics.json").read_text())
    found = found["experiments"]
    long = [a for a in found["table"]["arms"] if a["time"] == "long"]
    few = found["few"]["arms"][:2]
    for line, arms in zip(lines["Characters"], (few, long[1:]), strict=True):
        for arm in arms:
            each = arm["accuracy"]["each"]
            assert f"{sum(each) / len(each):.1%}" in line
    speech = json.loads((RESULTS / "speech/metrics.json").read_text())
    kept = speech["experiments"]["ensemble"]["gain_kept"]["distilled"]
    assert f"{kept['mean']:.0%}" in lines["Speech"][0]
    found = json.loads((RESULTS / "specialists/metrics.json").read_text())
    systems = found["experiments"]["table"]["systems"]
    for name in ("generalist", "specialists, top 1"):
        each = systems[name]["accuracy"]["each"]
        assert f"{sum(each) / len(each):.1%}" in lines["Specialists"][0]
    sound = json.loads(
        (RESULTS / "distill_spoken_digits/metrics.json").read_text()
    )
    nets = sound["experiments"]["comparison"]["nets"]
    for net in nets.values():
        each = net["accuracy"]["each"]
        assert f"{sum(each) / len(each):.1%}" in lines["Your own teacher"][0]
    sizes = json.loads((RESULTS / "arrays.json").read_text())["sizes"]
    by_default = next(iter(sizes.values()))["ratios"][0]["median"]
    assert f"takes {by_default:.2f} of the time" in lines["Arrays in memory"][0]
    labelling = json.loads((RESULTS / "scale.json").read_text())["labelling"]
    one, two, *_ = (row["seconds"] for row in labelling)
    each = sorted(a / b for a, b in zip(one, two, strict=True))
    assert (
        f"label {each[len(each) // 2]:.2f} times"
        in lines["Several processes"][0]
    )
    rows = json.loads((RESULTS / "faults/faults.json").read_text())["rows"]
    faults = sum(row["faults"] for row in rows)
    lost = sum(row["outcomes"]["lost"] for row in rows)
    assert f"of {faults:,} kills" in lines["Faults"][0]
    assert f" {lost:,} passed unnoticed" in lines["Faults"][0]
