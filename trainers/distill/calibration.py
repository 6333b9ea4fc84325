"""Whether nets know how often they are right."""

import numpy as np
from scipy import optimize

from trainers.core import pages, plots, strategies
from trainers.distill import evaluated, reading, scores
from trainers.distill.evaluated import DISTILLED

TITLE = "Calibration"
BINS = 15  # of equal width
_TEMPERATURES = (0.05, 20.0)  # among which one is sought
_FEWEST = 3  # cases of a bin that is drawn


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it. Scores of students are means over seeds;
      their bins have the cases of all seeds.
    """
    nets = evaluated.of(run)
    labels = nets.labels[nets.labelled]
    figures = {
        **run.about(),
        "seeds": run.seeds,
        "labelled_cases": len(labels),
        "nets": {},
    }
    if nets.reference != "label":
        return figures
    for name in nets.logits:
        of_seeds = [of_logits(z, labels) for z in nets.on_labelled(name)]
        figures["nets"][name] = _over_seeds(of_seeds)
    figures["held_out"] = strategies.on_chief(lambda: _held_out(run, nets))
    return figures


def of_logits(logits, labels):
    """How well the probabilities of a net fit labels.

    Args:
      logits: `[cases, classes]` array.
      labels: `[cases]` int array.

    Returns:
      Dict: "nll", "brier", "ece" (expected calibration error), floats; and
      "bins", a dict of lists, one entry a bin of the probability of the chosen
      class: "cases", and sums of "confidence" and of cases that are "right".
    """
    confidence = scores.confidences(logits)
    right = logits.argmax(-1) == labels
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = {
        name: np.bincount(which, weights, BINS)
        for name, weights in (
            ("cases", None),
            ("confidence", confidence),
            ("right", right.astype(np.float64)),
        )
    }
    gaps = np.abs(bins["confidence"] - bins["right"])
    return {
        "nll": float(scores.negative_log_likelihoods(logits, labels).mean()),
        "brier": float(scores.brier_scores(logits, labels).mean()),
        "ece": float(gaps.sum() / len(labels)),
        "bins": {name: values.tolist() for name, values in bins.items()},
    }


def _over_seeds(of_seeds):
    found = {
        name: float(np.mean([seed[name] for seed in of_seeds]))
        for name in ("nll", "brier", "ece")
    }
    found["bins"] = {
        name: np.sum([seed["bins"][name] for seed in of_seeds], 0).tolist()
        for name in of_seeds[0]["bins"]
    }
    return found


def _held_out(run, nets):
    """The distilled student, of seed 0, at the temperature of held-out cases.

    Returns:
      Dict: of how many "cases" it is, the "temperature" that the logits are
      divided by, and "nll" and "ece" on test cases "before" and "after"; a
      temperature of None alone where they tell none. None if no held-out case
      has a label.
    """
    split = run.data.held_out
    own = np.asarray(split.labels) >= 0
    if not own.any():
        return None
    net = run.results(DISTILLED)[0].net
    logits = reading.logits_of(net, split.dataset)[own]
    temperature = best_temperature(logits, np.asarray(split.labels)[own])
    test = nets.on_labelled(DISTILLED)[0].astype(np.float64)
    labels = nets.labels[nets.labelled]
    found = {"cases": int(own.sum()), "temperature": temperature}
    if temperature is None:
        return found
    for when, scaled in (("before", test), ("after", test / temperature)):
        of_test = of_logits(scaled, labels)
        found[when] = {name: of_test[name] for name in ("nll", "ece")}
    return found


def best_temperature(logits, labels):
    """The T for which logits / T have the least negative log-likelihood.

    Args:
      logits: `[cases, classes]` array.
      labels: `[cases]` int array.

    Returns:
      Float from 0.05 to 20; None where a bound fits as well, as happens where a
      net gets all cases right.
    """

    def loss(log_temperature):
        scaled = logits / np.exp(log_temperature)
        return scores.negative_log_likelihoods(scaled, labels).mean()

    bounds = tuple(np.log(_TEMPERATURES))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    if min(map(loss, bounds)) <= found.fun:
        return None
    return float(np.exp(found.x))


def table(figures):
    """The nets as a `pages.Table`."""
    rows = [
        (
            evaluated.TITLES[name],
            f"{net['nll']:.3f}",
            f"{net['brier']:.3f}",
            f"{net['ece']:.1%}",
        )
        for name, net in figures["nets"].items()
    ]
    found = figures.get("held_out")
    if found and found["temperature"]:
        rows.append(
            (
                f"seed 0, divided by {found['temperature']:.2f}",
                f"{found['after']['nll']:.3f}",
                "-",
                f"{found['after']['ece']:.1%}",
            )
        )
    head = ("net", "NLL", "Brier score", "calibration error (ECE)")
    return pages.Table(head, tuple(rows) or (("no labels", "-", "-", "-"),))


def findings(figures):
    """What the figures say, as a list of sentences."""
    if not figures["nets"]:
        return ["Calibration can be measured on labelled test cases only."]
    said = [_of_bias(name, net) for name, net in figures["nets"].items()]
    if figures.get("held_out"):
        said.append(_of_temperature(figures["held_out"]))
    return said


def _of_temperature(found):
    # Older figures lack the number of cases.
    cases = f"{found['cases']:,} " if "cases" in found else ""
    if found["temperature"] is None:
        return (
            f"The {cases}labelled held-out cases tell no temperature for the "
            "distilled student of seed 0: they are fitted best at a bound of "
            "the search (0.05 to 20), as happens where a net gets all of them "
            "right, or does no better than chance."
        )
    before, after = found["before"], found["after"]
    return (
        f"The distilled student of seed 0 fits the {cases}labelled held-out "
        f"cases best if its logits are divided by {found['temperature']:.2f}: "
        f"NLL on test cases {before['nll']:.3f} before and "
        f"{after['nll']:.3f} after, calibration error {before['ece']:.1%} and "
        f"{after['ece']:.1%}. Class and order of the classes stay as they are; "
        "the exported student is not changed."
    )


def _of_bias(name, net):
    cases, confidence, right = (
        sum(net["bins"][key]) for key in ("cases", "confidence", "right")
    )
    bias = (confidence - right) / cases
    how = "too sure" if bias > 0 else "not sure enough"
    return (
        f"The {evaluated.TITLES[name]} is {confidence / cases:.1%} sure on "
        f"average and right on {right / cases:.1%}: {how} by "
        f"{100 * abs(bias):.1f} points."
    )


def details(figures, data):
    """The reliability diagram."""
    del data
    if not figures["nets"]:
        return ()
    text = (
        "Reliability diagram: accuracy of the test cases whose chosen class "
        "has a probability within each of 15 bins, and how many they are"
    )
    return (pages.Plot("calibration", _plot(figures), text),)


def _plot(figures):
    figure, (left, right) = plots.new(columns=2)
    left.plot([0, 100], [0, 100], color="0.6", lw=1, ls=":")
    for name, net in figures["nets"].items():
        colour = plots.COLOURS[evaluated.COLOURS[name]]
        bins = {key: np.array(values) for key, values in net["bins"].items()}
        cases = bins["cases"]
        drawn = cases >= _FEWEST
        left.plot(
            100 * bins["confidence"][drawn] / cases[drawn],
            100 * bins["right"][drawn] / cases[drawn],
            "o-",
            color=colour,
            ms=4,
            lw=1.2,
            label=evaluated.TITLES[name],
        )
        edges = np.linspace(0, 100, BINS + 1)
        share = 100 * cases / cases.sum()
        right.stairs(share, edges, color=colour, lw=1.5)
    left.set_xlabel("probability of the chosen class, %")
    left.set_ylabel("right, %")
    left.set_title("on the dotted line a net knows what it knows", fontsize=9)
    right.set_xlabel("probability of the chosen class, %")
    right.set_ylabel("share of test cases, %")
    right.set_title("how sure the nets are", fontsize=9)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    plots.legend_below(figure)
    return figure
