"""trainers.specialists.datasets."""

import dataclasses

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.specialists import datasets


def test_spread_cases_have_all_classes_in_every_part():
    data = runs.data()
    by_class = np.argsort(data.train_labels, kind="stable")
    given = dataclasses.replace(
        data,
        train_images=data.train_images[by_class],
        train_labels=data.train_labels[by_class],
    )
    found = datasets.spread(given)
    for begin in range(0, len(found.train_labels), runs.CLASSES):
        some = found.train_labels[begin : begin + runs.CLASSES]
        np.testing.assert_array_equal(some, np.arange(runs.CLASSES))
    # Each case keeps its label, and those of a class keep their order.
    for own in range(runs.CLASSES):
        np.testing.assert_array_equal(
            found.train_images[found.train_labels == own],
            given.train_images[given.train_labels == own],
        )


def test_classes_of_different_sizes_are_spread_too():
    labels = np.array([2, 2, 2, 0, 1, 1])
    images = np.arange(6)[:, None, None]
    given = dataclasses.replace(
        runs.data(), train_images=images, train_labels=labels
    )
    found = datasets.spread(given)
    assert found.train_labels.tolist() == [0, 1, 2, 1, 2, 2]
    assert found.train_images.ravel().tolist() == [3, 4, 0, 5, 1, 2]


def test_settings_that_fit():
    datasets.check(runs.settings(), runs.data(), few=True)


@pytest.mark.parametrize(
    "given, message",
    (
        ({"size": 6}, r"--size must be less than half .*, 12: .*--size=6"),
        (
            {"specialists": 7},
            "--specialists must be at most half .* 12: .*--specialists=7",
        ),
        ({"batch_size": 61}, "--batch_size must be .* 60. .*batch_size=61"),
        (
            {"train_cases": 179},
            "--train_cases must be at least 15 a class, 180. .*_cases=179",
        ),
        (
            {"few": 0.04, "batch_size": 4},
            # 10 cases: two of twelve classes have none.
            "--few must leave a training case of every class.*few=0.04",
        ),
    ),
)
def test_settings_that_do_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        datasets.check(runs.settings(**given), runs.data(), few=True)


def test_few_cases_matter_to_experiments_that_use_them():
    settings = runs.settings(few=0.04, batch_size=4)
    datasets.check(settings, runs.data(), few=False)


def test_a_class_without_a_training_case():
    data = runs.data()
    labels = np.where(data.train_labels == 3, 4, data.train_labels)
    data = dataclasses.replace(data, train_labels=labels)
    settings = dataclasses.replace(runs.settings(), dataset="cifar100")
    with pytest.raises(
        ValueError, match=r"--dataset must.*cifar100, none of 1"
    ):
        datasets.check(settings, data, few=False)
