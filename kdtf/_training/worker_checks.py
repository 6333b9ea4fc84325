"""What must be the same on all workers before they train together."""

import contextlib
import hashlib
import json
import random
import types
import warnings

import keras
import numpy as np
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models, _workers

_POLICIES = tf.data.experimental.AutoShardPolicy
_DATA = ("x", "y", "sample_weight", "validation_data")
# These are objects of each process, or only tell how much it prints.
_OWN = ("callbacks", "verbose")


def sharded_by_data(argument, dataset):
    """A data set of which each worker takes a part of every batch.

    Args:
      argument: str, what the error calls it.
      dataset: a `tf.data.Dataset`, or data of another kind, which Keras shards
        by data.

    Returns:
      The data set, with that option; or the data.

    Raises:
      ValueError: if it has another option.
    """
    if not isinstance(dataset, tf.data.Dataset):
        return dataset
    policy = dataset.options().experimental_distribute.auto_shard_policy
    if policy not in (_POLICIES.AUTO, _POLICIES.DATA):
        raise ValueError(
            f"`{argument}` must be sharded by DATA, so that every row is one "
            "worker's: leave auto_shard_policy as it is, or, if each worker is "
            "to read files of its own, give "
            "strategy.distribute_datasets_from_function(...). "
            f"Received: a data set of AutoShardPolicy.{policy.name}"
        )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = _POLICIES.DATA
    return dataset.with_options(options)


def is_distributed(data):
    """Whether data are spread over workers already."""
    return isinstance(data, tf.distribute.DistributedDataset)


@contextlib.contextmanager
def no_noise(data):
    """Silences what Keras says of each worker's own data, whose end it finds.

    They do not tell their length: those of another worker may be longer.
    """
    with warnings.catch_warnings():
        if is_distributed(data):
            warnings.filterwarnings("ignore", "Your input ran out of data")
        yield


def require_same(distiller, method, given):
    """Raises, on every worker, unless all are about to do the same.

    Args:
      distiller: a compiled `Distiller`, whose strategy spans workers.
      method: str, its name.
      given: dict of its arguments.

    Raises:
      ValueError: names what differs; or if the data can be read only once.
    """
    outputs = distiller._student_outputs
    facts = {
        "method": method,
        **{
            name: repr(value)
            for name, value in given.items()
            if name not in (*_DATA, *_OWN)
        },
        "class_weight": repr(
            [output.class_weights.given for output in outputs.all]
        ),
        "steps_per_execution": repr(distiller.steps_per_execution),
        "optimizer": _config(distiller.optimizer),
        "metrics": repr([type(each).__name__ for each in distiller.metrics]),
        **{
            name: repr(value)
            for name, value in distiller._setting_values().items()
        },
        "student": _digest(distiller._trained_weights()),
        "teacher": _digest(distiller._teacher_weights()),
        "variables of the optimizer": _digest(distiller.optimizer.variables),
        "x": _first_batch(
            [given.get(name) for name in _DATA[:3]],
            given.get("batch_size"),
            shuffle=given.get("shuffle", method == "fit"),
        ),
    }
    validation_data = given.get("validation_data")
    facts["validation_data"] = "none"
    if validation_data is not None:
        x_y_weight = keras.utils.unpack_x_y_sample_weight(validation_data)
        facts["validation_data"] = _first_batch(
            x_y_weight, given.get("batch_size"), shuffle=False
        )
    _workers.require_same(distiller.distribute_strategy, facts)


def _config(optimizer):
    """What an optimizer was built with, but for names that Keras counts up."""
    config = {"class": type(optimizer).__name__, **optimizer.get_config()}
    return json.dumps(
        _without_names(config), default=lambda part: type(part).__name__
    )


def _without_names(config):
    if not isinstance(config, dict):
        return config
    return {
        name: _without_names(part)
        for name, part in config.items()
        if name != "name"
    }


def _digest(variables):
    digest = hashlib.sha256()
    _models.hash_weights(digest, variables)
    return digest.hexdigest()[:12]


def _first_batch(data, batch_size, *, shuffle):
    """Text that tells the shapes, the length and the first batch of data.

    Args:
      data: list of x, y and sample_weight.
      batch_size: int or None.
      shuffle: whether Keras is to shuffle arrays.
    """
    x = data[0]
    if isinstance(x, types.GeneratorType):
        raise ValueError(
            "`x` must be data that can be read again, where there are several "
            "workers: wrap the function that makes the generator by "
            "tf.data.Dataset.from_generator. Received: a generator"
        )
    if isinstance(x, keras.utils.PyDataset):
        order = random.getstate() if shuffle else None
        return (
            f"{x.num_batches} batches, the first of hash {_hash([x[0], order])}"
        )
    if is_distributed(x):
        return f"each worker's own data, {x.element_spec}"
    if not keras_private.has_data_adapters():
        return "not compared"
    dataset = keras_private.get_data_adapter(
        *data, batch_size=batch_size, shuffle=shuffle
    ).get_tf_dataset()
    first = _hash(list(dataset.take(1)))
    spec, count = dataset.element_spec, int(dataset.cardinality())
    return f"{count} batches of {spec}, the first of hash {first}"


def _hash(structure):
    """Six bytes of a structure's values, as text."""
    digest = hashlib.sha256()
    for leaf in tf.nest.flatten(structure, expand_composites=True):
        is_data = tf.is_tensor(leaf) or isinstance(leaf, np.ndarray)
        part = tf.io.serialize_tensor(leaf).numpy() if is_data else repr(leaf)
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()[:12]
