"""How good systems are: frames, calibration and words, utterance by utterance.

A system is one net or several alike, such as students of several seeds. Scores
of several folds are pooled into one, for tests over all their utterances.
"""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf

import kdtf
from kdtf import speech
from trainers.core import seals, statistics
from trainers.speech import word_errors
from trainers.speech.frames import predict

# Of a word, in nats. Noise hides words, which a negative one brings back.
# The surer a net is of itself, the more a word must cost.
PENALTIES = (
    *(-60.0, -40.0, -20.0, -10.0, 0.0, 10.0, 20.0),
    *(30.0, 45.0, 60.0, 90.0, 130.0, 180.0, 250.0),
)
_NETS_FOR_PENALTY = 3


@dataclasses.dataclass(frozen=True)
class Scores:
    """Of a system, on the test clips of a fold or of several.

    Attributes:
      frames: `[utterances]` ints, how many each has.
      wrong: `[nets, utterances]` ints, frames whose state a net misses.
      nll: `[nets]`, mean negative log-likelihood of the states, in nats.
      ece: `[nets]`, expected calibration error.
      held_out_accuracy: `[nets]`, of the frames of held-out clips.
      word_errors: dict from condition to `[nets, utterances]` ints.
      words: dict from condition to `[utterances]` ints, how many were said.
    """

    frames: np.ndarray
    wrong: np.ndarray
    nll: np.ndarray
    ece: np.ndarray
    held_out_accuracy: np.ndarray
    word_errors: dict
    words: dict

    @property
    def accuracy(self):
        """`[nets]`: shares of frames whose state is found."""
        return 1 - self.wrong.sum(1) / self.frames.sum()


def of_frames(nets, corpus):
    """`Scores` without words.

    Args:
      nets: list of `keras.Model`s or `kdtf.Ensemble`s.
      corpus: `corpora.Corpus`.

    Returns:
      `Scores`.
    """
    wrong, nll, ece, held_out = [], [], [], []
    states = corpus.test.states
    for net in nets:
        logits = predict(net, corpus.test)
        wrong.append(corpus.test.per_utterance(logits.argmax(-1) != states))
        for metric, values in (
            (kdtf.metrics.NegativeLogLikelihood(), nll),
            (kdtf.metrics.ExpectedCalibrationError(), ece),
        ):
            metric.update_state(states, logits)
            values.append(float(metric.result()))
        chosen = predict(net, corpus.held_out).argmax(-1)
        held_out.append((chosen == corpus.held_out.states).mean())
    return Scores(
        corpus.test.lengths,
        np.array(wrong),
        np.array(nll),
        np.array(ece),
        np.array(held_out),
        {},
        {},
    )


def with_words(scores, nets, corpus, test, held_out):
    """`Scores` of words, too, and how the penalties were chosen.

    Args:
      scores: `Scores` of the same nets.
      nets: list of nets.
      corpus: `corpora.Corpus`.
      test: dict from condition to `utterances.Utterances`.
      held_out: the same of strings of held-out clips, to choose penalties on,
        each for the condition of its name; where there are none, it is 0.

    Returns:
      `(Scores, dict)`, the dict from condition to a dict of its "penalty", the
      "held_out_rate", the share of the held-out words misheard with it, and
      "rates", a list of pairs of any penalty and its rate.
    """
    chosen = {
        name: choose_penalty(nets, corpus, utterances)
        for name, utterances in held_out.items()
    }
    errors, words = {}, {}
    for name, utterances in test.items():
        penalty = penalty_of(chosen, name)
        counts = [
            _count(utterances, recognise(net, corpus, utterances, penalty))
            for net in nets
        ]
        errors[name] = np.stack([count["errors"] for count in counts])
        words[name] = counts[0]["words"]
    return (
        dataclasses.replace(scores, word_errors=errors, words=words),
        chosen,
    )


def penalty_of(chosen, condition):
    """The word penalty that `with_words` chose; 0 where there was no choice."""
    return chosen[condition]["penalty"] if condition in chosen else 0.0


def choose_penalty(nets, corpus, utterances):
    """The word penalty with the fewest errors.

    Args:
      nets: list of nets, of which the first few are asked.
      corpus: `corpora.Corpus`.
      utterances: `utterances.Utterances` of held-out clips.

    Returns:
      Dict, as `with_words` has it. Of `PENALTIES` that are equally good, it is
      the one in the middle.
    """
    errors = np.zeros(len(PENALTIES))
    asked = nets[:_NETS_FOR_PENALTY]
    for net in asked:
        posteriors = log_posteriors(net, utterances.frames)
        for i, penalty in enumerate(PENALTIES):
            heard = _decode(posteriors, corpus, utterances, penalty)
            errors[i] += _count(utterances, heard)["errors"].sum()
    best = np.flatnonzero(errors == errors.min())
    rates = errors / (sum(map(len, utterances.words)) * len(asked))
    return {
        "penalty": PENALTIES[best[len(best) // 2]],
        "held_out_rate": float(rates.min()),
        "rates": np.column_stack((PENALTIES, rates)).tolist(),
    }


def recognise(net, corpus, utterances, penalty):
    """List with a tuple of words for each utterance."""
    posteriors = log_posteriors(net, utterances.frames)
    return _decode(posteriors, corpus, utterances, penalty)


def log_posteriors(net, frames):
    """List of `[time, states]` arrays, one an utterance."""
    return frames.split(tf.nn.log_softmax(predict(net, frames)).numpy())


def _decode(posteriors, corpus, utterances, penalty):
    return speech.decode(
        posteriors,
        corpus.lexicon,
        log_priors=corpus.log_priors,
        penalty=penalty,
        isolated=utterances.isolated,
        stay=corpus.hmms.stay,
    )


def _count(utterances, heard):
    return word_errors.count(utterances.words, heard)


def fingerprint(nets):
    """Twelve characters that nets of other weights have not."""
    digest = hashlib.sha256()
    for net in nets:
        for weight in net.weights:
            digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:12]


def write(path, scores, chosen):
    """Stores what `with_words` returned.

    Args:
      path: `pathlib.Path`.
      scores: `Scores`.
      chosen: dict.
    """
    path.parent.mkdir(exist_ok=True)
    fields = {
        field.name: _listed(getattr(scores, field.name))
        for field in dataclasses.fields(scores)
    }
    seals.write_json(path, {"scores": fields, "chosen": chosen})


def read(path):
    """What `write` stored: `(Scores, dict)`.

    Raises:
      FlagsError: if it has changed since.
    """
    with seals.named(path, delete=path):
        stored = seals.read_json(path)
        fields = {k: _arrays(v) for k, v in stored["scores"].items()}
        return Scores(**fields), stored["chosen"]


def _listed(value):
    if isinstance(value, dict):
        return {name: _listed(each) for name, each in value.items()}
    return value.tolist()


def _arrays(value):
    if isinstance(value, dict):
        return {name: _arrays(each) for name, each in value.items()}
    return np.array(value)


def pool(scores):
    """One `Scores` of those of the same system in several folds."""
    frames = [s.frames.sum() for s in scores]

    def mean(name):
        return np.average([getattr(s, name) for s in scores], 0, frames)

    def join(arrays):
        return np.concatenate(arrays, axis=-1)

    # A fold may lack strings: its speakers have too few clips for one.
    names = dict.fromkeys(name for s in scores for name in s.words)
    return Scores(
        join([s.frames for s in scores]),
        join([s.wrong for s in scores]),
        mean("nll"),
        mean("ece"),
        mean("held_out_accuracy"),
        *(
            {n: join([of[n] for of in parts if n in of]) for n in names}
            for parts in (
                [s.word_errors for s in scores],
                [s.words for s in scores],
            )
        ),
    )


def summarise(scores):
    """The figures of a system, as a dict that JSON can hold."""
    mean, interval = statistics.mean_and_interval(scores.accuracy)
    return {
        "nets": len(scores.wrong),
        "accuracy": {
            "each": scores.accuracy.tolist(),
            "mean": mean,
            "ci95": interval,
        },
        "held_out_accuracy": float(scores.held_out_accuracy.mean()),
        "nll": float(scores.nll.mean()),
        "ece": float(scores.ece.mean()),
        "words": {
            name: {
                "each": errors.sum(1).tolist(),
                "mean": float(errors.sum(1).mean()),
                "said": int(scores.words[name].sum()),
                "rate": float(errors.sum(1).mean() / scores.words[name].sum()),
            }
            for name, errors in scores.word_errors.items()
        },
    }


def compare_words(first, second):
    """Whether two systems mishear equally often, condition by condition.

    Args:
      first: `Scores` with words.
      second: `Scores` of the same utterances.

    Returns:
      Dict from condition, and "all" for all utterances together, to a
      `statistics.paired_errors`.
    """
    names = list(first.word_errors)
    pairs = {n: (first.word_errors[n], second.word_errors[n]) for n in names}
    if names:
        pairs["all"] = tuple(
            np.concatenate([s.word_errors[n] for n in names], axis=1)
            for s in (first, second)
        )
    return {
        name: statistics.paired_errors([a], [b])
        for name, (a, b) in pairs.items()
    }
