"""trainers.distill.sources.epochs: batches as a function of the step."""

import numpy as np
import pytest
import tensorflow as tf

from trainers.distill.sources import epochs

CASES, SIZE = 11, 4  # two batches an epoch, three cases left over
KINDS = ("stream", "memory")


def source(kind, first=0):
    """Cases (k, label and logits of k)."""
    numbers = np.arange(first, first + CASES, dtype=np.float32)
    dataset = tf.data.Dataset.from_tensor_slices(
        (
            numbers[:, None],
            {"labels": numbers.astype(np.int32), "teacher_logits": -numbers},
        )
    )
    if kind == "memory":
        return epochs.loaded(dataset, cases=CASES)
    return dataset


def steps(given, first=0, last=6, seed=0, **options):
    made = epochs.batches(
        given,
        cases=CASES,
        batch_size=SIZE,
        seed=seed,
        first_step=first,
        last_step=last,
        **options,
    )
    assert made.cardinality() == last - first
    found = []
    for x, y in made.as_numpy_iterator():
        assert x.shape == (SIZE, 1)
        if "augment" not in options:
            np.testing.assert_array_equal(x[:, 0], y["labels"])
        np.testing.assert_array_equal(-y["teacher_logits"], y["labels"])
        found.append(y["labels"].tolist() if "augment" not in options else x)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_orders(kind):
    found = np.array(steps(source(kind), last=40))
    assert found.shape == (40, SIZE)
    passes = found.reshape(20, -1)
    assert all(len(set(some)) == 8 for some in passes.tolist())
    assert len({tuple(some) for some in passes.tolist()}) == 20
    # Whoever sits an epoch out is in the next ones.
    assert set(found.ravel()) == set(range(CASES))
    assert steps(source(kind), seed=1) != steps(source(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_anywhere(kind):
    whole = steps(source(kind))
    for first in (1, 2, 5):
        assert steps(source(kind), first) == whole[first:]
    # Whatever seeds the program itself has.
    tf.random.set_seed(7)
    assert steps(source(kind), 2, 5) == whole[2:5]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_views(kind):
    """An epoch shows one of them, in the order that it has anyhow."""
    views = [source(kind), source(kind, 100), source(kind, 200)]
    whole = np.array(steps(views, last=14))
    expected = np.repeat([0, 1, 2, 0, 1, 2, 0], 2)
    np.testing.assert_array_equal(whole[:, 0] // 100, expected)
    np.testing.assert_array_equal(whole % 100, steps(source(kind), last=14))
    for first in (3, 6, 13):
        assert steps(views, first, 14) == whole[first:].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_augmentation(kind):
    """Others for every case and epoch, and the same again."""

    def augment(x, seed):
        return x + tf.random.stateless_uniform([1], seed, 0.0, 0.5)

    whole = steps(source(kind), augment=augment)
    np.testing.assert_array_equal(np.floor(whole)[..., 0], steps(source(kind)))
    drawn = np.ravel(whole) % 1
    assert len(set(drawn)) == len(drawn)
    for first in (1, 2, 3):
        np.testing.assert_array_equal(
            steps(source(kind), first, augment=augment), whole[first:]
        )


def test_a_buffer_smaller_than_the_data():
    """Cases are shuffled with those near to them, all of them seen."""
    dataset = tf.data.Dataset.range(100)
    made = epochs.batches(
        dataset,
        cases=100,
        batch_size=10,
        seed=0,
        first_step=0,
        last_step=10,
        buffer_bytes=8 * 5,
    )
    found = np.concatenate(list(made.as_numpy_iterator()))
    assert sorted(found) == list(range(100))
    assert found.tolist() != list(range(100))
    # A case may come late, but no more than 4 places too early.
    assert (found - np.arange(100)).max() <= 4


def test_what_is_loaded():
    dataset = tf.data.Dataset.range(10).map(lambda k: (k, 2 * k))
    kept = epochs.loaded(dataset, cases=10, most_bytes=160)
    assert isinstance(kept, epochs.Loaded)
    np.testing.assert_array_equal(kept.tensors[1], 2 * np.arange(10))
    assert list(kept.dataset.as_numpy_iterator())[3] == (3, 6)
    assert epochs.loaded(dataset, cases=10, most_bytes=159) is dataset
    unknown = tf.data.Dataset.from_generator(
        lambda: iter(np.zeros((10, 3), np.float32)),
        output_signature=tf.TensorSpec([None], tf.float32),
    )
    assert epochs.loaded(unknown, cases=10, most_bytes=119) is unknown
    assert epochs.loaded(unknown, cases=10).tensors.shape == (10, 3)


def test_fewer_cases_than_a_batch():
    with pytest.raises(ValueError, match=r"^--batch_size.*cases, 3.*=4"):
        epochs.steps_per_epoch(3, 4)
    assert epochs.steps_per_epoch(11, 4) == 2


@pytest.mark.parametrize("most_bytes", (0, 2**20))
def test_views_come_one_after_another(most_bytes):
    """In memory or not, and a function of them is one of all their cases."""
    x = np.arange(12, dtype=np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((x, -x))
    views = epochs.loaded_views(
        dataset, cases=4, views=3, most_bytes=most_bytes
    )
    assert len(views) == 3
    for number, view in enumerate(views):
        is_loaded = isinstance(view, epochs.Loaded)
        assert is_loaded == (most_bytes > 0)
        doubled = epochs.mapped(view, lambda x, y: (2 * x, y))
        found = doubled.dataset if is_loaded else doubled
        found = [tuple(each) for each in found.as_numpy_iterator()]
        own = x[4 * number : 4 * number + 4]
        assert found == list(zip(2 * own, -own, strict=True))
