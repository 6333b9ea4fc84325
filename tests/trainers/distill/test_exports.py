"""trainers.distill.exports: reasons of what fails; test_costs has the rest."""

import sys

import pytest

import kdtf
from tests import distill_runs
from trainers.distill import exports

INTERPRETER = "ai_edge_litert.interpreter"


def test_litert_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, INTERPRETER, None)
    net = distill_runs.make_run(tmp_path).nets["distilled"][0]

    def written(net, path, **options):
        path.write_bytes(b"a file")
        return kdtf.export.LiteRTReport(6)

    monkeypatch.setattr(kdtf, "export_litert", written)
    form = exports._form(
        "distilled",
        "litert",
        tmp_path / "student.tflite",
        exports._litert(net, "softmax"),
        None,
    )
    # The file is there, and told of; it cannot be run here.
    assert form.figures["bytes"] == 6
    assert form.predict is None
    assert "ai_edge_litert" in form.figures["not_run"]


def test_reasons_are_a_line():
    reason = exports._reason(
        NotImplementedError("\nModel T\n  cannot be saved")
    )
    assert reason == "NotImplementedError: Model T cannot be saved"
    assert len(exports._reason(ValueError("x" * 999))) < 320


def test_a_full_disk_ends_the_run(tmp_path):
    def write(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        exports._form("distilled", "keras", tmp_path / "x", write, None)
