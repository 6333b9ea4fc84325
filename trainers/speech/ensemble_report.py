"""Table, findings and plots of the ensemble experiment, from its figures."""

import numpy as np

from trainers.core import pages, plots
from trainers.speech import recipes, utterance, word_penalties
from trainers.speech.about import say_data

MEANING = {
    "baseline": "members' mean",
    "ensemble": "arithmetic mean",
    "distilled": "soft targets",
    "control": "labels, as many updates",
}
COLOURS = {
    "baseline": plots.COLOURS["student"],
    "ensemble": plots.COLOURS["teacher"],
    "distilled": plots.COLOURS["distilled"],
    "control": plots.COLOURS["other"],
}
READING = {
    "half": "soft 1, hard 0.5",
    "equal": "soft 0.5, hard 0.5",
}
# Section 4, in points of frame accuracy above the baseline's 58.9 %.
PAPER_GAINS = {"ensemble": 2.2, "distilled": 1.9}
PAPER_SHARE = 0.86


def table(metrics):
    """The systems as a `pages.Table`."""
    systems = metrics["systems"]
    conditions = list(systems["baseline"]["words"])
    head = [
        "system",
        "nets",
        "frame accuracy",
        "95 % interval",
        "gain kept",
        "NLL",
        "ECE",
        *(f"WER {name}" for name in conditions),
    ]
    rows = []
    for name, system in systems.items():
        accuracy = system["accuracy"]
        gain = metrics["gain_kept"].get(name)
        rows.append(
            [
                f"{name} ({MEANING[name]})",
                str(system["nets"]),
                f"{accuracy['mean']:.2%}",
                pages.interval(accuracy["ci95"], ".2%"),
                _share(gain) if gain else "-",
                f"{system['nll']:.4f}",
                f"{system['ece']:.2%}",
                *(f"{system['words'][c]['rate']:.2%}" for c in conditions),
            ]
        )
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    said = say_data(metrics)
    for name, text, paper in (
        (
            "distilled",
            "the distilled net keeps of the ensemble's gain over the baseline",
            "; the paper's keeps 86 %.",
        ),
        ("control", "the control on labels keeps of it", "."),
        (
            "distilled_over_control",
            "the distilled net keeps of the ensemble's gain over the control",
            ".",
        ),
    ):
        share = metrics["gain_kept"][name]
        found = "nothing, there is no gain."
        if share["mean"] is not None:
            found = (
                f"{_share(share)}, bootstrap over nets and utterances{paper}"
            )
        said.append(f"What {text}: {found}")
    if count := metrics["settings"].get("hearings"):  # older figures lack it
        said.append(
            f"The distilled nets learn from {count} hearings of each training "
            "clip, of another speed and loudness and in faint noise; members "
            "and control learn from the clips as recorded."
        )
    tests = metrics["word_tests"]
    if tests:
        each = "; ".join(
            f"{name} {test['difference']:+.1f} ({pages.p_value(test)})"
            for name, test in tests.items()
        )
        said.append(
            "Words misheard by the distilled net less those by the ensemble, "
            f"paired tests over utterances: {each}."
        )
    if len(metrics["folds"]) > 1:
        each = "; ".join(
            f"{name} {_share(fold['gain_kept']['distilled'])}"
            for name, fold in metrics["folds"].items()
        )
        said.append(f"What the distilled net keeps in each fold: {each}.")
    return said


def sweep_table(metrics):
    """The students at other temperatures and weights as a `pages.Table`."""
    head = [
        "weights",
        "T",
        "frame accuracy",
        "gain kept",
        "gain kept, held-out clips",
        "NLL",
        "ECE",
    ]
    rows = [
        [
            READING[arm["reading"]],
            f"{arm['temperature']:g}",
            f"{arm['accuracy']['mean']:.2%}",
            _share(arm["gain_kept"]),
            "-"
            if arm["held_out_gain_kept"] is None
            else f"{arm['held_out_gain_kept']:.0%}",
            f"{arm['nll']:.4f}",
            f"{arm['ece']:.2%}",
        ]
        for arm in metrics["sweep"]
    ]
    return pages.Table(head, rows)


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    sweep = ()
    if metrics["sweep"]:
        epochs = metrics["sweep"][0]["epochs"]
        sweep = (
            pages.Text(
                "The paper's temperatures, and both readings of its relative "
                "weight of 0.5 on the labels: T^2 KL and half as much of the "
                f"labels' term, or as much of both. One net each, {epochs} "
                "epochs."
            ),
            sweep_table(metrics),
            pages.Plot(
                "speech_temperatures",
                _plot_sweep(metrics),
                "Share of the gain kept against the temperature",
            ),
        )
    return (
        pages.Plot(
            "speech_gains",
            _plot_gains(metrics),
            "Frame accuracy above the baseline of ensemble, student, control",
        ),
        *sweep,
        pages.Plot("speech_words", _plot_words(metrics), "Word error rates"),
        *word_penalties.blocks(metrics["folds"], COLOURS),
        pages.Plot(
            "speech_curves",
            _plot_curves(metrics),
            "Frame accuracy on test clips against the epoch",
        ),
        pages.Plot(
            "speech_utterance",
            utterance.plot(metrics["utterance"]),
            "A test clip: spectrogram, alignment and posteriors",
        ),
    )


def _share(gain):
    if gain["mean"] is None:
        return "-"
    return f"{gain['mean']:.0%} ({pages.interval(gain['ci95'], '.0%')})"


def _plot_gains(metrics):
    figure, axes = plots.new()
    systems = metrics["systems"]
    base = systems["baseline"]["accuracy"]["mean"]
    for x, (name, system) in enumerate(systems.items()):
        gains = plots.percent(system["accuracy"], base)
        axes.bar(x, gains.mean, 0.6, color=COLOURS[name], alpha=0.35)
        plots.with_interval(axes, x, gains, COLOURS[name])
        axes.annotate(
            f"{system['accuracy']['mean']:.1%}",
            (x + 0.31, gains.mean),
            va="center",
        )
        if name in PAPER_GAINS:
            paper = PAPER_GAINS[name]
            axes.hlines(paper, x - 0.3, x + 0.3, color="black", ls="--")
    axes.axhline(0, color="grey", lw=0.8)
    axes.plot([], [], "o", color="grey", ms=3, label="one net")
    axes.plot([], [], color="grey", lw=2, label="95 % interval of the mean")
    axes.plot([], [], "k--", label="the paper's gain, on other data")
    axes.set_xticks(
        range(len(systems)), [f"{n}\n{MEANING[n]}" for n in systems]
    )
    axes.set_xlim(-0.6, len(systems) - 0.2)
    axes.set_ylabel("points of frame accuracy above the baseline")
    axes.set_title(
        f"{metrics['dataset']}: gain in frame accuracy on test clips"
    )
    axes.legend(fontsize=8)
    return figure


def _plot_sweep(metrics):
    figure, axes = plots.new()
    colours = dict(zip(READING, COLOURS.values(), strict=False))
    for reading, label in READING.items():
        arms = [
            a
            for a in metrics["sweep"]
            if a["reading"] == reading and a["gain_kept"]["mean"] is not None
        ]
        xs = [a["temperature"] for a in arms]
        ys = np.array([a["gain_kept"]["mean"] for a in arms])
        axes.plot(xs, 100 * ys, "o-", color=colours[reading], label=label)
        for x, arm in zip(xs, arms, strict=True):
            if None not in arm["gain_kept"]["ci95"]:
                axes.vlines(
                    x,
                    *(100 * np.array(arm["gain_kept"]["ci95"])),
                    color=colours[reading],
                    alpha=0.5,
                    lw=2,
                )
    plots.level(axes, 100 * PAPER_SHARE, "black", "the paper's share, 86 %")
    axes.set_xscale("log")
    axes.set_xticks(
        recipes.TEMPERATURES, [f"{t:g}" for t in recipes.TEMPERATURES]
    )
    axes.minorticks_off()
    axes.set_xlabel("temperature T (log scale)")
    axes.set_ylabel("share of the ensemble's gain kept, %")
    axes.set_title(f"{metrics['dataset']}: temperatures (line: 95 % interval)")
    axes.legend(fontsize=8)
    return figure


def _plot_words(metrics):
    systems = metrics["systems"]
    conditions = list(systems["baseline"]["words"])
    figure, axes = plots.new()
    width = 0.8 / len(systems)
    for i, (name, system) in enumerate(systems.items()):
        rates = [100 * system["words"][c]["rate"] for c in conditions]
        places = np.arange(len(conditions)) + (i - 1.5) * width
        axes.bar(places, rates, width, color=COLOURS[name], label=name)
    axes.set_xticks(
        range(len(conditions)),
        [c.replace(", ", "\n") for c in conditions],
        fontsize=8,
    )
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # room for the legend
    axes.set_ylabel("word error rate, %")
    axes.set_title(
        f"{metrics['dataset']}: words, clean and with white noise so far below"
    )
    axes.legend(fontsize=8)
    return figure


def _plot_curves(metrics):
    figure, axes = plots.new()
    for name, curves in metrics["curves"].items():
        for i, curve in enumerate(curves):
            axes.plot(
                [p["epoch"] for p in curve],
                [100 * p["test_accuracy"] for p in curve],
                color=COLOURS[name],
                lw=1,
                alpha=0.8,
                label=name if i == 0 else None,
            )
    level = metrics["systems"]["ensemble"]["accuracy"]["mean"]
    if len(metrics["folds"]) == 1:
        plots.level(axes, 100 * level, COLOURS["ensemble"], "ensemble")
    axes.set_xlabel("epoch")
    axes.set_ylabel("frame accuracy on test clips, %")
    fold = next(iter(metrics["folds"]))
    axes.set_title(f"{metrics['dataset']}, {fold}: one line a net")
    axes.legend(fontsize=8)
    return figure
