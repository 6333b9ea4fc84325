"""What all tests share: two logical CPU devices, and a seed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import pytest
import tensorflow as tf

# Before TensorFlow starts: `MirroredStrategy` then has two devices on any
# machine.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same seeds, whichever ran before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def mirrored_strategy():
    """Two replicas, on the two logical CPU devices."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
