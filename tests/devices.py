"""Tests that hold on some machines alone."""

import pytest
import tensorflow as tf

on_a_cpu = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")),
    reason="tells what is chosen where there is no GPU",
)
