"""Puts pages and pictures from outside of docs/ into the site.

Every file is known to MkDocs by its path from the repository's root, so that
one relative link works in the repository and in the site. In the site's
addresses `docs/` is left out, and README.md is the home page.
"""

import pathlib

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Next to docs/: the pages, the published reports and their plots.
OUTSIDE = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "results/*/*.png",
    "results/*/*.html",
)


def on_files(files, config):
    """All files of the site, by their paths from the root."""
    docs = pathlib.Path(config.docs_dir)
    own = {f for f in files if f.src_dir and docs == pathlib.Path(f.src_dir)}
    site = Files([f for f in files if f not in own])
    for file in own:
        if file.inclusion.is_included():
            site.append(_file(f"docs/{file.src_uri}", file.dest_uri, config))
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            site.append(_file(path.relative_to(ROOT).as_posix(), None, config))
    return site


def _file(path, dest_uri, config):
    return File(
        path,
        str(ROOT),
        config.site_dir,
        config.use_directory_urls,
        dest_uri=dest_uri,
    )
