"""Clips of spoken words, whichever data set they come from."""

import dataclasses

import numpy as np

_TEST_RECORDINGS = 5  # Free Spoken Digit Dataset's own convention
_SPEAKER = "speaker:"


@dataclasses.dataclass(frozen=True)
class Clips:
    """Waveforms of one word each, and who said it.

    Attributes:
      waveforms: list of `[samples]` float32 arrays within [-1, 1].
      labels: `[clips]` int32 array, positions in `words`.
      speakers: `[clips]` array of strings.
      recordings: `[clips]` int32 array: the how-manieth time it is that this
        speaker says this word, from 0.
      words: tuple of strings.
      sample_rate: int, in hertz.
      states: None, or list of `[frames]` int32 arrays: the lexicon's state in
        the middle of each frame, where it is known.
    """

    waveforms: list
    labels: np.ndarray
    speakers: np.ndarray
    recordings: np.ndarray
    words: tuple
    sample_rate: int
    states: list | None = None

    def __post_init__(self):
        """Checks the waveforms.

        Raises:
          ValueError: where one has several channels.
        """
        for i, waveform in enumerate(self.waveforms):
            if np.ndim(waveform) != 1:
                raise ValueError(
                    "`waveforms` must have one channel, [samples] each; take "
                    "the mean over several. Received: waveform "
                    f"{i} of shape {np.shape(waveform)}"
                )

    @property
    def speaker_names(self):
        """List of strings, sorted."""
        return sorted(set(self.speakers.tolist()))

    def transcripts(self):
        """List with each clip's word."""
        return [self.words[label] for label in self.labels]

    def split(self, name):
        """Training and test clips.

        Args:
          name: "recordings": the test set are the recordings 0 to 4 of each
            speaker and word; "speaker:NAME": all that NAME says.

        Returns:
          `(training, test)`, int arrays of clips.

        Raises:
          ValueError: where `name` is none of these, or a part is empty.
        """
        speaker = name.removeprefix(_SPEAKER)
        if name == "recordings":
            test = self.recordings < _TEST_RECORDINGS
        elif name.startswith(_SPEAKER) and speaker in self.speaker_names:
            test = self.speakers == speaker
        else:
            raise ValueError(
                "`split` must be recordings or one of "
                f"{', '.join(_SPEAKER + s for s in self.speaker_names)} here. "
                f"Received: split={name}"
            )
        training, test = np.flatnonzero(~test), np.flatnonzero(test)
        if not len(training) or not len(test):
            raise ValueError(
                "`split` must leave clips to train on and to test on. Received:"
                f" split={name}, which leaves {len(training)} and {len(test)}"
            )
        return training, test
