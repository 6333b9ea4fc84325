"""Clips of spoken words, whichever data set they come from."""

import dataclasses

import numpy as np

_TEST_RECORDINGS = 5  # the convention of the Free Spoken Digit Dataset
_SPEAKER = "speaker:"
RECORDINGS, GIVEN = "recordings", "given"


@dataclasses.dataclass(frozen=True)
class Clips:
    """Waveforms of one word each, with their speakers.

    Attributes:
      waveforms: list of `[samples]` float32 arrays within [-1, 1].
      labels: `[clips]` int32 array, indices into `words`.
      speakers: `[clips]` array of strings.
      recordings: `[clips]` int32 array, the index of each clip among those of
        the same speaker and word, from 0.
      words: tuple of strings.
      sample_rate: int, in hertz.
      states: list of `[frames]` int32 arrays, the state of the lexicon in the
        middle of each frame, or None if unknown.
      parts: `[clips]` array of "training", "held_out" and "test", the split of
        the data set itself, or None if it has no test clips.
      left_out: dict from a word that the lexicon lacks to the number of its
        clips, which are not part of this object.
    """

    waveforms: list[np.ndarray]
    labels: np.ndarray
    speakers: np.ndarray
    recordings: np.ndarray
    words: tuple[str, ...]
    sample_rate: int
    states: list[np.ndarray] | None = None
    parts: np.ndarray | None = None
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the waveforms.

        Raises:
          ValueError: if a waveform has several channels.
        """
        for i, waveform in enumerate(self.waveforms):
            if np.ndim(waveform) != 1:
                raise ValueError(
                    "`waveforms` must have one channel, [samples] each: take "
                    "the mean of several. Received: waveform "
                    f"{i} of shape {np.shape(waveform)}"
                )

    @property
    def speaker_names(self) -> list[str]:
        """The names of all speakers, sorted."""
        return sorted(set(self.speakers.tolist()))

    @property
    def split_names(self) -> list[str]:
        """The names that `split` takes."""
        given = [] if self.parts is None else [GIVEN]
        speakers = [_SPEAKER + s for s in self.speaker_names]
        return [RECORDINGS, *given, *speakers]

    def transcripts(self) -> list[str]:
        """Returns the word of each clip."""
        return [self.words[label] for label in self.labels]

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Splits the clips into a training set and a test set.

        Args:
          name: "recordings": recordings 0 to 4 of each speaker and word are the
            test set; "given": the split of the data set itself; "speaker:NAME":
            all clips of speaker NAME are the test set.

        Returns:
          `(training, test)`, int arrays of indices of clips.

        Raises:
          ValueError: if `name` is not one of `split_names`, or there are no
            training or no test clips.
        """
        if name not in self.split_names:
            raise ValueError(
                f"`split` must be one of {', '.join(self.split_names)} here. "
                f"Received: split={name}"
            )
        if name == RECORDINGS:
            is_test = self.recordings < _TEST_RECORDINGS
        elif name == GIVEN:
            is_test = np.asarray(self.parts) == "test"
        else:
            is_test = self.speakers == name.removeprefix(_SPEAKER)
        training, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
        if not len(training) or not len(test):
            raise ValueError(
                "`split` must leave clips to train on and to test on. Received:"
                f" split={name}, which leaves {len(training)} and {len(test)}"
            )
        return training, test
