"""trainers.core.pages: one page, as Markdown and as HTML that loads nothing."""

import base64
import html.parser
import re

import pytest
from matplotlib import figure as figures
from matplotlib import image

from trainers.core import pages


def plot(name="curve"):
    figure = figures.Figure()
    figure.subplots().plot([1, 2, 4])
    return pages.Plot(name, figure, "a <curve>")


@pytest.fixture
def sections():
    return [
        pages.Section(
            "First & last",
            (
                pages.Text("p < 0.05"),
                pages.Table(
                    ["net", "errors"], [["big", "7"], ["<small>", "9"]]
                ),
                pages.Bullets(("one", "two")),
            ),
        ),
        pages.Section(
            "Second", (plot(), pages.Html("<b>bold</b>", "not bold"))
        ),
    ]


class Reader(html.parser.HTMLParser):
    """Collects tags, texts and what the page would load."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.loads = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.loads += [v for n, v in attrs if n in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_markdown(sections):
    text = pages.to_markdown("Title", sections)
    assert text.startswith("# Title\n\n## First & last\n\np < 0.05\n\n| net |")
    assert "| net | errors |\n| --- | --- |\n| big | 7 |\n" in text
    assert "- one\n- two\n" in text
    assert text.endswith("![a <curve>](curve.png)\n\nnot bold\n")


def test_html_is_well_formed_and_loads_nothing(sections):
    text = pages.to_html("Title <1>", sections)
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    for said in ("Title <1>", "First & last", "p < 0.05", "<small>", "bold"):
        assert said in reader.texts
    assert "not bold" not in reader.texts
    inside = [u for u in reader.loads if u.startswith(("#", "data:"))]
    assert len(inside) == len(reader.loads) == 3  # two links and a picture
    for target in (u[1:] for u in inside if u.startswith("#")):
        assert f'id="{target}"' in text
    assert "http" not in text and "@import" not in text


def test_the_plot_is_the_same_in_both(sections, tmp_path):
    pages.write(tmp_path, "Title", sections)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["curve.png", "report.html", "report.md"]
    picture = image.imread(tmp_path / "curve.png")
    assert picture.shape[0] > 300 and picture.std() > 0.05
    text = (tmp_path / "report.html").read_text()
    [embedded] = re.findall(r"data:image/png;base64,([\w+/=]+)", text)
    assert base64.b64decode(embedded) == (tmp_path / "curve.png").read_bytes()


def test_an_interval_is_text_of_any_format():
    assert pages.interval([-0.125, 1.5], ".0%") == "-12% to 150%"
    assert pages.interval([None, None], ".0%") == "-"


def test_a_share_is_text_with_its_interval():
    figures = {"mean": 0.626, "ci95": [0.5, 0.75]}
    assert pages.share(figures) == "63% (50% to 75%)"
    assert pages.share({"mean": 0.626, "ci95": [None, None]}) == "63% (-)"
    assert pages.share({"mean": None, "ci95": [None, None]}) == "-"
    assert pages.share(None) == "-"


def test_a_bar_in_a_name_ends_no_cell_of_markdown():
    table = pages.Table(("class",), (("a|b",),))
    assert table.markdown()[-1] == "| a\\|b |"
    assert "<td>a|b</td>" in table.html()


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.00009, "p < 0.0001"), (0.0123, "p = 0.012"), (1.0, "p = 1")],
)
def test_p_values(p, text):
    assert pages.p_value({"p_value": p}) == text
