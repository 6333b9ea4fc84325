"""trainers.specialists.nets: one net, trained at once or in pieces."""

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.specialists import batches, nets

PIXELS = runs.SIDE**2
ARM = nets.Arm("generalist", 4, 0.01, epochs=3, steps=2, batch_size=8)


@pytest.mark.parametrize(
    "steps, parts, expected",
    (
        (18_000, 30, (30, 600)),
        (3_200, 30, (30, 100)),  # 106, of which 20 divide 100
        (1_000, 30, (10, 100)),  # of at least 100
        (70, 3, (1, 60)),
        (15, 3, (1, 15)),  # one execution
        (1, 30, (1, 1)),
    ),
)
def test_parts_of_a_training(steps, parts, expected):
    assert nets.parts_of(steps, parts) == expected


def test_multiply_adds_are_the_weights_of_the_kernels():
    net = nets.build_net(5, 7, 3, seed=0)
    kernels = sum(w.size for w in net.get_weights() if w.ndim == 2)
    assert nets.multiply_adds(7, 5, 3) == kernels


def test_a_net_begins_as_its_seed_says():
    first, same, other = (
        nets.build_net(5, 7, 3, seed).get_weights() for seed in (0, 0, 1)
    )
    for a, b, c in zip(first[::2], same[::2], other[::2], strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).all()


class Killed(Exception):
    pass


def train(directory, seed=0, dies_after=None):
    """The trained net; or its training ends early."""
    done = []

    def evaluate(net):
        done.append(net)
        if len(done) == dies_after:
            raise Killed
        return {nets.HELD_OUT_ACCURACY: float(len(done))}

    data = runs.data()
    return nets.train(
        ARM,
        nets.build_net(ARM.units, PIXELS, runs.CLASSES, seed),
        lambda first_step: batches.of_cases(
            data.train_images,
            data.train_labels,
            white=runs.WHITE,
            noise=0.1,
            batch_size=ARM.batch_size,
            seed=seed,
            first_step=first_step,
        ),
        directory,
        evaluate=evaluate,
        checkpoint_every=1,
        title=None,
    )


def test_a_net_is_the_same_whatever_was_trained_before_it(tmp_path, capsys):
    """One Distiller trains all of them; killed ones go on where they were."""
    whole = train(tmp_path / "whole")
    points = [point[nets.HELD_OUT_ACCURACY] for point in whole.curve]
    assert points == [1, 2, 3]
    other = train(tmp_path / "other", seed=1).net.get_weights()
    with pytest.raises(Killed):
        train(tmp_path / "killed", dies_after=3)
    train(tmp_path / "between", seed=1)
    resumed = train(tmp_path / "killed")
    assert [point[nets.HELD_OUT_ACCURACY] for point in resumed.curve] == [
        1,
        2,
        1,
    ]
    loaded = train(tmp_path / "whole", dies_after=1)  # trains nothing
    for a, b, c, d in zip(
        whole.net.get_weights(),
        resumed.net.get_weights(),
        loaded.net.get_weights(),
        other,
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
        assert (a != d).any()
    assert not capsys.readouterr().err  # no bar without a title
