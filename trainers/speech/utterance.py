"""One test clip as the nets see it: spectrogram, alignment, posteriors."""

import numpy as np
from matplotlib import figure as mpl

from trainers.core import plots
from trainers.speech import scores
from trainers.speech.frames import Frames

_SHOWN = ("baseline", "ensemble", "distilled")


def pick(nets, fold):
    """The test clip on which the ensemble's gain is largest, in numbers.

    Args:
      nets: dict from system to its nets, of which the first is shown.
      fold: `run.Fold`.

    Returns:
      Dict that JSON can hold, for `plot`.
    """
    corpus = fold.corpus
    wrong = {
        name: scores.of_frames(nets[name][:1], corpus).wrong[0]
        for name in _SHOWN
    }
    gains = (wrong["baseline"] - wrong["ensemble"]) / corpus.test.lengths
    chosen = int(gains.argmax())
    rows = corpus.test.rows_of([chosen])
    clip = int(corpus.used["test"][chosen])
    frames = Frames(corpus.test.values[rows], np.array([len(rows)]))
    states = corpus.test.states[rows]
    shown = sorted(set(states.tolist()))
    posteriors = {}
    for name in _SHOWN:
        [log_posteriors] = scores.log_posteriors(nets[name][0], frames)
        posteriors[name] = np.exp(log_posteriors)[:, shown].round(3).tolist()
    return {
        "word": corpus.clips.transcripts()[clip],
        "speaker": str(corpus.clips.speakers[clip]),
        "recording": int(corpus.clips.recordings[clip]),
        "frames_wrong": {n: int(w[chosen]) for n, w in wrong.items()},
        "log_mel": (frames.values * corpus.deviation + corpus.mean)
        .astype(float)
        .round(2)
        .tolist(),
        "alignment": [shown.index(s) for s in states.tolist()],
        "state_names": [corpus.lexicon.state_names[s] for s in shown],
        "posteriors": posteriors,
    }


def plot(figures):
    """A `matplotlib` figure of what `pick` returned."""
    figure = mpl.Figure(figsize=(9, 11), layout="constrained")
    panels = figure.subplots(1 + len(_SHOWN), 1, sharex=True)
    alignment = np.array(figures["alignment"])
    time = len(alignment)
    # A frame every 10 ms; pictures reach from the first frame to the last.
    extent = (0, 10 * time)
    spectrum = np.array(figures["log_mel"]).T
    image = panels[0].imshow(
        spectrum,
        origin="lower",
        aspect="auto",
        extent=(*extent, 0, len(spectrum)),
        cmap="magma",
    )
    figure.colorbar(image, ax=panels[0], label="log energy")
    panels[0].set_ylabel("mel band")
    panels[0].set_title(
        f'"{figures["word"]}", {figures["speaker"]}, recording '
        f"{figures['recording']}: spectrogram"
    )
    states = len(figures["state_names"])
    for axes, name in zip(panels[1:], _SHOWN, strict=True):
        image = axes.imshow(
            np.array(figures["posteriors"][name]).T,
            origin="lower",
            aspect="auto",
            extent=(*extent, 0, states),
            cmap="Greys",
            vmin=0,
            vmax=1,
        )
        axes.step(
            10 * np.arange(time + 1),
            np.append(alignment, alignment[-1]) + 0.5,
            where="post",
            color=plots.COLOURS["student"],
            lw=1.2,
            label="alignment",
        )
        axes.set_yticks(np.arange(states) + 0.5, figures["state_names"])
        axes.tick_params(axis="y", labelsize=6)
        axes.set_ylabel("state")
        axes.set_title(
            f"{name}: {figures['frames_wrong'][name]} of {time} frames wrong"
        )
        figure.colorbar(image, ax=axes, label="posterior")
    panels[1].legend(fontsize=8, loc="upper left")
    panels[-1].set_xlabel("time in ms")
    return figure
