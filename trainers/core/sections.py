"""A run's experiments: each measured, kept in metrics.json, and reported.

An experiment trains what a run lacks, makes figures of it, and makes a section
of the report of those figures alone, so that a report can be made again.
"""

import dataclasses
import functools
from collections.abc import Callable

from trainers.core import pages, run_directory, seals, strategies

_FIGURES = "metrics.json"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
      title: str, of its section.
      measure: function from a run to its figures, a dict that JSON can hold.
      table: function from the figures to a `pages.Table`.
      findings: function from the figures to what they say, a list of sentences.
      details: function from the figures and the run's data to the blocks that
        follow the findings, such as plots.
      introduction: function from the figures to a string; None for none.
      in_all: whether `--experiment=all` runs it.
    """

    title: str
    measure: Callable
    table: Callable
    findings: Callable
    details: Callable
    introduction: Callable | None = None
    in_all: bool = True

    def blocks(self, figures, data):
        """The blocks of the section."""
        introduction = ()
        if self.introduction:
            introduction = (pages.Text(self.introduction(figures)),)
        return (
            *introduction,
            self.table(figures),
            pages.Bullets(self.findings(figures)),
            *self.details(figures, data),
        )

    def lines(self, figures):
        """Table and findings as lines of Markdown."""
        findings = pages.Bullets(self.findings(figures))
        return [
            *self.table(figures).markdown(),
            "",
            *findings.markdown(),
        ]


def of_module(module):
    """The `Experiment` that a module defines."""
    return Experiment(
        module.TITLE,
        module.measure,
        module.table,
        module.findings,
        module.details,
        getattr(module, "introduction", None),
        getattr(module, "IN_ALL", True),
    )


def measure(run, names, experiments, *, title, provenance):
    """Runs experiments; each is in metrics.json and report when it is done.

    Args:
      run: what experiments measure, with attributes `directory` and `data`.
      names: sequence of names of experiments.
      experiments: dict from name to `Experiment`.
      title: str, of the report, whose sections are in the order in which a run
        first measured them.
      provenance: function from the figures to a sentence about them.

    Raises:
      FlagsError: if metrics.json has changed since it was written.
    """
    measured = {}

    def read():
        measured.update(_measured_before(run.directory / _FIGURES))

    def report(name):
        seals.write_json(run.directory / _FIGURES, {"experiments": measured})
        sections = [
            pages.Section(
                experiments[key].title,
                (
                    *experiments[key].blocks(figures, run.data),
                    pages.Text(provenance(figures)),
                ),
            )
            for key, figures in measured.items()
            if key in experiments
        ]
        pages.write(run.directory, title, sections)
        lines = experiments[name].lines(measured[name])
        print("\n".join([experiments[name].title, "", *lines, ""]), flush=True)

    strategies.on_chief(read)
    for name in names:
        measured[name] = experiments[name].measure(run)
        strategies.on_chief(functools.partial(report, name))


def _measured_before(path):
    """Dict from experiment to its figures, those that a run has."""
    if not path.exists():
        return {}
    with seals.named(path, delete=path):
        return seals.read_json(path)["experiments"]


def said_of_software(figures):
    """The commit and the versions that figures were made with."""
    versions = ", ".join(f"{n} {v}" for n, v in figures["versions"].items())
    return f"Commit {figures['commit'] or 'unknown'}; {versions}."


def print_places(run):
    """Tells where the results are."""
    print(f"Report:     {run.directory / 'report.html'}")
    print(f"Figures:    {run.directory / _FIGURES}")
    export = run.directory / run_directory.EXPORT
    if export.exists():
        print(f"SavedModel: {export}")
    print(f"Curves:     tensorboard --logdir={run.directory}")
