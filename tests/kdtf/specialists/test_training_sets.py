"""Batches against what they must hold; corrections against exact Bayes."""

import itertools
import math

import h5py
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from kdtf import output_bias
from kdtf.specialists import training_sets
from kdtf.specialists.training_sets import (
    dustbin_correction,
    fitted_dustbin_shift,
    training_set,
)
from tests import reference

COUNTS = [30, 6, 9, 45, 3, 27]  # cases of the classes 0 to 5
OWN = [1, 2, 4]  # 18 of 120 cases


def cases(dtype=np.int64):
    """`(x, y)`: x is the row, so that a batch tells which cases it has."""
    y = np.random.default_rng(3).permutation(np.repeat(range(6), COUNTS))
    return np.arange(len(y)), y.astype(dtype)


def some(data, steps, *, classes=OWN, **options):
    """The first batches, as numpy arrays `[steps, batch, ...]`."""
    options = {"batch_size": 12, "seed": 5, **options}
    batches = training_set(data, classes, **options).take(steps)
    x, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.stack(x), np.stack(labels)


@pytest.mark.parametrize("dtype", (np.int64, np.uint8, np.int32))
def test_labels_are_positions_among_the_classes_and_the_dustbin(dtype):
    x, y = cases(dtype)
    rows, labels = some((x, y), 50)
    positions = {1: 0, 2: 1, 4: 2}
    expected = [positions.get(c, 3) for c in y[rows].ravel().tolist()]
    assert labels.ravel().tolist() == expected
    assert labels.dtype == np.int64 and labels.shape == (50, 12)


def test_labels_follow_the_order_of_the_classes():
    x, y = cases()
    rows, labels = some((x, y), 20, classes=[4, 1, 2])
    positions = {4: 0, 1: 1, 2: 2}
    expected = [positions.get(c, 3) for c in y[rows].ravel().tolist()]
    assert labels.ravel().tolist() == expected
    np.testing.assert_array_equal(rows, some((x, y), 20)[0])


def test_labels_stay_as_they_are_without_a_dustbin():
    x, y = cases()
    rows, labels = some((x, y), 20, dustbin=False)
    np.testing.assert_array_equal(labels, y[rows])
    np.testing.assert_array_equal(rows, some((x, y), 20)[0])


@pytest.mark.parametrize("share", (0.5, 0.3, 0.95, 1 / 3))
def test_every_batch_has_its_due_number_of_own_cases(share):
    _, labels = some(cases(), 70, share=share)
    own = (labels < 3).sum(axis=1)
    assert set(np.abs(own - 12 * share) < 1) == {True}
    np.testing.assert_array_less(np.abs(own.cumsum()[-1] - 840 * share), 1)


def test_both_kinds_come_in_passes_without_replacement():
    x, y = cases()
    rows = some((x, y), 85)[0].ravel()  # 510 of each: 28 passes and 5
    is_own = np.isin(y[rows], OWN)
    for drawn, kind in (
        (rows[is_own], x[np.isin(y, OWN)]),
        (rows[~is_own], x[~np.isin(y, OWN)]),
    ):
        whole = len(drawn) // len(kind)
        passes = drawn[: whole * len(kind)].reshape(whole, -1)
        assert (np.sort(passes, axis=1) == kind).all()
        assert len(np.unique(passes, axis=0)) == whole > 1


def test_every_order_is_as_likely():
    """3 own cases: 6 orders, 2,000 passes, within 4 deviations of each."""
    y = np.array([0, 1, 0, 0, 1, 1, 1])
    rows, _ = some((np.arange(7), y), 1500, classes=[0], batch_size=8)
    own = rows.ravel()[y[rows.ravel()] == 0].reshape(-1, 3)
    _, counts = np.unique(own, axis=0, return_counts=True)
    assert len(own) == 2000 and len(counts) == 6
    deviation = math.sqrt(2000 * 1 / 6 * 5 / 6)
    assert (np.abs(counts - 2000 / 6) < 4 * deviation).all()


@pytest.mark.parametrize("first", (1, 16, 37))
def test_resumes_at_any_step(first):
    data = cases()
    whole, resumed = some(data, 60), some(data, 60 - first, first_step=first)
    for all_of_it, rest in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(all_of_it[first:], rest)


def test_batches_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    data = cases()
    together = some(data, 40)
    monkeypatch.setattr(training_sets, "_BYTES_AT_ONCE", 1)
    for a, b in zip(together, some(data, 40), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_give_other_orders():
    data = cases()
    drawn = [some(data, 10, seed=seed)[0].ravel() for seed in (0, 1, 2**40)]
    for a, b in itertools.combinations(drawn, 2):
        assert (a != b).any()
    np.testing.assert_array_equal(drawn[0], some(data, 10, seed=0)[0].ravel())


def test_is_endless_and_of_static_shapes():
    x = np.zeros((120, 4, 3), np.uint8)
    dataset = training_set((x, cases()[1]), OWN, batch_size=7, seed=0)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    assert dataset.element_spec == (
        tf.TensorSpec((7, 4, 3), tf.uint8),
        tf.TensorSpec((7,), tf.int64),
    )


def test_x_may_be_any_arrays_in_a_structure(tmp_path):
    row, y = cases()
    mapped = np.lib.format.open_memmap(
        tmp_path / "x.npy", "w+", np.float16, (120, 2)
    )
    mapped[:] = row[:, None]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        x = {
            "list": [row, mapped],
            "h5": file.create_dataset("x", data=row),
            "text": np.array([b"%d" % r for r in row], object),
            "tensor": tf.constant(row),
        }
        batches = training_set((x, y), OWN, batch_size=50, seed=0)
        found = next(batches.as_numpy_iterator())[0]
    rows = found["tensor"]
    np.testing.assert_array_equal(found["list"][0], rows)
    np.testing.assert_array_equal(found["list"][1], np.stack([rows, rows], 1))
    np.testing.assert_array_equal(found["h5"], rows)
    assert found["text"].tolist() == [b"%d" % r for r in rows]
    assert isinstance(found["list"], tuple)
    assert found["list"][1].dtype == np.float16


@pytest.mark.parametrize(
    "x, read",
    [
        (np.arange(4, dtype=">i4"), [0, 1, 2, 3]),
        (np.arange(4, dtype=">f8")[::-1], [3, 2, 1, 0]),
        (np.array(["a", "\xe9", "", "b"]), [b"a", b"\xc3\xa9", b"", b"b"]),
        (
            np.array(["\xe9", b"", "c", b"d"], object),
            [b"\xc3\xa9", b"", b"c", b"d"],
        ),
    ],
)
def test_reads_any_byte_order_and_text(x, read):
    y = np.array([0, 1, 0, 1], ">u2")
    batches = training_set((x, y), [1], batch_size=4, seed=0)
    found, labels = next(batches.as_numpy_iterator())
    expected = sorted(zip(read, [1, 0, 1, 0], strict=True))
    assert sorted(zip(found.tolist(), labels.tolist(), strict=True)) == expected


def test_data_are_not_copied():
    """A specialist of a data set that fills memory needs no second one."""
    x, y = cases()
    dataset = training_set((x, y), OWN, batch_size=12, seed=0)
    x[:] = -1
    assert (next(iter(dataset))[0].numpy() == -1).all()


BAD_DATA = [
    (tf.data.Dataset.range(3), "`data` must be a pair.*write_examples"),
    (np.zeros((3, 2)), "`data` must be a pair"),
    ((np.zeros(3),), "`data` must be a pair"),
    ((np.zeros(2), [0.0, 1.0]), "y of `data` must be"),
    ((np.zeros(2), [[0], [1]]), "y of `data` must be"),
    ((np.zeros(2), [0, -1]), "y of `data` must be.*with -1"),
    ((np.zeros(0), np.zeros(0, int)), "y of `data` must be"),
    ((np.zeros(3), [0, 1]), r"x and y of `data`.*\[3\] and 2"),
    (((np.zeros(2), np.zeros(1)), [0, 1]), r"x and y of `data`.*\[2, 1\]"),
    (([[1], [2]], [0, 1]), "x of `data` must be an array"),
    ((np.float32(1), [0, 1]), "x of `data` must be an array"),
    ((np.zeros(2, "M8[s]"), [0, 1]), "x of `data` must be of a dtype"),
    ((np.zeros(2, "i4,f4"), [0, 1]), "x of `data` must be of a dtype"),
    ((np.zeros((2, 0)), [0, 1]), "x of `data` must be an array.*empty"),
    ((np.array(["a", 1], object), [0, 1]), "x of `data` must be strings.*: 1"),
]


@pytest.mark.parametrize("data, message", BAD_DATA)
def test_refuses_data(data, message):
    with pytest.raises(ValueError, match=message):
        training_set(data, [0], batch_size=1, seed=0)


@pytest.mark.parametrize(
    "classes, message",
    [
        ([], "one or more"),
        (3, "one or more"),
        ([[1, 2]], "one or more"),
        ([1.0, 2.0], "one or more"),
        ([True, False], "one or more"),
        ([-1, 2], "from 0 to 5"),
        ([1, 1], "each class once"),
        ([1, 6], r"0 to 5.*Received: classes=\[1, 6\]"),
        (range(6), "leave out some of the 6"),
    ],
)
def test_refuses_classes(classes, message):
    with pytest.raises(ValueError, match=f"`classes` must.*{message}"):
        training_set(cases(), classes, batch_size=1, seed=0)


def test_refuses_classes_without_a_case():
    with pytest.raises(ValueError, match=r"`classes`.*Received: \[1, 3\]"):
        training_set((np.zeros(3), [0, 2, 4]), [0, 1, 3], batch_size=1, seed=0)


@pytest.mark.parametrize(
    "name, values",
    [
        ("share", (0, 1, 0.0, 1.0, -0.1, math.nan, "half", None, True)),
        ("batch_size", (0, -1, 2.0, None, True, 2**31)),
        ("seed", (-1, 0.5, None, True)),
        ("first_step", (-1, 1.5, None, 2**31)),
        ("dustbin", (1, None, "no")),
    ],
)
def test_refuses_other_arguments(name, values):
    for value in values:
        options = {"batch_size": 1, "seed": 0, name: value}
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            training_set(cases(), OWN, **options)


def joint(seed, classes=6, values=7):
    """p(x, c), `[values, classes]`, of a random discrete distribution."""
    return (
        np.random.default_rng(seed)
        .dirichlet(np.full(values * classes, 0.3))
        .reshape(values, classes)
    )


def of_specialist(p, own):
    """Probabilities `[..., classes]` with all others as one, the last."""
    inside = p[..., own]
    outside = np.delete(p, own, axis=-1).sum(-1, keepdims=True)
    return np.concatenate([inside, outside], -1)


@pytest.mark.parametrize("share", (0.5, 0.2, 0.9))
@pytest.mark.parametrize("seed", range(3))
def test_correction_is_exact_for_bayes(seed, share):
    """The posterior under the sampling, corrected, is the natural one."""
    p = joint(seed)
    pi = p[:, OWN].sum()
    sampled = p * (1 - share) / (1 - pi)
    sampled[:, OWN] = p[:, OWN] * share / pi
    assert sampled.sum() == pytest.approx(1)
    logits = np.log(of_specialist(sampled, OWN))  # per x, up to a constant
    logits[:, -1] += dustbin_correction(pi, share)
    natural = of_specialist(p, OWN)
    np.testing.assert_allclose(
        reference.softmax(logits),
        natural / natural.sum(-1, keepdims=True),
        atol=1e-12,
    )


def test_correction_is_that_of_the_batches_drawn():
    """Frequencies of (x, label), weighted back, are the natural ones.

    In 18,000 draws each of a case's two kinds has gone through whole passes:
    9,000 own ones are 500 passes over 18, 9,000 others 88 over 102 and a part.
    """
    row, y = cases()
    x = row % 4  # depends on nothing: a coarse x with all classes in each
    drawn, labels = some((x, y), 1500)
    drawn, labels = drawn.ravel(), labels.ravel()
    places = [OWN.index(c) if c in OWN else 3 for c in y]
    counted, natural = np.zeros((2, 4, 4))
    np.add.at(counted, (drawn, labels), 1)
    np.add.at(natural, (x, places), 1)
    # With p' of the docstring: own cases at share / own, the rest alike.
    weights = np.array([0.5 / 18] * 3 + [0.5 / 102])
    expected = natural * weights * len(labels)
    deviation = np.sqrt(expected * (1 - expected / len(labels)))
    assert (np.abs(counted - expected) <= 4 * deviation + 1e-9).all()
    np.testing.assert_allclose(counted[:, :3], expected[:, :3])
    with np.errstate(divide="ignore"):  # where x and a class never met
        log_posterior = np.log(counted)
    log_posterior[:, 3] += dustbin_correction(np.isin(y, OWN).mean())
    np.testing.assert_allclose(
        reference.softmax(log_posterior),
        natural / natural.sum(-1, keepdims=True),
        atol=0.02,
    )


def test_correction_by_hand():
    assert dustbin_correction(0.04) == pytest.approx(math.log(24), abs=1e-14)
    assert dustbin_correction(0.3, 0.3) == pytest.approx(0, abs=1e-15)
    assert dustbin_correction(0.6) < 0
    tiny = dustbin_correction(np.float32(2**-30), 0.5)
    assert tiny == pytest.approx(math.log(2**30 - 1), abs=1e-13)


@pytest.mark.parametrize("bad", (0, 1, -0.5, 1.5, math.nan, "x", None, False))
def test_correction_refuses_what_is_no_share(bad):
    with pytest.raises(ValueError, match="`own_share` must be"):
        dustbin_correction(bad)
    with pytest.raises(ValueError, match="`share` must be"):
        dustbin_correction(0.5, bad)


def held_out(seed, scale, rows=200):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 4)) * scale
    return logits, rng.choice(4, rows, p=(0.1, 0.2, 0.1, 0.6))


def nll(logits, labels, shift):
    z = logits + np.array([0, 0, 0, shift])
    return -reference.log_softmax(z)[np.arange(len(z)), labels].mean()


@pytest.mark.parametrize("scale", (0.1, 1, 10))
@pytest.mark.parametrize("seed", range(3))
def test_fitted_shift_has_the_least_loss(seed, scale):
    logits, labels = held_out(seed, scale)
    shift = fitted_dustbin_shift(logits, labels)
    best = nll(logits, labels, shift)
    for change in (1e-6, 1e-3, 0.1, 5):
        for sign in (-1, 1):
            other = nll(logits, labels, shift + sign * change)
            assert other >= best - 1e-14
    shares = reference.softmax(logits + np.array([0, 0, 0, shift])).mean(0)
    assert shares[3] == pytest.approx((labels == 3).mean(), abs=1e-14)
    matched = output_bias.match_prior(logits, {3: (labels == 3).mean()})[3]
    assert shift == pytest.approx(matched, abs=1e-6)


def test_fitted_shift_in_closed_form():
    """Where all odds are o, the shift is log(share / (1 - share)) - log o."""
    logits = np.tile([2.0, -1.0, 0.5], (10, 1)).astype(np.float32)
    odds = math.exp(0.5) / (math.exp(2) + math.exp(-1))
    labels = np.array([2, 2, 2, 0, 1, 0, 0, 1, 1, 1], np.uint8)
    expected = math.log(3 / 7) - math.log(odds)
    assert fitted_dustbin_shift(logits, labels) == pytest.approx(
        expected, abs=1e-14
    )


@pytest.mark.parametrize("gap", (1e2, 1e5))
def test_fitted_shift_where_the_loss_is_flat(gap):
    """Odds +-gap, half of each: by symmetry the minimum is at 0."""
    logits = [[0, gap], [0, gap], [gap, 0], [gap, 0]]
    assert fitted_dustbin_shift(logits, [1, 1, 0, 0]) == pytest.approx(
        0, abs=1e-9 * gap
    )


def test_fitted_shift_undoes_the_sampling():
    """On exact logits of natural cases it is the correction itself."""
    x_and_class = np.random.default_rng(0).choice(
        42, 40_000, p=joint(1).ravel()
    )
    x, c = np.divmod(x_and_class, 6)
    natural = np.zeros((7, 6))
    np.add.at(natural, (x, c), 1)
    pi = np.isin(c, OWN).mean()
    sampled = of_specialist(natural, OWN) * [*[0.7 / pi] * 3, 0.3 / (1 - pi)]
    labels = np.array([OWN.index(k) if k in OWN else 3 for k in c])
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(sampled), -800)  # for classes never seen
    shift = fitted_dustbin_shift(logits[x], labels)
    assert shift == pytest.approx(dustbin_correction(pi, 0.7), abs=1e-12)


@pytest.mark.parametrize(
    "logits, labels, message",
    [
        ([[0.0, 1.0]], [0], "`labels` must hold cases.*0 of the dustbin"),
        ([[0.0, 1.0]], [1], "`labels` must hold cases.*1 of the dustbin"),
        ([[0.0, 1.0]], [2], "`labels` must hold one integer from 0 to 1"),
        ([[0.0, 1.0]], [-1], "`labels` must hold one integer"),
        ([[0.0, 1.0]], [1.0], "`labels` must hold one integer"),
        ([[0.0, 1.0]], [0, 1], "`labels` must hold one integer"),
        ([0.0, 1.0], [0, 1], "`logits` must be finite"),
        ([[0.0], [1.0]], [0, 0], "`logits` must be finite"),
        ([[0.0, np.nan]], [0], "`logits` must be finite"),
        ([[0.0, np.inf]], [0], "`logits` must be finite"),
        (np.zeros((0, 3)), np.zeros(0, int), "`labels` must hold cases"),
    ],
)
def test_fitted_shift_refuses(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        fitted_dustbin_shift(logits, labels)


class Column:
    """As a `pandas.Series`, whose brackets take labels, and not places."""

    def __init__(self, values, labels):
        self._values, self._labels = values, labels
        self.shape, self.dtype = values.shape, values.dtype
        self.iloc = values

    def __array__(self, dtype=None, copy=None):
        return self._values

    def __getitem__(self, labels):
        return self._values[[self._labels.index(label) for label in labels]]


def test_a_column_of_shuffled_rows_is_read_by_place():
    row, y = cases()
    labels = np.random.default_rng(0).permutation(len(row)).tolist()
    batches = training_set(
        (Column(row, labels), y), OWN, batch_size=60, seed=0, dustbin=False
    )
    rows, classes = next(batches.as_numpy_iterator())
    np.testing.assert_array_equal(classes, y[rows])


@pytest.mark.parametrize(
    "kind", (scipy.sparse.csr_matrix, scipy.sparse.csc_array)
)
def test_sparse_arrays_are_refused(kind):
    x = kind(np.eye(120, dtype=np.float32))
    with pytest.raises(ValueError, match=r"x of `data` must be dense.*toarray"):
        training_set((x, cases()[1]), OWN, batch_size=4, seed=0)
