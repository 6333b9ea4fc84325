"""The experiments of `trainers.mnist`: one module each, listed here."""

import functools

from trainers.core.sections import Experiment, of_module
from trainers.mnist import (
    choice,
    consistent,
    convolutional,
    ensemble,
    few_labels,
    few_labels_report,
    few_labels_weight,
    hard_weight,
    logit_matching,
    omitted,
    omitted_report,
    table,
    temperatures,
)


def _of_omission(omission):
    return Experiment(
        omitted_report.TITLES[omission.name],
        functools.partial(omitted.measure, omission),
        omitted_report.table,
        omitted_report.findings,
        omitted_report.details,
        omitted_report.introduction,
    )


def _of_choice(title, every):
    return Experiment(
        title,
        functools.partial(choice.measure, every),
        choice.table,
        choice.findings,
        choice.details,
        in_all=False,  # of held-out cases alone
    )


# In the order of `--experiment=all`.
EXPERIMENTS = {
    "table": of_module(table),
    "temperatures": of_module(temperatures),
    "hard_weight": of_module(hard_weight),
    "omit_3": _of_omission(omitted.OMIT_3),
    "only_7_8": _of_omission(omitted.ONLY_7_8),
    "ensemble": of_module(ensemble),
    "consistent": of_module(consistent),
    "convolutional": of_module(convolutional),
    "logit_matching": of_module(logit_matching),
    "few_labels": Experiment(
        few_labels_report.TITLE,
        few_labels.measure,
        few_labels_report.table,
        few_labels_report.findings,
        few_labels_report.details,
        few_labels_report.introduction,
    ),
    "few_labels_weight": of_module(few_labels_weight),
    "choice": _of_choice("The choice of settings", choice.OF_TABLE),
    "convolutional_choice": _of_choice(
        "The choice of settings, convolutional teachers",
        choice.OF_CONVOLUTIONAL,
    ),
}
