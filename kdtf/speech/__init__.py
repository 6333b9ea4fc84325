"""Speech: from waveforms to frames, from words to labels of frames, and back.

lexicon = kdtf.speech.digits()
log_mels = [kdtf.speech.log_mel(w, sample_rate=8000) for w in waveforms]
cepstra = [np.array(kdtf.speech.cepstra(m)) for m in log_mels]
hmms, alignment = kdtf.speech.train_hmms(cepstra, words, lexicon)
# ... an acoustic net learns alignment.states from windows of log_mels ...
kdtf.speech.decode(log_posteriors, lexicon, log_priors=log_priors)
"""

from kdtf.speech.alignment import Alignment, WordHMMs, train_hmms
from kdtf.speech.decoding import decode, log_priors_of
from kdtf.speech.features import (
    cepstra,
    context_windows,
    log_mel,
    num_frames,
    statistics,
    windows_at,
)
from kdtf.speech.layers import ContextWindows, LogMel
from kdtf.speech.lexicon import Lexicon, digits

__all__ = [
    "Alignment",
    "ContextWindows",
    "Lexicon",
    "LogMel",
    "WordHMMs",
    "cepstra",
    "context_windows",
    "decode",
    "digits",
    "log_mel",
    "log_priors_of",
    "num_frames",
    "statistics",
    "train_hmms",
    "windows_at",
]
