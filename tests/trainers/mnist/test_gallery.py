"""trainers.mnist.gallery: the digits that a net gets wrong."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from tests.trainers.core.test_pages import Reader
from trainers.data import ImageData
from trainers.mnist import gallery

LABELS = np.array([0, 1, 2, 0])
# Case 0: all right; 1: the student wrong; 2: all wrong; 3: the distilled wrong.
CHOICES = {
    "teacher": [0, 1, 1, 0],
    "student": [0, 2, 0, 0],
    "distilled": [0, 1, 1, 2],
}


@pytest.fixture
def data():
    images = np.arange(4 * 4, dtype=np.uint8).reshape(4, 2, 2)
    return ImageData(images, LABELS, images, LABELS, classes=3, white=16)


@pytest.fixture
def logits():
    noise = np.random.default_rng(0).normal(size=(3, 4, 3))
    return {
        net: 9 * np.eye(3)[choices] + noise[i]
        for i, (net, choices) in enumerate(CHOICES.items())
    }


def test_the_cases_that_some_net_gets_wrong(data, logits):
    picked = gallery.pick(logits, data)
    assert [entry["case"] for entry in picked["cases"]] == [1, 2, 3]
    assert picked["wrong_cases"] == 3
    assert json.loads(json.dumps(picked)) == picked
    entry = picked["cases"][0]
    assert entry["label"] == 1
    for net in CHOICES:
        np.testing.assert_allclose(
            entry["logits"][net], logits[net][1], atol=1e-3
        )


def test_probabilities_are_the_tempered_softmax():
    for temperature in gallery.TEMPERATURES:
        np.testing.assert_allclose(
            gallery.probabilities([3.0, -800.0, 900.0], temperature),
            reference.softmax([3.0, -800.0, 900.0], temperature),
        )


def test_the_block_shows_every_case_with_its_picture(data, logits):
    block = gallery.block(gallery.pick(logits, data), data)
    reader = Reader()
    reader.feed(block.html())
    assert reader.open == []
    summaries = [text for text in reader.texts if text.startswith("Wrong by")]
    assert summaries == [
        "Wrong by the student net alone: 1 cases",
        "Wrong by the distilled net alone: 1 cases",
        "Wrong by the teacher and student and distilled nets alone: 1 cases",
    ]
    # Three nets at two temperatures; three bars each, the label's one green.
    assert len(re.findall('<rect class="true"', block.html())) == 3 * 3 * 2
    assert len(re.findall("<rect ", block.html())) == 3 * 3 * 2 * 3
    largest = reference.softmax(logits["student"][1], 20.0)[2]
    assert f"2: {largest:.1%}" in block.html()
    first = re.search(r"data:image/png;base64,([\w+/=]+)", block.html())[1]
    decoded = tf.io.decode_png(
        tf.io.decode_base64(
            first.replace("+", "-").replace("/", "_").strip("=")
        )
    )
    ink = 255 - np.round(255.0 * data.eval_images[1] / 7)
    np.testing.assert_array_equal(decoded[..., 0], ink)
