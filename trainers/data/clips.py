"""Clips of spoken words, whichever data set they come from."""

import dataclasses

import numpy as np

_TEST_RECORDINGS = 5  # Free Spoken Digit Dataset's own convention
_SPEAKER = "speaker:"
RECORDINGS, GIVEN = "recordings", "given"


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
      parts: None, or `[clips]` array of "training", "held_out" and "test": the
        data set's own, where it has clips to test on.
      left_out: dict from a word that the lexicon lacks to the number of its
        clips, which are not among these.
    """

    waveforms: list
    labels: np.ndarray
    speakers: np.ndarray
    recordings: np.ndarray
    words: tuple
    sample_rate: int
    states: list | None = None
    parts: np.ndarray | None = None
    left_out: dict = dataclasses.field(default_factory=dict)

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

    @property
    def split_names(self):
        """List of strings, the names that `split` takes."""
        given = [] if self.parts is None else [GIVEN]
        speakers = [_SPEAKER + s for s in self.speaker_names]
        return [RECORDINGS, *given, *speakers]

    def transcripts(self):
        """List with each clip's word."""
        return [self.words[label] for label in self.labels]

    def split(self, name):
        """Training and test clips.

        Args:
          name: "recordings": the test set are the recordings 0 to 4 of each
            speaker and word; "given": the data set's own; "speaker:NAME": all
            that NAME says.

        Returns:
          `(training, test)`, int arrays of clips.

        Raises:
          ValueError: where `name` is none of these, or a part is empty.
        """
        if name not in self.split_names:
            raise ValueError(
                f"`split` must be one of {', '.join(self.split_names)} here. "
                f"Received: split={name}"
            )
        if name == RECORDINGS:
            test = self.recordings < _TEST_RECORDINGS
        elif name == GIVEN:
            test = self.parts == "test"
        else:
            test = self.speakers == name.removeprefix(_SPEAKER)
        training, test = np.flatnonzero(~test), np.flatnonzero(test)
        if not len(training) or not len(test):
            raise ValueError(
                "`split` must leave clips to train on and to test on. Received:"
                f" split={name}, which leaves {len(training)} and {len(test)}"
            )
        return training, test
