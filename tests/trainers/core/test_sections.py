"""trainers.core.sections, on experiments made up here."""

import json
import types

import pytest

from trainers.core import pages, sections
from trainers.core.errors import FlagsError


def experiment(name, measured):
    """An experiment that notes when it is measured."""

    def measure(run):
        measured.append(name)
        return {"value": f"{name}{len(measured)}", "by": f"maker of {name}"}

    return sections.Experiment(
        title=f"Section {name}",
        measure=measure,
        table=lambda figures: pages.Table(["value"], [[figures["value"]]]),
        findings=lambda figures: [f"It is {figures['value']}."],
        details=lambda figures, data: (
            pages.Text(f"{figures['value']} of {data}"),
        ),
    )


@pytest.fixture
def run(tmp_path):
    return types.SimpleNamespace(directory=tmp_path, data="data")


def measure(run, names, experiments):
    sections.measure(
        run,
        names,
        experiments,
        title="Title",
        provenance=lambda figures: f"By {figures['by']}.",
    )


def report(run):
    """The lines of text of report.md."""
    lines = (run.directory / "report.md").read_text().splitlines()
    return [line for line in lines if line]


def values(run):
    metrics = json.loads((run.directory / "metrics.json").read_text())
    return {k: v["value"] for k, v in metrics["experiments"].items()}


def section(name, value):
    """The lines of a section."""
    return [
        f"## Section {name}",
        *("| value |", "| --- |", f"| {value} |"),
        f"- It is {value}.",
        f"{value} of data",
        f"By maker of {name}.",
    ]


A_SECTION = section("a", "a1")


def test_sections_are_as_first_measured_each_with_its_provenance(run, capsys):
    measured = []
    experiments = {n: experiment(n, measured) for n in ("a", "b", "c")}
    measure(run, ["c", "a"], experiments)
    assert measured == ["c", "a"] and values(run) == {"c": "c1", "a": "a2"}
    assert report(run) == [
        "# Title",
        *section("c", "c1"),
        *section("a", "a2"),
    ]
    said = capsys.readouterr().out
    assert said.index("| c1 |") < said.index("- It is a2.")
    assert "Section b" not in said
    measure(run, ["a"], experiments)  # again, it keeps its place
    assert report(run)[1:] == [*section("c", "c1"), *section("a", "a3")]


def test_an_experiment_is_kept_when_the_next_one_dies(run):
    def die(run):
        # By now everybody can read what the first one found.
        assert values(run) == {"a": "a1"}
        assert report(run) == ["# Title", *A_SECTION]
        raise KeyboardInterrupt

    dying = sections.Experiment("Dying", die, None, None, None)
    with pytest.raises(KeyboardInterrupt):
        measure(run, ["a", "b"], {"a": experiment("a", []), "b": dying})
    assert values(run) == {"a": "a1"}


def test_a_run_again_keeps_the_figures_of_others(run):
    measured = []
    experiments = {n: experiment(n, measured) for n in ("a", "b")}
    measure(run, ["a", "b"], experiments)
    measure(run, ["b"], experiments)
    assert measured == ["a", "b", "b"]
    assert values(run) == {"a": "a1", "b": "b3"}
    assert report(run)[1:8] == A_SECTION and "b3 of data" in report(run)


@pytest.mark.parametrize("change", ((-9, None), (0, None), ("a1", "a2")))
def test_figures_that_have_changed_are_refused(run, change):
    """Before anything is measured, and the file stays for its owner to see."""
    measured = []
    experiments = {n: experiment(n, measured) for n in ("a", "b")}
    measure(run, ["a"], experiments)
    path = run.directory / "metrics.json"
    old, new = change
    text = path.read_text()
    text = text.replace(old, new) if isinstance(old, str) else text[:old]
    path.write_text(text)
    with pytest.raises(FlagsError, match=rf"delete {path} to make it anew"):
        measure(run, ["b"], experiments)
    assert measured == ["a"] and path.read_text() == text


def test_published_figures_have_no_checksum(run):
    (run.directory / "metrics.json").write_text(
        json.dumps({"experiments": {"a": {"value": "a0", "by": "me"}}})
    )
    measure(run, ["b"], {n: experiment(n, []) for n in ("a", "b")})
    assert values(run) == {"a": "a0", "b": "b1"}


def test_an_experiment_of_a_module():
    made = experiment("a", [])
    names = ("measure", "table", "findings", "details")
    module = types.SimpleNamespace(
        TITLE=made.title, **{n: getattr(made, n) for n in names}
    )
    assert sections.of_module(module) == made
    module.introduction = lambda figures: f"About {figures['value']}."
    blocks = sections.of_module(module).blocks({"value": "7"}, "data")
    assert blocks == (
        pages.Text("About 7."),
        pages.Table(["value"], [["7"]]),
        pages.Bullets(["It is 7."]),
        pages.Text("7 of data"),
    )
    assert made.lines({"value": "7"}) == [
        "| value |",
        "| --- |",
        "| 7 |",
        "",
        "- It is 7.",
    ]


def test_software():
    figures = {"commit": "abc", "versions": {"keras": "3", "numpy": "2"}}
    said = "Commit abc; keras 3, numpy 2."
    assert sections.said_of_software(figures) == said


def test_places(run, capsys):
    sections.print_places(run)
    said = capsys.readouterr().out
    assert f"{run.directory / 'report.html'}\n" in said
    assert "SavedModel" not in said
    (run.directory / "export").mkdir()
    sections.print_places(run)
    assert (
        f"SavedModel: {run.directory / 'export'}\n" in capsys.readouterr().out
    )
