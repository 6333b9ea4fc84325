"""trainers.distill.sources.specs: what flags say of places."""

import pytest

from trainers.distill.sources import specs

DATA = specs.of_data("npz:a.npz")


@pytest.mark.parametrize(
    "given, kind, place",
    (
        ("npz:a.npz", "npz", "a.npz"),
        ("tfds:a/b:train[:5%]", "tfds", "a/b:train[:5%]"),
        ("csv:c:d.csv", "csv", "c:d.csv"),
    ),
)
def test_kind_and_place(given, kind, place):
    spec = specs.of_data(given)
    assert (spec.kind, spec.place) == (kind, place)
    assert str(spec) == f"--data={given}"


@pytest.mark.parametrize("given", ("a.npz", "npz:", "zip:a.zip", ""))
def test_unknown_kinds(given):
    with pytest.raises(ValueError, match=f"tfrecord:GLOB.*--data={given}"):
        specs.of_data(given)


def test_parts():
    assert specs.of_part("test", None, DATA) is None
    assert specs.of_part("test", "0.25", DATA) == 0.25
    assert specs.of_part("test", "npz:b.npz", DATA).place == "b.npz"
    tfds = specs.of_data("tfds:mnist:train")
    own = specs.of_part("held_out", "test[:50%]", tfds)
    assert own.place == "mnist:test[:50%]"
    assert str(own) == "--held_out=test[:50%]"
    assert specs.of_part("test", "tfds:other", tfds).place == "other"


def test_other_cases():
    tfds = specs.of_data("tfds:mnist:train")
    own = specs.of_place("unlabelled_data", "test", tfds)
    assert own.place == "mnist:test" and own.is_unlabelled
    assert not specs.of_part("test", "test", tfds).is_unlabelled
    for given, message in (
        ("0.5", "must be npz:PATH, as --data is"),
        ("npz:a.npz", "must have other cases than --data"),
    ):
        with pytest.raises(ValueError, match=f"--unlabelled_data {message}"):
            specs.of_place("unlabelled_data", given, DATA)


@pytest.mark.parametrize(
    "given, message",
    (
        ("0", "a share between 0 and 1"),
        ("1", "a share between 0 and 1"),
        ("nan", "a share between 0 and 1"),
        ("csv:b.csv", "0.2, or npz:PATH"),
        ("test", "0.2, or npz:PATH"),
        ("npz:a.npz", "other cases than --data"),
    ),
)
def test_parts_that_cannot_be(given, message):
    with pytest.raises(ValueError, match=f"--test must.*{message}.*={given}"):
        specs.of_part("test", given, DATA)
