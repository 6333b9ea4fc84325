"""benchmarks.tables: the tables of the pages, from the committed figures."""

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import tables

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_pages_are_readme_benchmarks_and_all_results():
    names = {str(page.relative_to(ROOT)) for page in tables.pages()}
    assert {"README.md", "BENCHMARKS.md"} <= names
    results = {f"docs/results/{p.name}" for p in ROOT.glob("docs/results/*")}
    assert results <= names


def test_the_pages_are_made_of_the_committed_figures():
    pages = [page.read_text() for page in tables.pages()]
    for page in pages:
        assert tables.render(page, ROOT / "results") == page
    for name in tables.TABLES:
        assert f"<!-- table: {name} -->\n" in "".join(pages)


def test_a_stale_table_is_replaced_and_the_text_kept(tmp_path):
    rows = [{"what": "loss", "right": "1", "measured": {"ours": "1.5"}}]
    (tmp_path / "peer_comparison.json").write_text(json.dumps({"rows": rows}))
    text = "before\n<!-- table: peers -->\n| old |\n<!-- end -->\nafter\n"
    new = tables.render(text, tmp_path)
    assert new.startswith("before\n") and new.endswith("<!-- end -->\nafter\n")
    assert "| loss | 1 | 1.5 |" in new and "old" not in new


def test_faults_are_added_up(tmp_path):
    outcomes = {"same": 1000, "named": 2, "unnamed": 3, "lost": 4}
    rows = [
        {"task": task, "disturbed_by": "signals", "outcomes": outcomes}
        for task in ("store", "fit")
    ]
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "faults.json").write_text(json.dumps({"rows": rows}))
    lines = tables.TABLES["faults"](tmp_path)
    assert "| store | signals | 1,009 | 1,000 | 2 | 4 | 3 |" in lines
    assert lines[-1] == "| all |  | 2,018 | 2,000 | 4 | 8 | 6 |"


def test_a_gpu_run_is_compared_with_kdtf_a_copy_and_its_tolerance(tmp_path):
    shared = {"kernels": 4, "errors": {"float64": 2e-3, "TensorFlow": 5e-3}}
    rows = [
        {
            **shared,
            "program": f"loss_{form}_float32_{size}",
            "milliseconds": milliseconds,
            "milliseconds_quartiles": [0.1, milliseconds + 0.5],
            "moved_over_logits": 7.04,
            "gigabytes_a_second": 1500.0,
            "megabytes_temporary": 0.25,
            "right": form == "kdtf",
        }
        for form, size, milliseconds in (
            ("with_logits", "2x3", 0.8),
            ("kdtf", "2x3", 0.2),
            ("kdtf", "4x3", 9.0),  # of other logits
        )
    ]
    step = {"moved_over_logits": None, "milliseconds_in_one_loop": 0.125}
    rows.append({**rows[1], **step, "program": "step"})
    head = {
        "what": "the HLO, compiled by XLA",
        "compiler_versions": {"jaxlib": "1.2"},
        "commit": "abc",
        "device": "NVIDIA GPU",
        "steps_a_timing": 50,
        "copy_gigabytes_a_second": 3000.0,
    }
    (tmp_path / "gpu_run.json").write_text(json.dumps({**head, "rows": rows}))
    first, *_, theirs, ours, other, last = tables.TABLES["gpu_run"](tmp_path)
    assert first == (
        "The HLO, compiled by XLA 1.2; run on an NVIDIA GPU, where a copy "
        "moves 3,000 GB/s; programs of commit abc."
    )
    rest = "1,500 (50%) | 0.2 | 5.0e-03 |"
    assert theirs == (
        "| `loss_with_logits_float32_2x3` | 0.800 (0.100 to 1.300) | 0.25 | 4 "
        f"| 7.0 x | {rest} **no** |"
    )
    assert ours == (
        "| `loss_kdtf_float32_2x3` | 0.200 (0.100 to 0.700) | 1.00 | 4 "
        f"| 7.0 x | {rest} yes |"
    )
    assert "| 9.000 (0.100 to 9.500) | 1.00 |" in other
    assert last == (
        "| `step` | 0.200 (0.100 to 0.700); 0.125, 50 in a loop |  | 4 |  "
        f"| {rest} yes |"
    )


def test_a_last_layer_on_a_gpu_is_compared_with_one_apart(tmp_path):
    rows = [
        {
            "teacher": "top",
            "kernel": "float32",
            "rows_at_a_time": rows,
            "milliseconds": time,
            "milliseconds_quartiles": [time - 1.0, time + 1.0],
            "megabytes_temporary": memory,
            "error": 2e-3,
        }
        for rows, time, memory in (
            ("256", 60.0, 500.0),
            ("1024", 30.0, 1000.0),
            ("all", 20.0, 4000.0),
        )
    ]
    head = {
        "what": "the HLO, compiled by XLA",
        "compiler_versions": {"jaxlib": "1.2"},
        "device": "NVIDIA GPU",
    }
    (tmp_path / "gpu_fused.json").write_text(json.dumps({**head, "rows": rows}))
    lines = tables.TABLES["gpu_fused"](tmp_path)[-3:]
    of = "| top 64 logits | float32 |"
    assert lines == [
        f"{of} all: apart | 20.0 (19.0 to 21.0) | 1.00 | 4,000 | 1.00 "
        "| 2.0e-03 |",
        f"{of} 1024 | 30.0 (29.0 to 31.0) | 1.50 | 1,000 | 0.25 | 2.0e-03 |",
        f"{of} 256 | 60.0 (59.0 to 61.0) | 3.00 | 500 | 0.12 | 2.0e-03 |",
    ]


def test_an_unknown_table_is_named():
    text = "<!-- table: nothing -->\n<!-- end -->"
    with pytest.raises(ValueError, match=r"one of \['arrays'.*'nothing'"):
        tables.render(text, ROOT / "results")


@pytest.mark.slow
def test_the_committed_pages_are_not_stale():
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.tables", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_check_fails_on_a_stale_page(tmp_path, monkeypatch):
    stale = tmp_path / "page.md"
    stale.write_text("<!-- table: peers -->\n| old |\n<!-- end -->\n")
    (tmp_path / "results").mkdir()
    rows = [{"what": "loss", "right": "1", "measured": {"ours": "1.5"}}]
    (tmp_path / "results" / "peer_comparison.json").write_text(
        json.dumps({"rows": rows})
    )
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "pages", lambda: [stale])
    with pytest.raises(SystemExit, match=r"page\.md is stale"):
        tables.refresh(check=True)
    assert "old" in stale.read_text()
    tables.refresh(check=False)
    tables.refresh(check=True)
    assert "| loss | 1 | 1.5 |" in stale.read_text()
