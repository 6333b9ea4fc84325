"""Teacher, plain and distilled student side by side, and what it means.

Where test cases have labels, nets are compared by accuracy, else by how often
they choose what the teacher chooses.
"""

import numpy as np

from trainers.core import pages, plots, statistics
from trainers.distill import costs, evaluated, scores, verdict
from trainers.distill.evaluated import DISTILLED, PLAIN, TEACHER

TITLE = "Is the distillation worth it?"
_MOST_SEEDS = 5  # that a sentence tells of
_HELD_OUT = {
    "held_out_accuracy": "accuracy on held-out cases, %",
    "held_out_agreement": "agreement with the teacher on held-out cases, %",
}


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it; fidelity is a mean over seeds.
    """
    nets = evaluated.of(run)
    train = run.data.train
    return {
        **run.about(),
        "seeds": run.seeds,
        "cases": len(nets.labels),
        "labelled_cases": int(nets.labelled.sum()),
        "classes": run.data.classes,
        "train_cases": train.cases,
        "cut_clips": run.data.cut_clips,
        "train_labelled": int((np.asarray(train.labels) >= 0).sum()),
        "reference": nets.reference,
        "nets": {name: _of_net(run, nets, name) for name in nets.logits},
        "gain": _gain(nets),
        "teacher_lead": _difference(nets, PLAIN, TEACHER),
        "behind_teacher": _difference(nets, DISTILLED, TEACHER),
        "speed": costs.speeds(costs.measured(run)),
    }


def _of_net(run, nets, name):
    found = {"parameters": _parameters(run, name)}
    if name != TEACHER:
        results = run.results(name)
        found["seconds"] = statistics.over_seeds(
            [r.seconds_per_epoch * r.curve[-1]["epoch"] for r in results]
        )
        found["curves"] = [r.curve for r in results]
        if TEACHER in nets.logits:
            [teacher] = nets.logits[TEACHER]
            found["agreement"] = _rates(~nets.differs(name))
            found["fidelity_kl"] = float(
                np.mean(
                    [scores.divergences(teacher, z) for z in nets.logits[name]]
                )
            )
    if nets.reference == "label":
        labels = nets.labels[nets.labelled]
        found["accuracy"] = _rates(~nets.wrong(name))
        found["nll"] = float(
            np.mean(
                [
                    scores.negative_log_likelihoods(z, labels)
                    for z in nets.on_labelled(name)
                ]
            )
        )
    return found


def _rates(hits):
    """Figures of `[seeds, cases]` bool; of one net an interval over cases."""
    rates = statistics.over_seeds(hits.mean(1))
    if len(hits) > 1:  # the t-interval of two seeds may be wider than all rates
        rates["ci95"] = np.clip(rates["ci95"], 0.0, 1.0).tolist()
    else:
        rates["ci95_cases"] = statistics.wilson(int(hits.sum()), hits.shape[1])
    return rates


def _parameters(run, name):
    if name == TEACHER:
        # Of a SavedModel inside a net Keras may count none.
        return (run.teacher and int(run.teacher.count_params())) or None
    return int(run.results(name)[0].model.count_params())


def _gain(nets):
    """What distillation adds to the plain student, or None.

    Shares of cases: of those that are right or, without labels, of those on
    which a net chooses what the teacher chooses.
    """
    if nets.reference is None or PLAIN not in nets.logits:
        return None
    plain, distilled = nets.missed(PLAIN), nets.missed(DISTILLED)
    share, interval = None, [None, None]
    if nets.reference == "label" and TEACHER in nets.logits:
        teacher = np.broadcast_to(nets.wrong(TEACHER), plain.shape)
        share, interval = statistics.gain_transferred(teacher, plain, distilled)
    return {
        **statistics.over_seeds(plain.mean(1) - distilled.mean(1)),
        "p_value": statistics.paired_errors([distilled], [plain])["p_value"],
        "mcnemar": [
            statistics.mcnemar(*each)
            for each in zip(plain, distilled, strict=True)
        ],
        "transferred": {"mean": share, "ci95": interval},
    }


def _difference(nets, first, second):
    """How much larger a share of cases the second gets right, or None."""
    if nets.reference != "label" or not {first, second} <= nets.logits.keys():
        return None
    groups = nets.wrong(first), nets.wrong(second)
    test = statistics.paired_errors([groups[0]], [groups[1]])
    return {
        "mean": float(groups[0].mean() - groups[1].mean()),
        "p_value": test["p_value"],
    }


def introduction(figures):
    """The verdict."""
    return verdict.paragraph(figures)


def table(figures):
    """The nets as a `pages.Table`."""
    nets = figures["nets"]
    has_labels = figures["reference"] == "label"
    has_teacher = TEACHER in nets
    # From a column's head to the text of a net; only what is known is shown.
    columns = {
        **(_columns_of_labels(figures) if has_labels else {}),
        **(_columns_of_teacher(figures) if has_teacher else {}),
        "parameters": lambda net: _count(net["parameters"]),
        "training time": lambda net: (
            _duration(net["seconds"]["mean"]) if "seconds" in net else "-"
        ),
    }
    return pages.Table(
        ("net", *columns),
        tuple(
            (evaluated.TITLES[name], *(text(net) for text in columns.values()))
            for name, net in nets.items()
        ),
    )


def _columns_of_labels(figures):
    return {
        **_rate_columns("accuracy", "test accuracy", figures["labelled_cases"]),
        "NLL": lambda net: f"{net['nll']:.3f}",
    }


def _columns_of_teacher(figures):
    title, cases = "agrees with the teacher", figures["cases"]
    rates = {title: lambda net: _rate(net.get("agreement"), cases)}
    if figures["reference"] == TEACHER:
        rates = _rate_columns("agreement", title, cases)
    return {
        **rates,
        "KL from the teacher": lambda net: (
            f"{net['fidelity_kl']:.3f}" if "fidelity_kl" in net else "-"
        ),
    }


def _rate_columns(key, title, cases):
    """Mean, interval and each seed of the rate that nets are compared by."""
    return {
        title: lambda net: _rate(net.get(key), cases),
        "95 % interval": lambda net: _interval(net.get(key), cases),
        "each seed": lambda net: _each(net.get(key), cases),
    }


def _rate(rate, cases):
    return "-" if rate is None else evaluated.percent(rate["mean"], cases)


def _interval(rate, cases):
    if rate is None:
        return "-"
    if "ci95_cases" in rate:
        return f"{evaluated.interval(rate['ci95_cases'], cases)} (cases)"
    return evaluated.interval(rate["ci95"], cases)


def _each(rate, cases):
    if rate is None or len(rate["each"]) < 2:
        return "-"
    return ", ".join(evaluated.percent(each, cases) for each in rate["each"])


def _count(parameters):
    return "-" if parameters is None else f"{parameters:,}"


def _duration(seconds):
    """Seconds as a reader would say it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def findings(figures):
    """What the figures say, as a list of sentences."""
    return [
        *_of_gain(figures),
        *_of_teacher(figures),
        *_of_labels(figures),
        *_of_intervals(figures),
        *_of_speed(figures),
        *_of_clips(figures),
    ]


def _of_gain(figures):
    gain = figures["gain"]
    if gain is None:
        return []
    what = verdict.RATES[figures["reference"]]
    over_seeds = ""
    if None not in gain["ci95"]:
        low, high = (f"{100 * b:+.1f}" for b in gain["ci95"])
        over_seeds = (
            f"; 95 % interval over {figures['seeds']} seeds, paired: {low} to "
            f"{high}"
        )
    said = [
        f"Distillation changes the plain student's {what} by "
        f"{100 * gain['mean']:+.1f} points ("
        f"{pages.p_value(gain)} in a paired test over "
        f"{verdict.compared_cases(figures):,} test cases{over_seeds})."
    ]
    share = gain["transferred"]
    if share["mean"] is not None:
        over = "seeds and cases" if figures["seeds"] > 1 else "cases"
        said.append(
            f"It keeps {pages.share(share)} of the teacher's advantage over "
            f"the plain student (95 % bootstrap over {over})."
        )
    counts = "; ".join(
        f"seed {seed}: {each['only_first_wrong']} and "
        f"{each['only_second_wrong']}, {pages.p_value(each)}"
        for seed, each in enumerate(gain["mcnemar"][:_MOST_SEEDS])
    )
    if figures["seeds"] > _MOST_SEEDS:
        counts += "; of the other seeds see metrics.json"
    return [
        *said,
        "Test cases that only the plain student and only the distilled one "
        f"{_MISSED[figures['reference']]} (McNemar's exact test): {counts}.",
    ]


_MISSED = {
    "label": "gets wrong",
    TEACHER: "answers otherwise than the teacher",
}


def _of_teacher(figures):
    net = figures["nets"][DISTILLED]
    if "agreement" not in net:
        return [
            "The teacher is known by its stored soft targets alone, which are "
            "of training cases: it has no figures on test cases."
        ]
    plain = figures["nets"].get(PLAIN)
    than = ""
    if plain:
        than = (
            f", the plain one on {plain['agreement']['mean']:.1%}, with a mean "
            f"KL divergence from its probabilities of {net['fidelity_kl']:.3f} "
            f"and {plain['fidelity_kl']:.3f} at T = 1"
        )
    return [
        "The distilled student chooses what the teacher chooses on "
        f"{net['agreement']['mean']:.1%} of {figures['cases']:,} test "
        f"cases{than}."
    ]


def _of_labels(figures):
    labelled, cases = figures["train_labelled"], figures["train_cases"]
    if not 0 < labelled < cases:
        return []
    return [
        f"{labelled:,} of {cases:,} training cases have a label. On the others "
        "the distilled student has the teacher's word; the plain student "
        "learns from the labelled ones alone, in as many updates."
    ]


def _of_intervals(figures):
    said = []
    if figures["seeds"] < 2 and figures["reference"] is not None:
        said.append(
            "Intervals are over test cases (Wilson): one seed says nothing of "
            "how far another training would be from this one."
        )
    elif "ci95_cases" in figures["nets"].get(TEACHER, {}).get("accuracy", {}):
        said.append(
            "The students' intervals are over seeds; there is one teacher, "
            "whose interval is over test cases (Wilson)."
        )
    unlabelled = figures["cases"] - figures["labelled_cases"]
    if figures["labelled_cases"] and unlabelled:
        said.append(
            f"{unlabelled:,} of {figures['cases']:,} test cases have no label: "
            "they count where nets are compared with the teacher only."
        )
    return said


def _of_speed(figures):
    if not figures["speed"]:
        return []
    fast, slow = (figures["speed"][n] for n in (DISTILLED, TEACHER))
    return [
        f"The student predicts {fast:,.0f} cases a second in batches of "
        f"{costs.BATCH}, the teacher {slow:,.0f}, both as SavedModels on the "
        "machine that the report was made on."
    ]


def _of_clips(figures):
    cut = figures.get("cut_clips")  # older figures lack it
    if not cut:
        return []
    return [f"{cut:,} clips are longer than --seconds, and lose their end."]


def details(figures, data):
    """The section's plot."""
    del data
    text = "Learning curves on held-out cases, a line a seed"
    if figures["reference"] is not None:
        text = (
            f"Test {verdict.RATES[figures['reference']]} of the nets, a point "
            f"a seed with mean and 95 % interval, and {text.lower()}"
        )
    return (pages.Plot("comparison", _plot(figures), text),)


def _plot(figures):
    figure, (left, right) = plots.new(columns=2)
    _plot_rates(left, figures)
    _plot_curves(right, figures)
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.3)
    plots.legend_below(figure)
    return figure


def _plot_rates(axes, figures):
    key = {"label": "accuracy", TEACHER: "agreement"}.get(figures["reference"])
    nets = {n: net for n, net in figures["nets"].items() if net.get(key)}
    for x, (name, net) in enumerate(nets.items()):
        rate = dict(net[key])
        rate["ci95"] = rate.pop("ci95_cases", rate["ci95"])
        colour = plots.COLOURS[evaluated.COLOURS[name]]
        plots.with_interval(axes, x, plots.percent(rate), colour)
    if not nets:
        axes.set_axis_off()
        return
    titles = [evaluated.TITLES[n].replace(" ", "\n") for n in nets]
    axes.set_xticks(range(len(nets)), titles)
    axes.set_xlim(-0.5, len(nets) - 0.5)
    cases = verdict.compared_cases(figures)
    what = verdict.RATES[figures["reference"]]
    axes.set_ylabel(f"{what}, {cases:,} test cases, %")
    axes.set_title("a point a seed; mean and 95 % interval", fontsize=9)


def _plot_curves(axes, figures):
    nets = {n: net for n, net in figures["nets"].items() if "curves" in net}
    points = [p for net in nets.values() for c in net["curves"] for p in c]
    found = [key for key in _HELD_OUT if all(key in p for p in points)]
    key, label = "loss", "training loss"
    scale = 1.0
    if found:
        key, scale = found[0], 100.0
        label = _HELD_OUT[key]
    for name, net in nets.items():
        plots.curves(
            axes,
            net["curves"],
            lambda point: scale * point[key],
            plots.COLOURS[evaluated.COLOURS[name]],
            evaluated.TITLES[name],
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.set_title("a line a seed", fontsize=9)
