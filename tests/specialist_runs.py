"""A run on twelve small classes that the specialists trainer's tests share."""

import dataclasses
import functools

import numpy as np

from trainers.core import results
from trainers.core import settings as core_settings
from trainers.data.images import SplitImages
from trainers.specialists import nets, run
from trainers.specialists.settings import DEFAULTS, Settings

CLASSES, SIDE, WHITE = 12, 8, 255


def cases(count, seed, prototypes):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count, dtype=np.int32) % CLASSES)
    noise = rng.integers(0, 60, (count, SIDE, SIDE))
    return (prototypes[labels] * 0.7 + noise).astype(np.uint8), labels


@functools.cache
def data():
    """Classes 0 to 2, 3 to 5 and so on share all but one row of pixels."""
    rng = np.random.default_rng(0)
    prototypes = np.repeat(rng.integers(0, 256, (4, SIDE, SIDE)), 3, axis=0)
    prototypes[:, 0] = rng.integers(0, 256, (CLASSES, SIDE))
    return SplitImages(
        *cases(240, 1, prototypes),
        *cases(60, 2, prototypes),
        *cases(72, 3, prototypes),
        classes=CLASSES,
        white=WHITE,
        class_names=tuple(f"class {i}" for i in range(CLASSES)),
        class_images=prototypes.astype(np.uint8),
    )


def settings(**others):
    values = {
        **core_settings.tiny(Settings),
        "units": 6,
        "wide_units": 9,
        "steps": 20,
        "batch_size": 16,
        "specialists": 3,
        "size": 4,
        "few": 0.25,
        "few_steps": 10,
        "predictions": 200,
        "train_cases": 240,
        "classes": CLASSES,
    }
    return dataclasses.replace(DEFAULTS["glyphs"], **{**values, **others})


def make_run(directory, *, seeds=1, **others):
    given = {k: others.pop(k) for k in ("processes",) if k in others}
    directory.mkdir(parents=True, exist_ok=True)
    for seed in range(max(seeds, 4)):
        (directory / f"seed{seed}").mkdir(exist_ok=True)
    return run.Run(settings(**others), data(), directory, seeds=seeds, **given)


def untrained(arm, net, batches, directory, **options):
    """In place of `nets.train`: random weights of the arm and its directory."""
    del batches, options
    rng = np.random.default_rng(
        list(f"{directory.parent.name}/{arm.directory_name()}".encode())
    )
    net.set_weights([rng.normal(0, 0.5, w.shape) for w in net.get_weights()])
    return results.Result(net, True, [], 1.0)


def without_training(monkeypatch):
    """Makes `nets.train` take no time; returns the list of its calls."""
    calls = []

    def train(arm, net, batches, directory, **options):
        calls.append((arm, directory, batches))
        return untrained(arm, net, batches, directory, **options)

    monkeypatch.setattr(nets, "train", train)
    return calls


def logits_of(net, images):
    """`[cases, outputs]` float64, of a net of `nets.build_net`'s kind."""
    x = images.reshape(len(images), -1) / np.float64(WHITE)
    *hidden, last = zip(*[iter(net.get_weights())] * 2, strict=True)
    for kernel, bias in hidden:
        x = np.maximum(x @ kernel + bias, 0)
    return x @ last[0] + last[1]


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
