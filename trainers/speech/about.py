"""What every experiment records of its run."""

from trainers.core import run_directory
from trainers.data.tfds_audio import EVERYBODY
from trainers.speech import corpora

_MOST_NAMED = 5  # words, in a sentence


def about(run):
    """Settings, commit, versions, and what the folds are of, as a dict."""
    return {
        **run_directory.about(run, "test"),
        "seeds": run.seeds,
        "sample_rate": run.clips.sample_rate,
        "left_out": run.clips.left_out,
        "speakers": run.clips.speaker_names,
        "data": {f.corpus.name: _of_corpus(f.corpus) for f in run.folds},
    }


def say_data(figures):
    """What was trained and tested on, as a list of sentences."""
    data = figures["data"].values()

    def total(part, kind):
        return sum(d[part][kind] for d in data)

    def skips(part):
        reasons = {}
        for d in data:
            for reason, count in d[part]["skipped"].items():
                reasons[reason] = reasons.get(reason, 0) + count
        if not reasons:
            return "none skipped"
        said = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
        return f"skipped: {said}"

    said = [
        f"{part.replace('_', '-')}: {total(part, 'clips'):,} clips, "
        f"{total(part, 'frames'):,} frames, {skips(part)}"
        for part in corpora.PARTS
    ]
    return [
        f"Split {figures['settings']['split']}, {len(data)} "
        f"{'fold' if len(data) == 1 else 'folds'}. " + "; ".join(said) + ".",
        *(
            ["The data set tells no speakers: strings are of anybody's clips."]
            if figures.get("speakers") == [EVERYBODY]
            else []
        ),
        *_say_left_out(figures.get("left_out")),  # older figures lack it
    ]


def _say_left_out(counts):
    """Which clips were left out for their labels, as a list of sentences."""
    if not counts:
        return []
    most = sorted(counts.items(), key=lambda item: -item[1])
    said = ", ".join(f"{word} {n:,}" for word, n in most[:_MOST_NAMED])
    more = f" and {len(most) - _MOST_NAMED} more" * (len(most) > _MOST_NAMED)
    return [
        f"Left out, since the lexicon lacks their words: "
        f"{sum(counts.values()):,} clips ({said}{more})."
    ]


def provenance(figures):
    """What a section's figures are of."""
    states = next(iter(figures["data"].values()))["states"]
    return (
        f"Accuracies are of the {states} states that HMMs, trained on the "
        "training clips, align frames with. Choices (word penalty, early "
        "stopping) were made on held-out clips. "
    )


def _of_corpus(corpus):
    parts = {
        part: {
            "clips": len(corpus.used[part]),
            "frames": len(getattr(corpus, part)),
            "skipped": corpus.skipped[part],
        }
        for part in corpora.PARTS
    }
    return {
        **parts,
        "states": corpus.lexicon.num_states,
        # Per frame, of the last iteration with each number of Gaussians.
        "log_likelihoods": [gains[-1] for gains in corpus.hmms.history],
    }
