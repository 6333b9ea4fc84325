"""TFRecord files as numbered examples."""

import gzip

import numpy as np
import pytest
import tensorflow as tf

from tests import beam_runs, nets, stores


def parse(record):
    """`(x, y)` of a record of `write_files`."""
    features = {
        "x": tf.io.FixedLenFeature([nets.FEATURES], tf.float32),
        "y": tf.io.FixedLenFeature([], tf.int64),
    }
    example = tf.io.parse_single_example(record, features)
    return example["x"], example["y"]


def feature(x, y):
    x = tf.train.Feature(float_list=tf.train.FloatList(value=x))
    y = tf.train.Feature(int64_list=tf.train.Int64List(value=[y]))
    features = tf.train.Features(feature={"x": x, "y": y})
    return tf.train.Example(features=features).SerializeToString()


def write_files(folder, sizes=(3, 0, 11, 8)):
    """Files of so many records each, of `stores.dataset`.

    Returns:
      The pattern that matches them.
    """
    x, y = nets.inputs(sum(sizes)), nets.labels(sum(sizes))
    records, done = [feature(*row) for row in zip(x, y, strict=True)], 0
    for index, size in enumerate(sizes):
        path = str(folder / f"part-{index}.tfrecord")
        with tf.io.TFRecordWriter(path) as file:
            for record in records[done:][:size]:
                file.write(record)
        done += size
    return str(folder / "part-*.tfrecord")


def read(pattern):
    """Runs a pipeline that reads, and no more."""
    transform = beam_runs.labelling.ReadNumberedTFRecords(pattern, parse)
    beam_runs.run(lambda pipeline: pipeline | transform)


@pytest.mark.slow
def test_numbers_are_positions_in_the_sorted_files(tmp_path):
    pattern, beam = write_files(tmp_path), beam_runs.beam
    transform = beam_runs.labelling.ReadNumberedTFRecords(pattern, parse)

    def save(found):
        found = sorted(found, key=lambda pair: pair[0])
        numbers, examples = zip(*found, strict=True)
        x, y = map(np.stack, zip(*examples, strict=True))
        np.savez(tmp_path / "found", numbers=numbers, x=x, y=y)

    beam_runs.run(
        lambda pipeline: (
            pipeline | transform | beam.combiners.ToList() | beam.Map(save)
        )
    )
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_array_equal(found["numbers"], np.arange(22))
    np.testing.assert_array_equal(found["x"], nets.inputs(22))
    np.testing.assert_array_equal(found["y"], nets.labels(22))


@pytest.mark.slow
def test_files_become_the_store_of_their_data_set(tmp_path):
    pattern = write_files(tmp_path)
    writing = beam_runs.labelling.WriteNumberedSoftTargets(
        tmp_path / "beam", beam_runs.linear, batch_size=4, shards=3
    )
    reading = beam_runs.labelling.ReadNumberedTFRecords(pattern, parse)
    beam_runs.run(lambda pipeline: pipeline | reading | writing)
    paths = sorted(tf.io.gfile.glob(pattern))
    data = tf.data.TFRecordDataset(paths).map(parse).batch(4)
    data = data.apply(tf.data.experimental.assert_cardinality(6))
    store = stores.write(tmp_path / "alone", data=data)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )
    assert len(stores.read(store.join(data))[0]) == 22


def test_a_pattern_that_matches_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"`file_pattern`.*matches none"):
        read(str(tmp_path / "*.tfrecord"))


def test_a_damaged_file_is_named(tmp_path):
    pattern = write_files(tmp_path)
    path = tmp_path / "part-2.tfrecord"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"`file_pattern`.*part-2\.tfrecord"):
        read(pattern)


def test_a_compressed_file_is_named(tmp_path):
    pattern = write_files(tmp_path)
    path = tmp_path / "part-3.tfrecord"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match=r"uncompressed.*part-3\.tfrecord"):
        read(pattern)


def test_a_record_that_cannot_be_parsed_is_named(tmp_path):
    write_files(tmp_path)
    with tf.io.TFRecordWriter(str(tmp_path / "part-4.tfrecord")) as file:
        file.write(feature(nets.inputs(1)[0], 0))
        file.write(b"something else")
    with pytest.raises(ValueError, match=r"`parse`.*record 1 of .*part-4"):
        read(str(tmp_path / "part-*.tfrecord"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ((b"a*", parse), "`file_pattern` must be a string"),
        (("", parse), "`file_pattern` must be a string"),
        ((["a", "b"], parse), "`file_pattern` must be a string"),
        (("a*", None), "`parse` must be a function"),
    ),
)
def test_arguments_are_refused_before_anything_runs(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_runs.labelling.ReadNumberedTFRecords(*arguments)
