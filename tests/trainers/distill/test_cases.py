"""trainers.distill.cases: other cases are told from these."""

import dataclasses

import numpy as np
import tensorflow as tf

from tests.distill_cases import arrays, data_of
from trainers.distill import cases


def changed(data, split, change):
    """The data with `change` applied to a split's arrays x and labels."""
    x, labels = (each.copy() for each in arrays(getattr(data, split)))
    change(x, labels)
    dataset = tf.data.Dataset.from_tensor_slices((x, labels))
    return dataclasses.replace(data, **{split: cases.Split(dataset, labels)})


def test_a_digest_is_of_all_labels_and_of_x():
    data = data_of("table")
    assert data.digest == data_of("table").digest and len(data.digest) == 12
    found = {data.digest}
    for split in ("train", "held_out", "test"):

        def relabel(x, labels):
            labels[-1] = 2 - labels[-1]

        def move(x, labels):
            x[-1, -1] += 1

        def swap(x, labels):
            x[[0, 1]], labels[[0, 1]] = x[[1, 0]], labels[[1, 0]]

        for change in (relabel, move, swap):
            found.add(changed(data, split, change).digest)
    found.add(dataclasses.replace(data, class_names=tuple("abc")).digest)
    found.add(dataclasses.replace(data, test=data.held_out).digest)
    assert len(found) == 1 + 9 + 2


def test_of_many_training_cases_the_first_are_looked_at():
    data = data_of("table", cases=(2000, 3, 3))

    def move_last(x, labels):
        x[-1] += 1

    def relabel_last(x, labels):
        labels[-1] += 1

    assert changed(data, "train", move_last).digest == data.digest
    assert changed(data, "train", relabel_last).digest != data.digest
    weights = data.train.dataset.map(lambda x, y: (x, y, tf.constant(2.0)))
    train = dataclasses.replace(data.train, dataset=weights)
    assert dataclasses.replace(data, train=train).digest != data.digest
    assert np.array_equal(data.train.labels, train.labels)
