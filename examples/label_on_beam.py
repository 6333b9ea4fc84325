"""Labels TFRecord files with a teacher, on Apache Beam.

Out of the box it makes a tiny teacher and four files of its own, and labels
them in two processes of this machine, in about 20 seconds:

    python examples/label_on_beam.py --directory=runs/label_on_beam

Started again it finds the soft targets and returns at once. With your own
teacher and data:

    python examples/label_on_beam.py --directory=/shared/label_on_beam \\
        --teacher=/shared/teacher.keras --files='/shared/train-*.tfrecord'

where `parse` is to be changed to what the records hold. All other flags are
Beam's: `--runner=DataflowRunner`, `FlinkRunner` or `SparkRunner` with theirs
run the same on a cluster whose machines all see these paths.
"""

import argparse
import pathlib
import shlex
import sys

import apache_beam as beam
import keras
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

import kdtf
import kdtf.beam

FEATURES, CLASSES = 16, 10
# On this machine. DirectRunner would try to download another runner, Prism.
TWO_PROCESSES = (
    "--runner=FnApiRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=2",
)


def parse(record):
    """A record as `(x, y)`: for labelling, and for the student's data."""
    features = {
        "x": tf.io.FixedLenFeature([FEATURES], tf.float32),
        "y": tf.io.FixedLenFeature([], tf.int64),
    }
    example = tf.io.parse_single_example(record, features)
    return example["x"], example["y"]


def label(teacher, files, directory, batch_size, beam_flags):
    """Writes the soft targets, and returns Beam's counters of it.

    Args:
      teacher: path of a `.keras` file.
      files: pattern of TFRecord files.
      directory: path of the soft targets.
      batch_size: int.
      beam_flags: list of str.

    Returns:
      Dict from a counter's name to int.
    """
    pipeline = beam.Pipeline(options=PipelineOptions(beam_flags))
    numbered = pipeline | kdtf.beam.ReadNumberedTFRecords(files, parse)
    _ = numbered | kdtf.beam.WriteNumberedSoftTargets(
        directory,
        lambda: keras.saving.load_model(teacher),
        batch_size=batch_size,
    )
    result = pipeline.run()
    result.wait_until_finish()
    named = beam.metrics.MetricsFilter().with_namespace("kdtf.beam")
    counters = result.metrics().query(named)["counters"]
    return {found.key.metric.name: found.committed for found in counters}


def student_data(files, directory):
    """The files joined with their soft targets, for `Distiller.fit`."""
    paths = sorted(tf.io.gfile.glob(files))
    dataset = tf.data.TFRecordDataset(paths).map(parse)
    return kdtf.SoftTargets(directory).join(dataset)


def make_teacher(path):
    """A net with random weights."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((FEATURES,)), keras.layers.Dense(64, "relu")]
    keras.Sequential([*layers, keras.layers.Dense(CLASSES)]).save(path)


def make_files(folder):
    """Four files of 250 records each."""
    rng = np.random.default_rng(0)
    for index in range(4):
        with tf.io.TFRecordWriter(f"{folder}/train-{index}.tfrecord") as file:
            for x in rng.normal(size=(250, FEATURES)):
                y = int(rng.integers(CLASSES))
                file.write(_record(x, y))


def _record(x, y):
    features = {
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=x)),
        "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[y])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--directory", required=True, help="for all that is made"
    )
    parser.add_argument("--teacher", help="path of a .keras file")
    parser.add_argument("--files", help="pattern of TFRecord files")
    parser.add_argument("--batch_size", type=int, default=256)
    flags, beam_flags = parser.parse_known_args(arguments)
    # Beam starts the processes of this machine through a shell, and would wait
    # for ever for those of a path with a space.
    sys.executable = shlex.quote(sys.executable)
    folder = pathlib.Path(flags.directory)
    folder.mkdir(parents=True, exist_ok=True)
    teacher = flags.teacher or str(folder / "teacher.keras")
    if not flags.teacher and not pathlib.Path(teacher).exists():
        make_teacher(teacher)
    files = flags.files or str(folder / "train-*.tfrecord")
    if not flags.files and not tf.io.gfile.glob(files):
        make_files(folder)
    counters = label(
        teacher,
        files,
        folder / "soft_targets",
        flags.batch_size,
        beam_flags or TWO_PROCESSES,
    )
    for name, count in sorted(counters.items()):
        print(f"{name}: {count}")
    if not counters:
        print("All soft targets were there already.")
    x, targets = next(
        iter(student_data(files, folder / "soft_targets").batch(4))
    )
    logits = targets["teacher_logits"]
    print(
        f"x {x.shape}, labels {targets['labels'].shape}, logits {logits.shape}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
