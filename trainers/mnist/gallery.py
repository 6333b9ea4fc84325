"""The digits that a net gets wrong, with the outputs of each net.

A reader sees here what a soft target carries: at T = 1 the teacher's answer is
one digit, at T = 20 it says which others the image looks like.
"""

import base64
import html

import numpy as np
import tensorflow as tf

from trainers.core import pages

NETS = ("teacher", "student", "distilled")
TEMPERATURES = (1.0, 20.0)
_MOST = 250  # cases; a page of more would be slow to open
_BAR_HEIGHT = 36  # pixels of a chart of probabilities


def pick(logits, data):
    """The cases that some net gets wrong.

    Args:
      logits: dict from net to its `[cases, classes]` logits.
      data: the `trainers.data.ImageData` that was evaluated on.

    Returns:
      Dict: "wrong_cases", how many they are; and "cases", the first of them, a
      list of {"case", "label", "logits"} with one list of floats a net.
    """
    choices = np.stack([logits[net].argmax(-1) for net in NETS])
    cases = np.flatnonzero((choices != data.eval_labels).any(0))
    return {
        "wrong_cases": len(cases),
        "cases": [
            {
                "case": int(case),
                "label": int(data.eval_labels[case]),
                "logits": {
                    net: np.round(logits[net][case].astype(float), 3).tolist()
                    for net in NETS
                },
            }
            for case in cases[:_MOST]
        ],
    }


def block(gallery, data):
    """The gallery as a block of a page.

    Args:
      gallery: what `pick` returned.
      data: the `trainers.data.ImageData` that was evaluated on.

    Returns:
      `pages.Html`.
    """
    groups = {}
    for entry in gallery["cases"]:
        wrong = tuple(
            net
            for net in NETS
            if int(np.argmax(entry["logits"][net])) != entry["label"]
        )
        groups.setdefault(wrong, []).append(entry)
    # What distillation repairs comes first, then what it breaks.
    order = {("student",): 0, ("distilled",): 1, ("student", "distilled"): 2}
    markup = [_INTRODUCTION]
    for wrong in sorted(groups, key=lambda wrong: order.get(wrong, 3)):
        cards = "".join(_card(entry, data) for entry in groups[wrong])
        who = " and ".join(wrong)
        which = f"Wrong by the {who} net" + ("s" if len(wrong) > 1 else "")
        opened = " open" if order.get(wrong) == 0 else ""
        markup.append(
            f"<details{opened}><summary>{which} alone: {len(groups[wrong])} "
            f'cases</summary><div class="cards">{cards}</div></details>'
        )
    shown = len(gallery["cases"])
    if shown < gallery["wrong_cases"]:
        markup.append(
            f"<p>The first {shown} of {gallery['wrong_cases']} cases.</p>"
        )
    return pages.Html(
        f"<style>{_STYLE}</style>{''.join(markup)}",
        f"The {gallery['wrong_cases']} digits that a net gets wrong are in "
        "report.html, with the outputs of each net.",
    )


def probabilities(logits, temperature):
    """softmax(logits / temperature) of a list of logits, as an array."""
    scaled = np.asarray(logits, np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max())
    return exponentials / exponentials.sum()


def _card(entry, data):
    """One digit: its picture, its label, and a row a net."""
    rows = "".join(
        _row(net, entry["logits"][net], entry["label"]) for net in NETS
    )
    return (
        f'<figure><figcaption><img class="digit" alt="case {entry["case"]}" '
        f'src="{_picture(data.eval_images[entry["case"]])}">'
        f"<span>label <b>{entry['label']}</b><br>case {entry['case']}</span>"
        f"</figcaption><table>{rows}</table></figure>"
    )


def _row(net, logits, label):
    choice = int(np.argmax(logits))
    verdict = "right" if choice == label else "wrong"
    charts = "".join(
        f"<td>{_chart(probabilities(logits, t), label, t)}</td>"
        for t in TEMPERATURES
    )
    return (
        f'<tr><th>{html.escape(net)}<br><b class="{verdict}">{choice}</b></th>'
        f"{charts}</tr>"
    )


def _chart(shares, label, temperature):
    """Bars of the classes' probabilities, and the largest three in words."""
    scale = _BAR_HEIGHT / max(shares)
    bars = "".join(
        f'<rect class="{"true" if i == label else "other"}" x="{9 * i}" '
        f'y="{_BAR_HEIGHT - p * scale:.1f}" width="8" '
        f'height="{p * scale:.1f}"/>'
        f'<text x="{9 * i + 4}" y="{_BAR_HEIGHT + 10}">{i}</text>'
        for i, p in enumerate(shares)
    )
    largest = np.argsort(shares)[::-1][:3]
    said = ", ".join(f"{i}: {shares[i]:.1%}" for i in largest)
    return (
        f'<svg viewBox="0 0 {9 * len(shares)} {_BAR_HEIGHT + 12}" role="img" '
        f'aria-label="T = {temperature:g}: {said}">{bars}</svg>'
        f"<small>T = {temperature:g} &nbsp; {said}</small>"
    )


def _picture(image):
    """A grey image as a PNG that a page can hold, ink black on white."""
    white = max(1, int(image.max()))
    ink = 255 - np.round(255.0 * image / white).astype(np.uint8)
    png = tf.io.encode_png(ink[..., None]).numpy()
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


_INTRODUCTION = """
<h3>The digits that a net gets wrong</h3>
<p>Of seed 0. Each row is a net with its choice and its probabilities at T = 1
and at T = 20, in bars that are scaled to the largest; the bar of the right
digit is green. At T = 1 a net names one digit; at T = 20 it says what else the
image looks like, which is what the student learns from.</p>
"""

_STYLE = """
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
.cards { display: grid; gap: 1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
figure { margin: 0; padding: .6rem; border: 1px solid #ddd;
  border-radius: .5rem; }
figcaption { display: flex; gap: .75rem; align-items: center; }
.digit { width: 56px; height: 56px; image-rendering: pixelated;
  border: 1px solid #eee; }
figure table { width: 100%; table-layout: fixed; font-size: .75rem; }
figure th, figure td { border: 0; padding: .2rem; white-space: normal;
  text-align: left; vertical-align: top; }
figure th { width: 3.6rem; font-weight: 400; }
svg { width: 100%; display: block; } rect { fill: #8a8a8e; }
rect.true { fill: #1b7837; }
svg text { font-size: 8px; text-anchor: middle; fill: #555; }
.right { color: #1b7837; font-size: 1.1rem; }
.wrong { color: #c0392b; font-size: 1.1rem; }
"""
