"""A small corpus of synthetic speech that the speech trainer's tests share."""

import dataclasses
import functools

from kdtf import speech
from trainers.data import synthetic_speech
from trainers.speech_experiments import corpora, recipes

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
    values = {**recipes.TINY, "batch_size": 32, **others}
    return dataclasses.replace(recipes.DEFAULTS["synthetic"], **values)
