"""trainers.core.results: a net is trained once, and loaded ever after."""

import json

import keras
import numpy as np
import pytest

from trainers.core import results
from trainers.core.errors import FlagsError

STATE = {"epoch": 4, "seconds": 2.0, "curve": [{"epoch": 4, "loss": 0.5}]}
LOGITS = np.arange(6.0).reshape(2, 3)


def make_net():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


def trained(net, directory, state=STATE, **arrays):
    """A `train` that sets the weights and leaves a checkpoint."""

    def train():
        (directory / "checkpoints" / "epoch-00002").mkdir(parents=True)
        net.set_weights([np.full((2, 3), 7.0), np.ones(3)])
        results.save(net, state, directory, **arrays)

    return train


def refuse():
    raise AssertionError("trained a second time")


def test_a_stored_result_is_not_trained_again(tmp_path):
    directory = tmp_path / "seed0" / "arm"
    assert not results.is_finished(directory)
    first = make_net()
    results.of(first, directory, trained(first, directory, eval_logits=LOGITS))
    assert results.is_finished(directory)
    again = make_net()
    found = results.of(again, directory, refuse)
    assert found.net is again and found.has_weights
    for ours, theirs in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.eval_logits, LOGITS)
    assert found.curve == STATE["curve"] and found.best is None
    assert found.seconds_per_epoch == 0.5
    assert [p.name for p in directory.iterdir()] == ["result"]


def test_the_best_point_is_kept_and_logits_are_optional(tmp_path):
    net, best = make_net(), {"epoch": 2, "loss": 0.25}
    state = {**STATE, "best": best}
    found = results.of(net, tmp_path, trained(net, tmp_path, state))
    assert found.best == best and found.eval_logits is None


def test_a_published_result_may_lack_its_weights(tmp_path):
    net = make_net()
    results.of(net, tmp_path, trained(net, tmp_path, eval_logits=LOGITS))
    [weights] = tmp_path.rglob("*.h5")
    weights.unlink()
    other = make_net()
    before = other.get_weights()
    found = results.of(other, tmp_path, refuse)
    assert not found.has_weights and found.model is other
    # Untrained, it is never used or exported.
    with pytest.raises(FlagsError, match="must have its weights") as refused:
        _ = found.net
    assert f"delete {tmp_path / 'result'}" in str(refused.value)
    np.testing.assert_array_equal(found.eval_logits, LOGITS)
    for ours, theirs in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


FILES = ("student.weights.h5", "eval_logits.npy", "state.json")


@pytest.mark.parametrize("sealed", (True, False))
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(tmp_path, name, sealed):
    net = make_net()
    results.of(net, tmp_path, trained(net, tmp_path, eval_logits=LOGITS))
    (tmp_path / "checkpoints").mkdir()
    if not sealed:  # as published
        (tmp_path / "result" / "checksums.json").unlink()
    path = tmp_path / "result" / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FlagsError, match=r"delete .*result to make"):
        results.of(make_net(), tmp_path, refuse)
    assert (tmp_path / "checkpoints").exists()  # one may go on from there


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_noticed(tmp_path, name):
    net = make_net()
    results.of(net, tmp_path, trained(net, tmp_path, eval_logits=LOGITS))
    path = tmp_path / "result" / name
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(FlagsError, match=f"{name}: its checksum"):
        results.of(make_net(), tmp_path, refuse)


def test_training_that_fails_leaves_no_result(tmp_path):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.of(make_net(), tmp_path, fail)
    assert not results.is_finished(tmp_path)


def test_the_format_of_earlier_runs_is_read(tmp_path):
    """Files as runs have written them since the first one."""
    (tmp_path / "result").mkdir()
    make_net().save_weights(tmp_path / "result" / "student.weights.h5")
    np.save(tmp_path / "result" / "eval_logits.npy", LOGITS)
    (tmp_path / "result" / "state.json").write_text(json.dumps(STATE))
    found = results.of(make_net(), tmp_path, refuse)
    assert found.has_weights and found.curve == STATE["curve"]
    np.testing.assert_array_equal(found.eval_logits, LOGITS)
