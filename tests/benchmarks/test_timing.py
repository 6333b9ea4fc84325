"""Timings and their ratios."""

from benchmarks import timing


def test_a_ratio_has_its_quartiles():
    ratio = timing.ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert ratio == {"median": 3.0, "quartiles": [2.0, 4.0]}


def test_contenders_take_turns():
    calls = []
    contenders = {name: lambda n=name: calls.append(n) for name in "ab"}
    seconds = timing.interleaved(contenders, rounds=2)
    assert calls == ["a", "b"] * 3  # the first to compile
    assert [len(each) for each in seconds.values()] == [2, 2]
