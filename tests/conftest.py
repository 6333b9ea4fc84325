"""What all tests share: two logical CPU devices, a seed, temporary files."""

import gc
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

gc.disable()  # while a million objects of TensorFlow are made

import keras
import pytest
import tensorflow as tf

# Before TensorFlow starts: `MirroredStrategy` then has two devices on any
# machine.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


def pytest_collection_finish():
    """Garbage is not sought among what is imported: a tenth of all time."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory):
    """Temporary files go into a folder of pytest's, and none may remain.

    TensorFlow removes those of AutoGraph when Python exits. TFDS makes an empty
    folder for every builder of data that are not prepared, and removes none.
    """
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield
    for empty in folder.glob("*tfds"):
        empty.rmdir()
    left = {file.name for file in folder.iterdir()}
    left -= {file.name for file in folder.glob("__autograph_generated_file*")}
    left -= {file.name for file in folder.glob("pymp-*")}  # gone at exit
    assert not left, f"tests left temporary files: {sorted(left)}"


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same seeds, whichever ran before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def mirrored_strategy():
    """Two replicas, on the two logical CPU devices."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
