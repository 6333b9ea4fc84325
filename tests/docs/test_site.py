"""The site builds, without a warning; `make docs` runs the same command."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "-q",
            "--strict",
            "-d",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        check=True,
    )
    site = tmp_path / "site"
    home = (site / "index.html").read_text()
    assert "Ten lines" in home
    # Pictures and pages from outside of docs/ are there, under their names.
    pictures = re.findall(r"!\[.*\]\((.+)\)", (ROOT / "README.md").read_text())
    assert pictures
    for picture in pictures:
        assert f'src="{picture}"' in home
        assert (site / picture).is_file()
    assert (site / "BENCHMARKS/index.html").is_file()
    api = (site / "api/losses/index.html").read_text()
    assert "kdtf.losses.soft_loss" in api
    assert "Examples:" in api and "&gt;&gt;&gt;" in api
