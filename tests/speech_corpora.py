"""A small corpus of synthetic speech that the speech trainer's tests share."""

import dataclasses
import functools

from kdtf import speech
from trainers.core import results
from trainers.data import synthetic_speech
from trainers.speech import corpora, frames, nets, run
from trainers.speech.settings import DEFAULTS, TINY

WORDS = {"no": ["N OW"], "six": ["S IH K S"], "two": ["T UW"]}


@functools.cache
def lexicon():
    return speech.Lexicon(WORDS)


@functools.cache
def clips():
    """Three words, by two voices, eight times: the last is held out."""
    return synthetic_speech.load(lexicon(), voices=2, recordings=8)


def log_mels(given=None):
    given = given or clips()
    return corpora.log_mels_of(given.waveforms, given.sample_rate)


def make(given=None, split="recordings"):
    given = given or clips()
    return corpora.make(given, log_mels(given), split, lexicon(), components=1)


@functools.cache
def corpus():
    return make()


def settings(**others):
    values = {**TINY, "batch_size": 32, **others}
    return dataclasses.replace(DEFAULTS["synthetic"], **values)


def make_run(directory, *, seeds=1, **others):
    """A run of three words, whose only fold is of `corpus`."""
    made = run.Run(
        settings(split="recordings", **others),
        clips(),
        lexicon(),
        directory,
        seeds=seeds,
    )
    # What is cached; to align the clips anew takes seconds.
    made.__dict__["folds"] = [run.Fold(made.settings, corpus(), directory)]
    return made


def untrained(arm, corpus, seed, directory, **options):
    """In place of `nets.train`: a net as it begins, of a made-up curve."""
    del directory, options
    inputs = frames.WINDOW * corpus.training.values.shape[1]
    net = nets.build_net(arm, inputs, corpus.lexicon.num_states, seed)
    curve = [
        {
            "epoch": epoch,
            "loss": 1 / epoch,
            "train_accuracy": 0.5,
            "held_out_accuracy": 0.4,
            "test_accuracy": 0.3,
        }
        for epoch in range(1, arm.epochs + 1)
    ]
    best = curve[0] if arm.keep_best else None
    return results.Result(net, True, curve, 1.0, best)
