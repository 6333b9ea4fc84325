"""trainers.core.training: any net, on from where it stood."""

import dataclasses
import hashlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from trainers.core import training
from trainers.core.errors import FlagsError

STEPS, EPOCHS, BATCH = 3, 6, 4


@dataclasses.dataclass(frozen=True)
class Arm:
    units: int
    rate: float = 0.1


@dataclasses.dataclass(frozen=True)
class LaterArm(Arm):
    """With a field that an older version had not."""

    momentum: float = 0.9


def test_a_digest_is_of_what_has_not_its_default():
    given = hashlib.sha256(b"units=3").hexdigest()[:6]
    for arm in (Arm(3), Arm(3, 0.1), LaterArm(3)):
        assert training.digest(arm) == given
    different = (Arm(3), Arm(4), Arm(3, 0.2), LaterArm(3, momentum=0.2))
    assert len({training.digest(arm) for arm in different}) == 4


@pytest.mark.parametrize(
    "steps, expected",
    # The largest divisor up to 25; 234 = 2 * 3 * 3 * 13.
    ((1, 1), (25, 25), (26, 13), (29, 1), (60, 20), (100, 25), (234, 18)),
)
def test_steps_per_execution(steps, expected):
    assert training.steps_per_execution(steps) == expected


class Killed(BaseException):
    """Nothing may catch it, like a kill."""


class Job:
    """A net that is trained in a directory on batches made up here.

    Attributes:
      net: the student.
      spans: list of the (first, last) steps that were asked for.
      seen: list of the student's weights at every evaluation.
    """

    def __init__(self, directory, *, scores=(0.0,) * EPOCHS, killed_in=None):
        self.net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        self.spans, self.seen = [], []
        self._directory = directory
        self._scores = scores
        self._killed_in = killed_in

    def fit(self, **options):
        self.net.layers[0].kernel.assign(np.eye(2, 3))
        self._distiller = kdtf.Distiller(
            self.net, temperature=1.0, soft_weight=0.0, hard_weight=1.0
        )
        self._distiller.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
        self._distiller.optimizer.build(self._distiller.trainable_variables)
        return training.fit(
            self._distiller,
            self._batches,
            self._directory,
            steps=STEPS,
            epochs=EPOCHS,
            checkpoint_every=2,
            evaluate=self._evaluate,
            title="job",
            **options,
        )

    def _batches(self, first, last):
        self.spans.append((first, last))
        rng = np.random.default_rng(0)
        x = rng.normal(size=(STEPS * EPOCHS, BATCH, 2)).astype(np.float32)
        y = rng.integers(0, 3, (STEPS * EPOCHS, BATCH))
        return tf.data.Dataset.from_tensor_slices(
            (x[first:last], y[first:last])
        )

    def _evaluate(self):
        epoch = int(self._distiller.optimizer.iterations) // STEPS
        if epoch == self._killed_in:
            raise Killed
        self.seen.append(self.net.get_weights())
        return {"score": self._scores[epoch - 1]}


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A job that nothing interrupted, and its state."""
    job = Job(tmp_path_factory.mktemp("whole"))
    return job, job.fit()


@pytest.mark.slow
def test_killed_and_resumed_it_ends_where_it_would_have(tmp_path, whole):
    with pytest.raises(Killed):
        Job(tmp_path, killed_in=5).fit()
    resumed = Job(tmp_path)
    state = resumed.fit()
    job, expected = whole
    # Epoch 5 died; the checkpoint is that of epoch 4.
    assert job.spans == [(0, 18)] and resumed.spans == [(12, 18)]
    assert_same(job.net.get_weights(), resumed.net.get_weights())
    assert state["curve"] == expected["curve"]
    assert [p["epoch"] for p in state["curve"]] == [1, 2, 3, 4, 5, 6]


# Killed in epoch 4, the best one is later than the checkpoint.
@pytest.mark.parametrize("killed_in", (None, 4, 6))
def test_the_first_of_the_best_epochs_is_kept(tmp_path, whole, killed_in):
    scores = (1.0, 2.0, 5.0, 5.0, 4.0, 3.0)
    if killed_in:
        job = Job(tmp_path, scores=scores, killed_in=killed_in)
        with pytest.raises(Killed):
            job.fit(keep_best="score")
    job = Job(tmp_path, scores=scores)
    state = job.fit(keep_best="score")
    assert state["best"] == state["curve"][2] and state["best"]["score"] == 5
    best, last = whole[0].seen[2], whole[0].net.get_weights()
    assert_same(job.net.get_weights(), best)
    assert (last[0] != best[0]).any()


class Diverging(Job):
    def _batches(self, first, last):
        return super()._batches(first, last).map(lambda x, y: (x / 0.0, y))


def test_a_net_that_diverges_is_not_kept(tmp_path):
    job = Diverging(tmp_path)
    with pytest.raises(FlagsError, match=r"smaller learning rate.*in epoch 1"):
        job.fit()
    assert job.seen == [] and not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "name, remedy",
    (
        ("epoch-00004/weights.weights.h5", "epoch-00004"),
        ("epoch-00004/state.json", "epoch-00004"),
        ("best/weights.weights.h5", "checkpoints"),
    ),
)
def test_a_damaged_checkpoint_is_named(tmp_path, name, remedy):
    """Before any epoch; what may be deleted leads to the same figures."""
    scores = (1.0, 2.0, 5.0, 4.0, 4.0, 3.0)
    with pytest.raises(Killed):
        Job(tmp_path, scores=scores, killed_in=5).fit(keep_best="score")
    [path] = (tmp_path / "checkpoints").glob(name)
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    job = Job(tmp_path, scores=scores)
    with pytest.raises(FlagsError, match=rf"delete \S*{remedy} to make"):
        job.fit(keep_best="score")
    assert job.seen == []
    shutil.rmtree(next(tmp_path.rglob(remedy)))
    state = job.fit(keep_best="score")
    assert state["best"]["score"] == 5 and job.spans == [(0, 18)]


def test_the_bar_shows_what_it_is_told_to(tmp_path, capsys):
    job = Job(tmp_path, scores=(0.0,) * (EPOCHS - 1) + (0.625,))
    loss = job.fit(shown=("score",))["curve"][-1]["loss"]
    bar = capsys.readouterr().err
    assert f"loss={loss:.4f}, score=0.6250" in bar and "6/6" in bar
    state = Job(tmp_path / "other").fit()
    bar = capsys.readouterr().err
    assert f"loss={state['curve'][-1]['loss']:.4f}]" in bar
    assert "score" not in bar and state["curve"][-1]["score"] == 0.0


def test_logs_are_of_the_epochs_of_the_curve(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(
        keras.callbacks.TensorBoard,
        "on_epoch_end",
        lambda self, epoch, logs: logged.append(epoch),
    )
    state = {"curve": []}
    logs = training.CurveLogs(tmp_path, state)
    for epoch in range(6):
        if epoch in (2, 5):
            state["curve"].append({"epoch": epoch + 1})
        logs.on_epoch_end(epoch, {})
    assert logged == [2, 5]


@pytest.mark.slow
def test_tensorboard_shows_what_the_bar_does(tmp_path):
    def tags(directory):
        [path] = (directory / "tensorboard" / "train").iterdir()
        events = map(
            tf.compat.v1.Event.FromString,
            tf.data.TFRecordDataset(str(path)).as_numpy_iterator(),
        )
        return {value.tag for e in events for value in e.summary.value}

    Job(tmp_path / "shown").fit(shown=("score",))
    Job(tmp_path / "other").fit()
    assert tags(tmp_path / "shown") - tags(tmp_path / "other") == {
        "epoch_score"
    }
    assert "epoch_loss" in tags(tmp_path / "other")
