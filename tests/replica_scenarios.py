"""What must be the same on several replicas as in one process.

Each scenario trains a student, and returns all that came of it. A process
compares the scenarios under a strategy with the same ones without:

    python -m tests.replica_scenarios --result=FILE --mirrored=4
    python -m tests.replica_scenarios --result=FILE --cluster=a:1,b:2 --index=0
"""

import argparse
import contextlib
import json
import os
import pathlib
import tempfile
import traceback
import warnings

import keras
import numpy as np
import tensorflow as tf

import kdtf
from tests import nets

# No multiple of any number of replicas; the last batch of 80 leaves some of
# them without a row.
ROWS, BATCH = 82, 15


def data(rows=ROWS):
    """Inputs, labels of which some are missing, and sample weights."""
    x, y = nets.inputs(rows), nets.labels(rows, unlabelled=range(0, rows, 7))
    return x, y, np.random.default_rng(3).uniform(0, 2, rows).astype("float32")


def student(*middle):
    return keras.Sequential(
        [
            keras.Input((nets.FEATURES,)),
            keras.layers.Dense(
                6,
                "tanh",
                kernel_initializer=keras.initializers.GlorotUniform(1),
                kernel_regularizer=keras.regularizers.L2(0.01),
            ),
            *middle,
            keras.layers.Dense(
                nets.CLASSES,
                kernel_initializer=keras.initializers.GlorotUniform(2),
            ),
        ]
    )


def trained(*args, **kwargs):
    """All that came of a training, as a dict of arrays."""
    return fitted(*args, **kwargs)[0]


def fitted(
    scope,
    teacher,
    *,
    net=student,
    optimizer=lambda: keras.optimizers.Adam(0.01),
    steps_per_execution=1,
    run_eagerly=False,
    x=None,
    y=None,
    **fit,
):
    """Trains in a scope; returns what `trained` does, and the Distiller."""
    given_x, given_y, weights = data()
    with scope:
        distiller = kdtf.Distiller(net(), teacher, temperature=2.0)
        distiller.compile(
            optimizer(),
            metrics=["accuracy", kdtf.metrics.Agreement(name="agree")],
            weighted_metrics=[kdtf.metrics.NegativeLogLikelihood()],
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
            jit_compile=False,
        )
    if x is None:
        x, y = given_x, given_y
        fit = {"batch_size": BATCH, "sample_weight": weights, **fit}
    fit = {"epochs": 2, "verbose": 0, "shuffle": False, **fit}
    history = distiller.fit(x, y, **fit).history
    found = {
        f"weight {i}": v for i, v in enumerate(nets.values(distiller.student))
    }
    found |= {
        f"optimizer {i}": v.numpy()
        for i, v in enumerate(distiller.optimizer.variables)
    }
    found |= {f"epochs' {name}": np.array(v) for name, v in history.items()}
    return found, distiller


def _plain(scope):
    x, y, weights = data()
    found, distiller = fitted(
        scope, nets.deep(7), validation_data=(x, y, weights)
    )
    results = distiller.evaluate(x, y, BATCH, verbose=0, return_dict=True)
    found |= {f"evaluated {name}": v for name, v in results.items()}
    return {**found, "predicted": distiller.predict(x, BATCH, verbose=0)}


def _data_sets(scope):
    batches = tf.data.Dataset.from_tensor_slices(data()).batch(BATCH)
    return trained(
        scope, nets.deep(7), x=batches, validation_data=batches.take(3)
    )


def _many_steps(scope):
    return trained(scope, nets.deep(7), steps_per_execution=4)


def _few_rows(scope):
    """A last batch of two rows."""
    return trained(scope, nets.deep(7), batch_size=80)


def _ensemble(scope):
    members = [nets.deep(7), nets.linear(8)]
    return trained(scope, kdtf.Ensemble(members, combine="arithmetic"))


def _specialists(scope):
    generalist = nets.deep(7)
    each = [
        kdtf.specialists.specialist_of(generalist, classes)
        for classes in ((0, 1), (2, 3))
    ]
    return trained(scope, kdtf.specialists.SpecialistEnsemble(generalist, each))


def _class_weights(scope):
    weights = {0: 3.0, 2: 0.5}
    return trained(scope, nets.deep(7), class_weight=weights)


def _one_norm_of_all_gradients(scope):
    def optimizer():
        return keras.optimizers.SGD(0.5, global_clipnorm=0.01)

    return trained(scope, nets.deep(7), optimizer=optimizer)


def _infinite_gradients(scope):
    """Those of one row overflow: all replicas must leave out such a step."""
    weights = data()[2]
    weights[3] = 1000

    def optimizer():
        return keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(0.01), initial_scale=2.0**127
        )

    found = trained(
        scope, nets.deep(7), optimizer=optimizer, sample_weight=weights
    )
    assert found["optimizer 3"] < 2.0**127, "no step overflowed"
    return found


def _half_precision(scope):
    """Sums of other parts round otherwise: it is compared to 1 in 100."""

    def net():
        keras.config.set_dtype_policy("mixed_float16")
        try:
            return student()
        finally:
            keras.config.set_dtype_policy("float32")

    return trained(scope, nets.deep(7), net=net)


def _averaged_weights(scope):
    def optimizer():
        return keras.optimizers.Adam(0.01, use_ema=True, weight_decay=0.01)

    return trained(scope, nets.deep(7), optimizer=optimizer)


def _synchronized_statistics(scope):
    def net():
        return student(keras.layers.BatchNormalization(synchronized=True))

    return trained(scope, nets.deep(7), net=net, batch_size=80)


def _masked_frames(scope):
    x = np.random.default_rng(4).normal(size=(ROWS, 6, nets.FEATURES))
    for row, length in enumerate(np.arange(ROWS) % 7):
        x[row, length:] = 0  # also rows without a frame
    y = np.random.default_rng(5).integers(-1, nets.CLASSES, (ROWS, 6))

    def net():
        return keras.Sequential(
            [
                keras.Input((None, nets.FEATURES)),
                keras.layers.Masking(),
                keras.layers.Dense(
                    nets.CLASSES,
                    kernel_initializer=keras.initializers.GlorotUniform(2),
                ),
            ]
        )

    with scope:
        distiller = kdtf.Distiller(net(), net(), temperature=2.0)
        distiller.compile("adam", metrics=["accuracy"], jit_compile=False)
    history = distiller.fit(
        x.astype("float32"), y, batch_size=80, shuffle=False, verbose=0
    ).history
    return {
        **{n: np.array(v) for n, v in history.items()},
        "kernel": nets.values(distiller.student)[0],
    }


def _embeddings(scope):
    """Inputs in a dict; gradients of the rows of a table that are used."""
    x, y, _ = data()
    words = np.random.default_rng(6).integers(0, 9, (ROWS, 3))

    def net(seed):
        uniform = keras.initializers.RandomUniform
        first = keras.Input((3,), name="words", dtype="int64")
        second = keras.Input((nets.FEATURES,), name="features")
        embedded = keras.layers.Embedding(
            9, 4, embeddings_initializer=uniform(seed=seed)
        )(first)
        together = keras.layers.Concatenate()(
            [keras.layers.Flatten()(embedded), second]
        )
        outputs = keras.layers.Dense(
            nets.CLASSES, kernel_initializer=uniform(seed=seed)
        )(together)
        return keras.Model({"words": first, "features": second}, outputs)

    return trained(
        scope,
        net(1),
        net=lambda: net(2),
        optimizer=lambda: keras.optimizers.Adam(0.01, clipnorm=0.01),
        x={"words": words, "features": x},
        y=y,
        batch_size=80,
    )


def _labels_of_unknown_rank(scope):
    def hidden(x, y, weights):
        return x, tf.py_function(lambda labels: labels, [y], tf.int32), weights

    batches = tf.data.Dataset.from_tensor_slices(data()).batch(BATCH)
    return trained(scope, nets.deep(7), x=batches.map(hidden))


def _eager(scope):
    return trained(
        scope, nets.deep(7), run_eagerly=True, batch_size=80, epochs=1
    )


def _stored_targets(scope):
    x, y, weights = data()
    batches = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(BATCH)
    with tempfile.TemporaryDirectory() as folder:
        store = kdtf.SoftTargets.write(
            pathlib.Path(folder, "store"), nets.deep(7), batches, verbose=0
        )
        joined = store.join(batches)
        return trained(scope, None, x=joined, validation_data=joined)


def _one_batch(scope):
    x, y, weights = data(3)
    with scope:
        distiller = kdtf.Distiller(student(), nets.deep(7), temperature=2.0)
        distiller.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    logs = distiller.train_on_batch(x, y, weights, return_dict=True)
    tested = distiller.test_on_batch(x, y, return_dict=True)
    return {
        **{
            f"weight {i}": v
            for i, v in enumerate(nets.values(distiller.student))
        },
        **logs,
        **{f"tested {name}": v for name, v in tested.items()},
    }


def _sigmoid(scope):
    x, _, weights = data()
    y = np.random.default_rng(5).integers(-1, 2, (ROWS, nets.CLASSES))
    with scope:
        distiller = kdtf.Distiller(
            student(), nets.deep(7), temperature=2.0, head="sigmoid"
        )
        distiller.compile("adam", metrics=["accuracy"], jit_compile=False)
    history = distiller.fit(
        x, y, sample_weight=weights, batch_size=80, shuffle=False, verbose=0
    ).history
    return {n: np.array(v) for n, v in history.items()}


def _several_outputs(scope):
    """Of a row and of each of its frames, some of which are masked."""
    x, y, weights = data()
    frames = np.random.default_rng(6).normal(size=(ROWS, 3, 2))
    frames[::3, 1:] = 0.0  # masked
    inputs = {"x": x, "frames": frames.astype(np.float32)}
    labels = np.random.default_rng(7).integers(0, 2, (ROWS, 3, 1))

    def net(seed):
        x = keras.Input((nets.FEATURES,), name="x")
        frames = keras.Input((3, 2), name="frames")

        def dense(units):
            kernel = keras.initializers.GlorotUniform(seed)
            return keras.layers.Dense(units, kernel_initializer=kernel)

        seen = keras.layers.Masking()(frames)
        outputs = {"row": dense(nets.CLASSES)(x), "frames": dense(1)(seen)}
        return keras.Model({"x": x, "frames": frames}, outputs)

    with scope:
        distiller = kdtf.Distiller(
            net(0),
            net(7),
            temperature=2.0,
            head={"row": "softmax", "frames": "sigmoid"},
        )
        distiller.compile(
            keras.optimizers.SGD(0.5),
            loss_weights={"frames": 3.0},
            metrics={"row": ["accuracy"]},
            jit_compile=False,
        )
    history = distiller.fit(
        inputs,
        {"row": y, "frames": labels},
        sample_weight=weights,
        batch_size=50,
        shuffle=False,
        epochs=2,
        verbose=0,
    ).history
    values = dict(enumerate(nets.values(distiller.student)))
    return {n: np.array(v) for n, v in {**history, **values}.items()}


def _checked(scope):
    """`check_inputs` counts the batches of each replica."""
    x, y, _ = data()
    with scope:
        distiller = kdtf.Distiller(
            student(), nets.deep(7), temperature=2.0, check_inputs=True
        )
        distiller.compile("adam")
    distiller.fit(x, y, batch_size=80, shuffle=False, verbose=0)
    y = y.copy()
    y[45] = nets.CLASSES
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    try:
        distiller.evaluate(batches, verbose=0)
    except ValueError as error:
        return {"batch": int("in batch 2" in str(error))}
    raise AssertionError("a label that is no class passed")


SCENARIOS = {
    function.__name__.strip("_"): function
    for function in (
        _plain,
        _data_sets,
        _many_steps,
        _few_rows,
        _ensemble,
        _specialists,
        _class_weights,
        _one_norm_of_all_gradients,
        _infinite_gradients,
        _half_precision,
        _averaged_weights,
        _synchronized_statistics,
        _masked_frames,
        _embeddings,
        _labels_of_unknown_rank,
        _eager,
        _stored_targets,
        _one_batch,
        _sigmoid,
        _several_outputs,
        _checked,
    )
}


def difference(found, expected):
    """The largest difference of two results, as a share of the largest value.

    Of a result that one of them lacks it is infinite.
    """
    if found.keys() != expected.keys():
        return float("inf")
    return max(
        float(np.abs(np.subtract(found[name], value)).max(initial=0.0))
        / max(1.0, float(np.abs(value).max(initial=0.0)))
        for name, value in expected.items()
    )


def compare(strategy, names, is_chief=True):
    """Dict from scenario to its `difference`, or the error it ended in."""
    results = {}
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                found = SCENARIOS[name](strategy.scope())
                if is_chief:
                    expected = SCENARIOS[name](contextlib.nullcontext())
                    results[name] = difference(found, expected)
        except Exception:
            results[name] = traceback.format_exc()
            break
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--result")
    parser.add_argument("--mirrored", type=int)
    parser.add_argument("--cluster")
    parser.add_argument("--index", type=int)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    given = parser.parse_args()
    names, is_chief = given.scenarios.split(","), True
    if given.mirrored:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * given.mirrored,
        )
        devices = [f"CPU:{i}" for i in range(given.mirrored)]
        strategy = tf.distribute.MirroredStrategy(devices)
    else:
        os.environ["TF_CONFIG"] = json.dumps(
            {
                "cluster": {"worker": given.cluster.split(",")},
                "task": {"type": "worker", "index": given.index},
            }
        )
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        is_chief = given.index == 0
    results = compare(strategy, names, is_chief)
    pathlib.Path(given.result).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
