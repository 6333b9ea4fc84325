"""Relative links of the Markdown files lead to files that exist."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page):
    """Anchors of a page's headings, as code hosts and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    kept = (re.sub(r"[^\w\- ]", "", h.lower()) for h in headings)
    return {h.strip().replace(" ", "-") for h in kept}


@pytest.mark.parametrize(
    "page", sorted(str(page.relative_to(ROOT)) for page in PAGES)
)
def test_links_lead_somewhere(page):
    page = ROOT / page
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.is_file(), target
        if anchor:
            assert anchor in anchors(path), f"{target}#{anchor}"


def test_every_result_page_is_in_the_index():
    index = (ROOT / "docs/results/index.md").read_text()
    for page in (ROOT / "docs/results").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index
