"""kdtf._training.replicas: several replicas train as one process does."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kdtf._training import replicas
from tests import processes, replica_scenarios

TOLERANCE = 1e-6  # float32's rounding, of sums over other parts of a batch
HALF = 0.01  # float16's
# All scenarios pass in all ways; these are tried over two workers, where they
# take longest, and the rest on four replicas.
OF_WORKERS = (
    "plain",
    "many_steps",
    "few_rows",
    "infinite_gradients",
    "synchronized_statistics",
    "stored_targets",
)
# Not those that end in an error: TensorFlow's collectives are of no use to the
# process after one.
QUICK = (
    "few_rows",
    "labels_of_unknown_rank",
    "masked_frames",
    "one_batch",
    "one_norm_of_all_gradients",
)


def assert_close(results):
    for name, found in results.items():
        assert isinstance(found, float), f"{name}: {found}"
        tolerance = HALF if name == "half_precision" else TOLERANCE
        assert found < tolerance, name


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_two_replicas_train_as_one(mirrored_strategy, name):
    assert_close(replica_scenarios.compare(mirrored_strategy, [name]))


def scenarios_of(path, *arguments):
    """What a process with `arguments` finds."""
    done = processes.run(
        "tests.replica_scenarios", f"--result={path}", *arguments
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "names"),
    (
        (4, [n for n in replica_scenarios.SCENARIOS if n not in OF_WORKERS]),
        (8, ["few_rows", "synchronized_statistics"]),
    ),
)
def test_more_replicas_train_as_one(tmp_path, count, names):
    """In a process each: TensorFlow sets its devices up once."""
    found = scenarios_of(
        tmp_path / "found.json",
        f"--mirrored={count}",
        f"--scenarios={','.join(names)}",
    )
    assert list(found) == names
    assert_close(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "names"),
    (
        (2, OF_WORKERS),
        (3, ["plain", "few_rows"]),
    ),
)
def test_workers_train_as_one_process(tmp_path, count, names):
    cluster = ",".join(processes.free_addresses(count))
    paths = [tmp_path / f"{i}.json" for i in range(count)]
    others = [
        processes.start(
            "tests.replica_scenarios",
            f"--result={path}",
            f"--cluster={cluster}",
            f"--index={i}",
            f"--scenarios={','.join(names)}",
        )
        for i, path in enumerate(paths)
        if i > 0
    ]
    found = scenarios_of(
        paths[0],
        f"--cluster={cluster}",
        "--index=0",
        f"--scenarios={','.join(names)}",
    )
    for process in others:
        process.join(processes.PATIENCE)
        assert process.exitcode == 0
    assert list(found) == list(names)
    assert_close(found)


def on_each(strategy, function, values):
    """What `function` returns on each replica, given one of `values`."""
    given = strategy.experimental_distribute_values_from_function(
        lambda context: values[context.replica_id_in_sync_group]
    )
    found = strategy.run(function, args=(given,))
    local = strategy.experimental_local_results
    return list(
        zip(*[local(part) for part in tf.nest.flatten(found)], strict=True)
    )


def test_a_part_counts_by_its_entries(mirrored_strategy):
    given = [tf.zeros([3, 4]), tf.zeros([1, 4])]
    parts = on_each(mirrored_strategy, replicas.part, given)
    # Of 4 rows, the loss of 3 and of 1.
    np.testing.assert_allclose(parts, [(0.75, 3.0), (0.25, 1.0)])


def test_without_an_entry_replicas_count_evenly(mirrored_strategy):
    given = [tf.zeros([0, 4]), tf.zeros([0, 4])]
    parts = on_each(mirrored_strategy, replicas.part, given)
    np.testing.assert_allclose(parts, [(0.5, 0.0), (0.5, 0.0)])


def test_one_replica_is_the_whole():
    share, rows = replicas.part(tf.zeros([5, 4]))
    assert (float(share), float(rows)) == (1.0, 5.0)
