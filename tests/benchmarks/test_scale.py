"""benchmarks.scale and its tables: processes at once, and the model."""

import json

import numpy as np
import pytest

from benchmarks import scale, scale_processes, scale_tables


def twice(number):
    def measured():
        return 2 * number

    return measured


def fails(_):
    raise ValueError("a fault of the test")


@pytest.mark.slow
def test_processes_begin_together_and_return_what_they_found():
    found = scale_processes.together(__name__, "twice", [[1], [2], [3]])
    assert found == [2, 4, 6]


@pytest.mark.slow
def test_a_process_that_fails_is_an_error(capfd):
    with pytest.raises(RuntimeError, match="has failed"):
        scale_processes.together(__name__, "fails", [[1]])
    assert "a fault of the test" in capfd.readouterr().err


def test_bytes_of_an_example_are_those_of_its_parts():
    """Logits in two bytes, classes in three, a mass and a checksum."""
    found = scale.bytes_an_example(top_k=8, classes=70_000, examples=64)
    assert found == pytest.approx(8 * (2 + 3) + 4 + 4, abs=8)  # its framing


def test_what_a_ring_sends():
    """Each worker sends all of its gradients but one part, twice."""
    parts = np.full(8, scale_tables.PARAMETERS * 4 / 8)
    assert scale_tables.bytes_sent(8) == pytest.approx(2 * parts[1:].sum())


def test_tables_show_ratios_of_the_same_rounds(tmp_path):
    def row(workers, seconds):
        return {
            "student": "small",
            "workers": workers,
            "steps_per_execution": 1,
            "examples": 100 * workers,
            "seconds": seconds,
        }

    figures = {
        "training": [row(1, [1.0, 2.0, 4.0]), row(2, [1.0, 2.0, 4.0])],
        "labelling": [row(1, [2.0, 2.0]), row(2, [4.0, 4.0])],
        "reading": {
            "examples": 50,
            "seconds": {"one process": [5.0], "each its part": [2.5]},
        },
        "store": {"top_k": 64, "classes": 100_000, "bytes_an_example": 328.0},
    }
    (tmp_path / "scale.json").write_text(json.dumps(figures))
    training = scale_tables.training(tmp_path)
    assert training[2] == "| small | 1 | 1 | 50 | 1 |"
    assert training[3] == "| small | 2 | 1 | 100 | **2.00** (2.00 to 2.00) |"
    assert "**1.00**" in scale_tables.labelling(tmp_path)[3]
    assert "**2.00**" in scale_tables.reading(tmp_path)[3]
    billion = scale_tables.store(tmp_path)[-1]
    assert billion == "| 1,000,000,000 | 328.0 GB | 200.0 TB |"
    assert len(scale_tables.all_reduce(tmp_path)) == 2 + 4
    # A billion a day are 11,574 a second.
    assert "| 231.5 |" in scale_tables.bottleneck(tmp_path)[2]
