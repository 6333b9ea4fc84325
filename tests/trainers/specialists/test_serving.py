"""trainers.specialists.serving."""

import numpy as np
import pytest
import tensorflow as tf

from tests import specialist_runs as runs
from trainers.specialists import groups, serving


@pytest.mark.slow
def test_the_export_takes_images(tmp_path, monkeypatch):
    runs.without_training(monkeypatch)
    run = runs.make_run(tmp_path)
    group, _ = groups.of_confused(run, 0)
    ensemble = group.ensemble()
    serving.export(run, ensemble)
    served = tf.saved_model.load(str(tmp_path / "export"))
    signature = served.signatures["serving_default"]
    images = run.data.test_images.astype(np.float32)
    found = signature(images=tf.constant(images))
    pixels = images.reshape(72, -1) / 255
    expected = runs.softmax(ensemble(pixels).numpy().astype(np.float64))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    names = [run.data.class_names[i] for i in expected.argmax(-1)]
    assert [n.decode() for n in found["class_name"].numpy()] == names
