"""The experiments of `trainers.mnist`: one module each, listed here.

An experiment trains what a run lacks, makes figures of it, and makes a section
of the report of those figures alone, so that a report can be made again.
"""

import dataclasses
import functools
from collections.abc import Callable

from trainers import pages
from trainers.experiments import (
    consistent,
    ensemble,
    hard_weight,
    logit_matching,
    omitted,
    omitted_report,
    table,
    temperatures,
)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
      title: str, of its section.
      measure: function from a `trainers.runs.Run` to its figures, a dict that
        JSON can hold.
      table: function from the figures to a `pages.Table`.
      findings: function from the figures to what they say, a list of sentences.
      blocks: function from the figures and the `trainers.data.ImageData` to the
        section's blocks.
    """

    title: str
    measure: Callable
    table: Callable
    findings: Callable
    blocks: Callable

    def lines(self, figures):
        """Table and findings as lines of Markdown."""
        findings = pages.Bullets(self.findings(figures))
        return [
            *self.table(figures).markdown(),
            "",
            *findings.markdown(),
        ]


def _of_module(module):
    return Experiment(
        module.TITLE,
        module.measure,
        module.table,
        module.findings,
        module.blocks,
    )


def _of_omission(omission):
    return Experiment(
        omitted_report.TITLES[omission.name],
        functools.partial(omitted.measure, omission),
        omitted_report.table,
        omitted_report.findings,
        omitted_report.blocks,
    )


# In the order of `--experiment=all` and of the report.
EXPERIMENTS = {
    "table": _of_module(table),
    "temperatures": _of_module(temperatures),
    "hard_weight": _of_module(hard_weight),
    "omit_3": _of_omission(omitted.OMIT_3),
    "only_7_8": _of_omission(omitted.ONLY_7_8),
    "ensemble": _of_module(ensemble),
    "consistent": _of_module(consistent),
    "logit_matching": _of_module(logit_matching),
}
