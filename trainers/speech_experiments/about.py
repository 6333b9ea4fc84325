"""What every experiment says of its run."""

import dataclasses

from trainers import common
from trainers.speech_experiments import corpora


def about(run):
    """Settings, commit, versions, and what the folds are of, as a dict."""
    return {
        "dataset": run.settings.dataset,
        "evaluated_on": "test",
        "seeds": run.seeds,
        "commit": common.commit(),
        "versions": common.versions(),
        "settings": dataclasses.asdict(run.settings),
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
        f"{'fold' if len(data) == 1 else 'folds'}. " + "; ".join(said) + "."
    ]


def provenance(figures):
    """What a section's figures are of."""
    states = next(iter(figures["data"].values()))["states"]
    return (
        f"Accuracies are of the {states} states that HMMs, trained on the "
        "training clips, align frames with. Choices (word penalty, early "
        "stopping) were made on held-out training clips. "
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
