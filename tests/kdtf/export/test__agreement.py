"""_agreement: the share of equal classes, and the largest gap."""

import numpy as np
import pytest

from kdtf.export import _agreement


@pytest.mark.parametrize("prefix", ("", "digit_"))
def test_shares_and_gaps(monkeypatch, prefix):
    def output(choice, p):
        return {
            f"{prefix}class": np.array([choice]),
            f"{prefix}probabilities": np.array([[p, 1 - p]]),
            "hidden": np.zeros(3),
        }

    theirs = [output(c, p) for c, p in ((0, 0.9), (1, 0.2), (0, 0.6), (0, 0.5))]
    ours = [output(c, p) for c, p in ((0, 0.8), (1, 0.2), (1, 0.3), (0, 0.6))]
    monkeypatch.setattr(_agreement, "_run", lambda content, examples: theirs)
    agreement, difference = _agreement.compared(
        b"", lambda i: ours[int(i[0])], [{"i": [i]} for i in range(4)]
    )
    if prefix:
        agreement, difference = agreement["digit"], difference["digit"]
    assert agreement == 0.75
    assert difference == pytest.approx(0.3)
