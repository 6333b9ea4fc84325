"""A report as report.md with its plots, and as one self-contained report.html.

A page is a list of sections, a section a list of blocks; every block knows how
it reads in Markdown and in HTML. `report.html` embeds its pictures and loads
nothing, so that it opens from disk and can be sent to somebody.
"""

import base64
import dataclasses
import functools
import html
import io

from matplotlib import figure as figures

from kdtf import _atomic

_WIDE_INCHES = 8.0  # wider plots scroll on a narrow screen


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str

    def markdown(self):
        """Lines of Markdown."""
        return [self.text]

    def html(self):
        """The paragraph as HTML."""
        return f"<p>{html.escape(self.text)}</p>"


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list of plain texts."""

    items: tuple

    def markdown(self):
        """Lines of Markdown."""
        return [f"- {item}" for item in self.items]

    def html(self):
        """The list as HTML."""
        items = (f"<li>{html.escape(item)}</li>" for item in self.items)
        return f"<ul>{''.join(items)}</ul>"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of texts; its first column names the row.

    Attributes:
      head: sequence of str, one a column.
      rows: sequence of sequences of str, as long as the head.
    """

    head: tuple
    rows: tuple

    def markdown(self):
        """Lines of Markdown."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return ["| " + " | ".join(map(_cell, cells)) + " |" for cells in lines]

    def html(self):
        """The table as HTML, in a box that scrolls on a narrow screen."""

        def row(cells, tag):
            inner = (f"<{tag}>{html.escape(c)}</{tag}>" for c in cells)
            return f"<tr>{''.join(inner)}</tr>"

        body = "".join(row(cells, "td") for cells in self.rows)
        return (
            '<div class="wide"><table><thead>'
            f"{row(self.head, 'th')}</thead><tbody>{body}</tbody></table></div>"
        )


def _cell(text):
    """A text that ends no cell of Markdown."""
    return text.replace("|", "\\|")


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot, with a sentence for those who cannot see it.

    Attributes:
      name: str, of the PNG file, without its ending.
      figure: `matplotlib.figure.Figure`.
      text: str, what it shows.
    """

    name: str
    figure: figures.Figure
    text: str

    @functools.cached_property
    def png(self):
        """The picture's bytes."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=130)
        return buffer.getvalue()

    def markdown(self):
        """Lines of Markdown."""
        return [f"![{self.text}]({self.name}.png)"]

    def html(self):
        """The picture as HTML, with its bytes inside."""
        data = base64.b64encode(self.png).decode()
        text = html.escape(self.text)
        image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
        if self.figure.get_figwidth() > _WIDE_INCHES:  # several panels
            return f'<div class="wide panels">{image}</div>'
        return image


@dataclasses.dataclass(frozen=True)
class Html:
    """What only the HTML page can show.

    Attributes:
      markup: str, trusted HTML.
      instead: str, what report.md says in its place.
    """

    markup: str
    instead: str

    def markdown(self):
        """Lines of Markdown."""
        return [self.instead]

    def html(self):
        """The markup."""
        return self.markup


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and its blocks."""

    title: str
    blocks: tuple


def write(directory, title, sections):
    """Writes report.md, report.html and the plots, each of them whole.

    Args:
      directory: `pathlib.Path` that exists.
      title: str.
      sections: list of `Section`.
    """
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Plot):
                path = directory / f"{block.name}.png"
                _atomic.write_whole(path, block.png)
    _atomic.write_whole(directory / "report.md", to_markdown(title, sections))
    _atomic.write_whole(directory / "report.html", to_html(title, sections))


def to_markdown(title, sections):
    """The page as Markdown."""
    lines = [f"# {title}"]
    for section in sections:
        lines += ["", f"## {section.title}"]
        for block in section.blocks:
            lines += ["", *block.markdown()]
    return "\n".join(lines) + "\n"


def to_html(title, sections):
    """The page as HTML that loads nothing."""
    names = [f"section{i}" for i in range(len(sections))]
    links = "".join(
        f'<li><a href="#{name}">{html.escape(section.title)}</a></li>'
        for name, section in zip(names, sections, strict=True)
    )
    body = "\n".join(
        f'<section id="{name}"><h2>{html.escape(section.title)}</h2>\n'
        + "\n".join(block.html() for block in section.blocks)
        + "</section>"
        for name, section in zip(names, sections, strict=True)
    )
    return _HTML.format(
        title=html.escape(title), style=_STYLE, links=links, body=body
    )


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d1d1f;
  background: #fff; max-width: 72rem; margin: 0 auto; padding: 0 1rem 4rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
.panels img { min-width: 46rem; }
.wide + img, .wide + .wide { margin-top: 1.25rem; }
table { border-collapse: collapse; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd;
  text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #888; white-space: normal; }
nav ul { columns: 16rem; padding-left: 1.2rem; }
"""

_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<nav><ul>{links}</ul></nav>
{body}
</body>
</html>
"""


def interval(bounds, spec):
    """`[low, high]` as text; a dash where a single seed gives none."""
    if None in bounds:
        return "-"
    return f"{bounds[0]:{spec}} to {bounds[1]:{spec}}"


def p_value(test):
    """The p-value of a test, a dict with "p_value", as text."""
    p = test["p_value"]
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def share(figures):
    """A share with its interval as text; a dash where it is undefined.

    Args:
      figures: dict of "mean" and "ci95", or None.
    """
    if figures is None or figures["mean"] is None:
        return "-"
    return f"{figures['mean']:.0%} ({interval(figures['ci95'], '.0%')})"
