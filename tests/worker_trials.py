"""One of several workers that is led into an error, or killed.

    python -m tests.worker_trials --case=other_epochs --folder=DIR \
        --cluster=a:1,b:2 --index=0
"""

import argparse
import json
import os
import pathlib
import time
import warnings

import keras
import numpy as np
import tensorflow as tf

import kdtf
from tests import nets, stores

ROWS, EPOCHS = 24, 6
METHODS = {  # and what a callback's method at its end is called in Keras
    "fit": "on_train_end",
    "evaluate": "on_test_end",
    "predict": "on_predict_end",
}


def distiller_of(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        distiller = kdtf.Distiller(
            nets.linear(0), nets.linear(7), temperature=2.0
        )
        distiller.compile(keras.optimizers.Adam(0.01))
    return distiller


def fit(strategy, **arguments):
    given = {
        "x": nets.inputs(ROWS),
        "y": nets.labels(ROWS),
        "batch_size": 8,
        "epochs": 1,
        "verbose": 0,
    }
    distiller = distiller_of(strategy)
    distiller.fit(**{**given, **arguments})
    return distiller


def other_epochs(strategy, index, folder):
    fit(strategy, epochs=1 + index)


def other_data(strategy, index, folder):
    fit(strategy, x=nets.inputs(ROWS, seed=index))


def other_order(strategy, index, folder):
    """Shuffled, without a seed that both have."""
    tf.random.set_seed(index)
    distiller = distiller_of(strategy)
    tf.random.set_seed(index)
    distiller.fit(nets.inputs(ROWS), nets.labels(ROWS), verbose=0)


def other_temperature(strategy, index, folder):
    distiller = distiller_of(strategy)
    distiller.temperature.assign(2.0 + index)
    distiller.fit(nets.inputs(ROWS), nets.labels(ROWS), verbose=0)


def other_method(strategy, index, folder):
    distiller = distiller_of(strategy)
    method = distiller.evaluate if index else distiller.fit
    method(nets.inputs(ROWS), nets.labels(ROWS), verbose=0)


def other_teacher(strategy, index, folder):
    keras.utils.set_random_seed(0)
    # In the scope all would have the weights of the first worker's.
    teacher = nets.linear(7 + index)
    with strategy.scope():
        distiller = kdtf.Distiller(nets.linear(0), teacher, temperature=2.0)
        distiller.compile("sgd")
    distiller.fit(nets.inputs(ROWS), nets.labels(ROWS), verbose=0)


def predicted_by_file(strategy, index, folder):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.FILE
    )
    batches = tf.data.Dataset.from_tensor_slices(nets.inputs(ROWS)).batch(8)
    distiller_of(strategy).predict(batches.with_options(options), verbose=0)


def a_generator(strategy, index, folder):
    fit(strategy, x=(nets.inputs(4) for _ in range(2)), y=None)


def not_sharded(strategy, index, folder):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    batches = tf.data.Dataset.from_tensor_slices(nets.inputs(ROWS)).batch(8)
    fit(strategy, x=batches.with_options(options), y=None)


def other_backups(strategy, index, folder):
    """A folder for each worker, of which one is an epoch ahead."""
    own = folder / f"backup-{index}"
    if index:
        alone = kdtf.Distiller(nets.linear(0), nets.linear(7), temperature=2.0)
        alone.compile(keras.optimizers.Adam(0.01))
        keep = kdtf.callbacks.BackupAndRestore(own, delete_checkpoint=False)
        alone.fit(nets.inputs(ROWS), epochs=1, verbose=0, callbacks=[keep])
    backup = kdtf.callbacks.BackupAndRestore(own)
    fit(strategy, epochs=EPOCHS, callbacks=[backup])


def killed(strategy, index, folder):
    """Tells of every epoch that has ended; ends with the student's weights."""
    backup = kdtf.callbacks.BackupAndRestore(folder / "backup")

    def tell(epoch, logs):
        if index == 0:
            (folder / "epoch").write_text(str(epoch))

    teller = keras.callbacks.LambdaCallback(on_epoch_end=tell)
    distiller = fit(strategy, epochs=EPOCHS, callbacks=[backup, teller])
    np.savez(folder / f"weights-{index}.npz", *nets.values(distiller.student))


def ends_late(strategy, index, folder):
    """Worker 1 comes to the end of each run later; each tells when it left."""
    distiller = distiller_of(strategy)
    x, y = nets.inputs(ROWS), nets.labels(ROWS)
    for method in METHODS:

        def wait(logs, method=method):
            if index == 0:
                (folder / f"{method}-first").touch()
                return
            while not (folder / f"{method}-first").exists():
                time.sleep(0.01)
            time.sleep(1)
            (folder / f"{method}-came").write_text(str(time.monotonic()))

        late = keras.callbacks.LambdaCallback(**{METHODS[method]: wait})
        data = (x,) if method == "predict" else (x, y)
        getattr(distiller, method)(*data, verbose=0, callbacks=[late])
        left = time.monotonic()
        (folder / f"{method}-left-{index}").write_text(str(left))


def own_data(strategy, index, folder):
    """Each worker reads rows of its own: 16 of one, 8 of the other."""

    def read(context):
        i = context.input_pipeline_id
        x, y = nets.inputs(ROWS), nets.labels(ROWS)
        part = slice(0, 16) if i == 0 else slice(16, ROWS)
        return tf.data.Dataset.from_tensor_slices((x[part], y[part])).batch(16)

    distiller = distiller_of(strategy)
    distiller.fit(strategy.distribute_datasets_from_function(read), verbose=0)
    np.savez(folder / f"weights-{index}.npz", *nets.values(distiller.student))


def own_shards(strategy, index, folder):
    """Each worker reads its own shards of a store."""
    store = kdtf.SoftTargets(folder / "store")

    def read(context):
        return store.join(
            stores.of_range,
            shard_index=context.input_pipeline_id,
            shard_count=context.num_input_pipelines,
        ).batch(4)

    keras.utils.set_random_seed(0)
    with strategy.scope():
        distiller = kdtf.Distiller(nets.linear(0), temperature=2.0)
        distiller.compile(keras.optimizers.Adam(0.01))
    data = strategy.distribute_datasets_from_function(read)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        distiller.fit(data, epochs=2, verbose=0)
    np.savez(folder / f"weights-{index}.npz", *nets.values(distiller.student))


CASES = {
    case.__name__: case
    for case in (
        other_epochs,
        other_data,
        other_order,
        other_temperature,
        other_method,
        other_teacher,
        predicted_by_file,
        a_generator,
        not_sharded,
        other_backups,
        killed,
        ends_late,
        own_data,
        own_shards,
    )
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases")
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--cluster")
    parser.add_argument("--index", type=int)
    given = parser.parse_args()
    os.environ["TF_CONFIG"] = json.dumps(
        {
            "cluster": {"worker": given.cluster.split(",")},
            "task": {"type": "worker", "index": given.index},
        }
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for case in given.cases.split(","):
        try:
            CASES[case](strategy, given.index, given.folder)
            found = "nothing was raised"
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        (given.folder / f"{case}-{given.index}").write_text(found)


if __name__ == "__main__":
    main()
