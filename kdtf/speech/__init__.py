"""Speech: frames of waveforms, forced alignment, and word recognition.

In outline:

    lexicon = kdtf.speech.digits()
    log_mels = [kdtf.speech.log_mel(w, sample_rate=8000) for w in waveforms]
    cepstra = [np.array(kdtf.speech.cepstra(m)) for m in log_mels]
    hmms, alignment = kdtf.speech.train_hmms(cepstra, words, lexicon)
    # ... train an acoustic net: context windows of log_mels -> states ...
    kdtf.speech.decode(log_posteriors, lexicon, log_priors=log_priors)
"""

from kdtf.speech.alignment import Alignment, WordHMMs, train_hmms
from kdtf.speech.decoding import decode, log_priors_of
from kdtf.speech.features import (
    FRAMES_AFTER,
    FRAMES_BEFORE,
    cepstra,
    context_windows,
    framing,
    log_mel,
    num_frames,
    statistics,
    windows_at,
)
from kdtf.speech.layers import ContextWindows, LogMel
from kdtf.speech.lexicon import SILENCE_STATES, Lexicon, digits

__all__ = [
    "FRAMES_AFTER",
    "FRAMES_BEFORE",
    "SILENCE_STATES",
    "Alignment",
    "ContextWindows",
    "Lexicon",
    "LogMel",
    "WordHMMs",
    "cepstra",
    "context_windows",
    "decode",
    "digits",
    "framing",
    "log_mel",
    "log_priors_of",
    "num_frames",
    "statistics",
    "train_hmms",
    "windows_at",
]
