"""Soft targets as regularisers: few training clips (paper, section 6).

On labels, with early stopping on held-out clips; and on the soft targets of a
net that learned from all clips, without early stopping. All nets are trained in
as many updates.
"""

from trainers.core import pages, plots, statistics
from trainers.speech import nets, recipes, scores
from trainers.speech.about import about, say_data

TITLE = "Soft targets as regularisers"
KINDS = ("hard", "soft")
MEANING = {
    "hard": "labels, early stopping",
    "soft": "soft targets of a net that saw all clips",
}
COLOURS = {
    "hard": plots.COLOURS["student"],
    "soft": plots.COLOURS["distilled"],
}
# Frame accuracy in % (section 6), by share of the data: training, test.
PAPER = {
    ("hard", 1.0): (63.4, 58.9),
    ("hard", 0.03): (67.3, 44.5),
    ("soft", 0.03): (65.4, 57.0),
}
PAPER_RECOVERED = "87 %"


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    for soft in (False, True):
        run.train_at_once(
            [
                recipes.few_clips(run.settings, share, soft=soft)
                for share in recipes.SHARES
            ]
        )
    measured = {
        (kind, share): _measure(run, share, kind)
        for share in recipes.SHARES
        for kind in KINDS
    }
    whole = measured["hard", 1.0][0]
    figures = {**about(run), "arms": []}
    for (kind, share), (pooled, arm) in measured.items():
        figures["arms"].append(
            {"kind": kind, "share": share, **arm, **scores.summarise(pooled)}
        )
    figures["recovered"] = {
        f"{share:g}": _recovered(
            measured["hard", share][0], whole, measured["soft", share][0]
        )
        for share in recipes.SHARES
        if share < 1
    }
    return figures


def _measure(run, share, kind):
    """`(Scores, dict)` of an arm: over all folds; what else is told of it."""
    arm = recipes.few_clips(run.settings, share, soft=kind == "soft")
    pooled, train, results = [], [], []
    for fold in run.folds:
        found = [fold.train(arm, seed) for seed in range(run.seeds)]
        pooled.append(scores.of_frames([r.net for r in found], fold.corpus))
        rows = fold.corpus.training.rows_of(fold.corpus.nested(share))
        train.append(
            [nets.accuracy(r.net, fold.corpus.training, rows) for r in found]
        )
        results += found
    seeds = [sum(parts) / len(parts) for parts in zip(*train, strict=True)]
    return scores.pool(pooled), {
        "train_accuracy": sum(seeds) / len(seeds),
        "clips": len(run.folds[0].corpus.nested(share)),
        "updates": arm.epochs * arm.steps_of(0),
        "stopped_at": [r.best["epoch"] if r.best else None for r in results],
        "epochs": arm.epochs,
        "curves": [r.curve for r in results[: run.seeds]],
    }


def _recovered(hard, whole, soft):
    share, interval = statistics.share_of_gain(
        hard.wrong, whole.wrong, soft.wrong
    )
    return {"mean": share, "ci95": interval}


def table(metrics):
    """The nets as a `pages.Table`."""
    head = [
        "training clips",
        "taught by",
        "frame accuracy, training",
        "frame accuracy, test",
        "95 % interval",
        "stopped at, of its updates",
        "NLL",
        "recovered of what is lost",
        "the paper's training and test",
    ]
    rows = []
    for arm in metrics["arms"]:
        key = arm["kind"], arm["share"]
        recovered = metrics["recovered"].get(f"{arm['share']:g}")
        paper = PAPER.get(key)
        rows.append(
            [
                f"{arm['share']:.0%} ({arm['clips']:,})",
                MEANING[arm["kind"]],
                f"{arm['train_accuracy']:.1%}",
                f"{arm['accuracy']['mean']:.2%}",
                pages.interval(arm["accuracy"]["ci95"], ".2%"),
                _stopped(arm),
                f"{arm['nll']:.3f}",
                pages.share(recovered) if arm["kind"] == "soft" else "-",
                f"{paper[0]} %, {paper[1]} %" if paper else "-",
            ]
        )
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    said = say_data(metrics)
    if "hearings" in metrics["settings"]:  # older figures lack it
        said.append(
            "The nets learn from hearings of the few clips without end, of "
            "another speed and loudness and in noise: with labels, slightly "
            "different ones (of all clips, none); with soft targets, more "
            "varied ones, which the teacher can label."
        )
    for share, recovered in metrics["recovered"].items():
        paper = f"; the paper: {PAPER_RECOVERED}" if share == "0.03" else ""
        said.append(
            f"With {float(share):.0%} of the clips, soft targets recover "
            f"{pages.share(recovered)} of the frame accuracy that labels lose "
            f"(bootstrap over nets and utterances{paper})."
        )
    return said


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "small_data",
            _plot_accuracy(metrics),
            "Frame accuracy against the share of training clips",
        ),
        pages.Plot(
            "small_data_curves",
            _plot_curves(metrics),
            "Frame accuracy on training and test clips against the updates",
        ),
    )


def _stopped(arm):
    if None in arm["stopped_at"]:
        return f"the end, {arm['updates']:,}"
    per_epoch = arm["updates"] // arm["epochs"]
    return ", ".join(f"{per_epoch * e:,}" for e in arm["stopped_at"])


def _plot_accuracy(metrics):
    figure, axes = plots.new()
    for kind in KINDS:
        arms = [a for a in metrics["arms"] if a["kind"] == kind]
        shown = [plots.percent(a["accuracy"]) for a in arms]
        xs = [100 * a["share"] for a in arms]
        plots.sweep(axes, xs, shown, COLOURS[kind], f"test: {MEANING[kind]}")
        axes.plot(
            xs,
            [100 * a["train_accuracy"] for a in arms],
            ":",
            color=COLOURS[kind],
            label=f"training: {MEANING[kind]}",
        )
    for (kind, share), (_, test) in PAPER.items():
        axes.plot([100 * share], [test], "x", color=COLOURS[kind], ms=8)
    axes.plot([], [], "x", color="grey", label="the paper's test, other data")
    plots.shares(axes, recipes.SHARES, "the training clips")
    axes.set_ylabel("frame accuracy, %")
    axes.set_title(
        f"{metrics['dataset']}: few clips (dots: nets; line: 95 % interval)"
    )
    axes.legend(fontsize=7)
    return figure


def _plot_curves(metrics):
    shares = recipes.SHARES
    figure, panels = plots.new(len(shares))
    for axes, share in zip(panels, shares, strict=True):
        for arm in metrics["arms"]:
            if arm["share"] == share:
                _draw_curves(axes, arm)
        axes.set_title(f"{share:.0%} of the training clips", fontsize=9)
        axes.set_xlabel("updates")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("frame accuracy, %")
    panels[-1].legend(fontsize=7)
    figure.suptitle(
        f"{metrics['dataset']}: dotted on training clips, drawn through on "
        "test clips, one line a net"
    )
    return figure


def _draw_curves(axes, arm):
    per_epoch = arm["updates"] // arm["epochs"]
    for i, curve in enumerate(arm["curves"]):
        xs = [per_epoch * p["epoch"] for p in curve]
        for name, style in (("train_accuracy", ":"), ("test_accuracy", "-")):
            axes.plot(
                xs,
                [100 * p[name] for p in curve],
                style,
                color=COLOURS[arm["kind"]],
                lw=1,
                label=f"{MEANING[arm['kind']]}, {name.split('_')[0]}"
                if i == 0
                else None,
            )
