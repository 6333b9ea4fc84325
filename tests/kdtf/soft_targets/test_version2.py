"""Stores of format version 2 still open, join and verify.

The three of `version2/` were written from what is made here before version 3
came: views with `top_k`, batches of lengths of their own, and class ids of 32
bits.
"""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import targets
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import manifest
from tests import nets, stores

LENGTHS = (3, 1, 4, 1, 5)


def weights(classes):
    return np.random.default_rng(5).normal(size=(5, classes)).astype("float32")


def linear(classes):
    kernel = weights(classes)
    return lambda x: np.asarray(x) @ kernel


def brighter(x, seed):
    return x + tf.cast(seed[0] + 2 * seed[1], x.dtype)


def clips():
    frames = nets.inputs(sum(LENGTHS))
    starts = np.cumsum((0, *LENGTHS))

    def read():
        for start, length in zip(starts, LENGTHS, strict=False):
            yield frames[start : start + length]

    return tf.data.Dataset.from_generator(
        read, output_signature=tf.TensorSpec([None, nets.FEATURES])
    ).padded_batch(2)


STORES = {
    "views": (
        linear(4),
        stores.dataset(4, 10),
        {"views": 2, "augment": brighter, "top_k": 2, "temperature": 2.0},
    ),
    "lengths": (linear(4), clips(), {"dtype": "float32"}),
    "classes": (
        linear(70_000),
        stores.dataset(3, 5),
        {"top_k": 3, "temperature": 2.0, "shards": 1},
    ),
}

FOLDER = pathlib.Path(__file__).parent / "version2"


@pytest.mark.parametrize("name", STORES)
def test_they_open_join_and_verify(name):
    teacher, data, options = STORES[name]
    store = kdtf.SoftTargets(FOLDER / name)
    assert store._manifest.identity.version == 2
    assert store._manifest.ranges(0) is None
    store.verify()
    for x, *_, y in store.join(data, augment=options.get("augment")):
        expected = stores.relative_logits(teacher, x)
        if "top_k" not in options:
            stored = y["teacher_logits"]
        else:
            order = np.argsort(-expected, axis=-1)[..., : options["top_k"]]
            np.testing.assert_array_equal(y[targets.TOP_KEYS[1]], order)
            expected = np.take_along_axis(expected, order, -1)
            stored = y[targets.TOP_KEYS[0]]
        np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", STORES)
def test_written_again_they_are_there_already(tmp_path, name):
    teacher, data, options = STORES[name]
    for path in (FOLDER / name).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    options = {"fingerprint": "version 2", **options}
    before = stores.contents(tmp_path)
    assert len(stores.write(tmp_path, teacher, data, **options)) in (5, 10)
    with pytest.raises(ValueError, match=r"dtype .* there and bfloat16 now"):
        stores.write(tmp_path, teacher, data, **options | {"dtype": "bfloat16"})
    assert stores.contents(tmp_path) == before


def test_one_that_is_not_finished_is_refused(tmp_path):
    content = kdtf.SoftTargets(FOLDER / "views")._manifest.identity.content()
    path = tmp_path / store_format.UNFINISHED
    path.write_text(manifest._text(content, version=2))
    with pytest.raises(ValueError, match=r"of format version 3: delete it and"):
        stores.write(tmp_path)


@pytest.mark.slow
def test_a_shard_of_version_2_is_none_of_version_3(tmp_path):
    teacher, data, options = STORES["views"]
    options = {"fingerprint": "version 2", **options}
    stores.write(tmp_path, teacher, data, **options)
    (tmp_path / store_format.MANIFEST).unlink()
    identity = kdtf.SoftTargets(FOLDER / "views")._manifest.identity
    manifest.write_identity(tmp_path, identity)  # in the words of version 3
    name = identity.shard(0, 1)
    (tmp_path / name).write_bytes((FOLDER / "views" / name).read_bytes())
    with pytest.raises(ValueError, match=rf"{name}, which was not written"):
        stores.write(tmp_path, teacher, data, **options)
