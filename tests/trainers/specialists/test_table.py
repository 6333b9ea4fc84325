"""trainers.specialists.table: what is measured, and what it costs."""

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.specialists import groups, table

WEIGHTS = 64 * 6 + 36 + 6 * 12  # of a generalist
WIDE = 64 * 9 + 81 + 9 * 12
OF_A_SPECIALIST = 64 * 6 + 36 + 6 * 5


@pytest.fixture
def run(tmp_path, monkeypatch):
    runs.without_training(monkeypatch)
    return runs.make_run(tmp_path)


def test_costs(run):
    found = table.costs(run, [1.5, 2.0, 2.5])
    # Steps: 20; longer 2 * 20; of specialists a third of the FLOPs each,
    # 20 / 3 * WEIGHTS / OF_A_SPECIALIST = 7.3.
    flops = 1 + 3 * 7 * OF_A_SPECIALIST / (20 * WEIGHTS)
    all_weights = WEIGHTS + 3 * OF_A_SPECIALIST
    expected = {
        "generalist": (1, 1, WEIGHTS, WEIGHTS),
        "longer": (2, 2, WEIGHTS, WEIGHTS),
        "wide": (WIDE / WEIGHTS, 1, WIDE, WIDE),
        "random sets": (flops, 1 + 21 / 20, all_weights, None),
        "ensemble of 2, geometric": (2, 2, 2 * WEIGHTS, 2 * WEIGHTS),
        "ensemble of 4, arithmetic": (4, 4, 4 * WEIGHTS, 4 * WEIGHTS),
        **{
            f"specialists, top {top}": (
                flops,
                1 + 21 / 20,
                all_weights,
                WEIGHTS + calls * OF_A_SPECIALIST,
            )
            for top, calls in ((1, 1.5), (2, 2.0), (3, 2.5))
        },
    }
    for name, values in expected.items():
        assert tuple(found[name].values()) == pytest.approx(values), name
    assert list(found["wide"]) == [
        "training_flops",
        "examples",
        "weights",
        "multiply_adds",
    ]


def test_measure(run, monkeypatch):
    """All systems on all test cases; each has its costs."""
    monkeypatch.setattr(table.serving, "export", lambda run, ensemble: None)
    found = table.measure(run)
    assert set(found["systems"]) == set(found["costs"])
    assert set(found["corrections"]) == set(groups.CORRECTIONS)
    [seed] = run.measured("table", None, None)
    group, covered = groups.of_confused(run, 0)
    images, labels = run.test
    p = runs.softmax(runs.logits_of(group.generalist, images))
    np.testing.assert_array_equal(seed["generalist/choices"], p.argmax(-1))
    covering = np.zeros(12, int)
    for member in group.members:
        covering[member.classes] += 1
    np.testing.assert_array_equal(seed["covering"], covering)
    np.testing.assert_array_equal(seed["covering of cases"], covering[labels])
    assert seed["covered confusion"] == covered
    # Who is called: all members that have one of the most probable classes.
    ranked = np.argsort(-p, -1)
    own = np.array([np.isin(range(12), m.classes) for m in group.members])
    calls = [own[:, ranked[:, :top]].any(-1).sum(0).mean() for top in (1, 2, 3)]
    np.testing.assert_allclose(seed["active"], calls)
    np.testing.assert_allclose(found["sets"]["active"], calls)
    # Choices of ensembles: the mean of the probabilities, or of their logs.
    others = [run.generalist(seed) for seed in (0, 1)]
    both = [runs.softmax(runs.logits_of(net, images)) for net in others]
    for way, mean in (
        ("arithmetic", np.mean(both, 0)),
        ("geometric", np.mean(np.log(both), 0)),
    ):
        np.testing.assert_array_equal(
            seed[f"ensemble of 2, {way}/choices"], mean.argmax(-1)
        )
    # The default correction is the fitted one.
    np.testing.assert_array_equal(
        seed["correction fitted/choices"], seed["specialists, top 1/choices"]
    )
    assert len(seed["correction none, held out/choices"]) == 60


def test_generalists_are_trained_before_those_that_need_them(monkeypatch, run):
    done = []
    monkeypatch.setattr(
        runs.run.Run, "do", lambda run, function, jobs: done.append(jobs)
    )
    table.train(run)
    generalists, others = done
    assert generalists == [("generalist", seed) for seed in range(4)]
    names = ("longer", "wide", "specialists", "half own", "random")
    assert others == [(name, 0) for name in names]
