"""The columns that every table of nets has."""

from trainers.core import pages

HEAD = [
    "errors, mean",
    "95 % interval",
    "a seed",
    "agreement",
    "KL to teacher",
    "NLL",
    "ECE",
]


def of(arm):
    """An arm's cells, from what `evaluation.summarise_arm` returned."""
    return [
        *of_errors(arm),
        f"{arm['agreement']:.2%}",
        f"{arm['fidelity_kl']:.4f}",
        f"{arm['nll']:.4f}",
        f"{arm['ece']:.2%}",
    ]


def of_errors(errors):
    """The first three cells, from `evaluation.summarise_errors`."""
    return [
        f"{errors['mean']:.1f}",
        pages.interval(errors["ci95"], ".1f"),
        ", ".join(str(e) for e in errors["test_errors"]),
    ]
