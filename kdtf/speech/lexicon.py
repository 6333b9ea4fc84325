"""How words are pronounced, and the states of the HMMs that model them.

A phone is three states, passed from left to right. The states of a phone depend
on where in which word it is, unless words share them. Silence is a phone of its
own, states 0 to 2; it may be before, between and after words.
"""

import itertools
import pathlib

STATES_PER_PHONE = 3
SILENCE = "SIL"
SILENCE_STATES = tuple(range(STATES_PER_PHONE))
_SHARINGS = ("none", "position")

_DIGITS = """
zero   Z IH R OW
one    W AH N
two    T UW
three  TH R IY
four   F AO R
five   F AY V
six    S IH K S
seven  S EH V AH N
eight  EY T
nine   N AY N
"""


class Lexicon:
    """Words, their pronunciations and their states.

    Attributes:
      words: tuple of strings, in the order given: a word's position is its
        label.
      pronunciations: dict from word to a tuple of pronunciations, each a tuple
        of phones.
      state_names: tuple of strings; a state's position is its number. "Z_B.0"
        is the first state of a Z that begins a word (`_I` inside, `_E` at its
        end, `_S` all of it); "zero.1/Z_B.0" belongs to the first phone of one
        word.

    Example:
      >>> lexicon = kdtf.speech.Lexicon({"no": ["N OW"], "on": ["AA N"]})
      >>> lexicon.num_states
      15
      >>> lexicon.states("no")
      ((3, 4, 5, 6, 7, 8),)
    """

    def __init__(self, pronunciations, *, sharing="none"):
        """Numbers the states.

        Args:
          pronunciations: dict from word to a list of its pronunciations, each a
            string of phones between spaces.
          sharing: "none": every phone of every pronunciation has states of its
            own, as suits a few words. "position": words share the states of a
            phone at the same position: beginning, inside, end, or all of a
            word.

        Raises:
          ValueError: where there is no word, or one without a phone, with the
            same pronunciation twice, or with the phone of silence.
        """
        if sharing not in _SHARINGS:
            raise ValueError(
                f"`sharing` must be one of {_SHARINGS}. "
                f"Received: sharing={sharing!r}"
            )
        if not pronunciations:
            raise ValueError("`pronunciations` must hold a word. Received: {}")
        self._sharing = sharing
        self.words = tuple(pronunciations)
        self.pronunciations = {
            word: _phones(word, variants)
            for word, variants in pronunciations.items()
        }
        numbers = {}
        _number(SILENCE, numbers)
        self._states = {
            word: tuple(
                tuple(
                    state
                    for name in _positions(word, k, phones, sharing)
                    for state in _number(name, numbers)
                )
                for k, phones in enumerate(variants)
            )
            for word, variants in self.pronunciations.items()
        }
        self.state_names = tuple(numbers)

    @classmethod
    def read(cls, path, *, sharing="none"):
        """Reads a text file of lines `word PH ON ES`.

        Empty lines and what follows a `#` are skipped. A word on several lines
        has several pronunciations.

        Args:
          path: the file, UTF-8.
          sharing: as in the constructor.

        Returns:
          `Lexicon`; words in the order of their first lines.

        Raises:
          ValueError: as the constructor does, naming the file.
        """
        text = pathlib.Path(path).read_text(encoding="utf-8")
        try:
            return cls(_parse(text), sharing=sharing)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @property
    def num_states(self):
        """int, silence's three included."""
        return len(self.state_names)

    def states(self, word):
        """The states of a word, in the order they are passed.

        Args:
          word: string.

        Returns:
          Tuple with a tuple of ints for each pronunciation.

        Raises:
          ValueError: where the lexicon lacks the word.
        """
        self.require([word])
        return self._states[word]

    def of(self, words):
        """The part of the lexicon that some words need.

        Args:
          words: iterable of strings.

        Returns:
          `Lexicon` of these words, in the order of this one.

        Raises:
          ValueError: where it lacks one of them.
        """
        words = set(words)
        self.require(words)
        chosen = {
            word: [" ".join(phones) for phones in variants]
            for word, variants in self.pronunciations.items()
            if word in words
        }
        return Lexicon(chosen, sharing=self._sharing)

    def require(self, words):
        """Raises a ValueError that lists the words the lexicon lacks.

        Args:
          words: iterable of strings, such as a data set's labels.
        """
        missing = sorted({str(w) for w in words} - set(self.words))
        if missing:
            raise ValueError(
                "`words` must be in the lexicon, a line `word PH ON ES` each. "
                f"Received: {', '.join(missing)}, which it lacks"
            )


def digits(*, sharing="none"):
    """The ten English digits, "zero" to "nine", in ARPAbet.

    Args:
      sharing: as in `Lexicon`.

    Returns:
      `Lexicon` of 99 states, or of 75 that words share by position.

    Example:
      >>> kdtf.speech.digits().pronunciations["two"]
      (('T', 'UW'),)
    """
    return Lexicon(_parse(_DIGITS), sharing=sharing)


def _parse(text):
    pronunciations = {}
    for line in text.splitlines():
        word, *phones = line.split("#")[0].split() or [None]
        if word is not None:
            pronunciations.setdefault(word, []).append(" ".join(phones))
    return pronunciations


def _phones(word, variants):
    phones = tuple(tuple(variant.split()) for variant in variants)
    flat = list(itertools.chain(*phones))
    if not all(phones) or not phones or len(set(phones)) < len(phones):
        raise ValueError(
            "`pronunciations` must give every word a phone at least, and no "
            f"pronunciation twice. Received: {word}: {variants}"
        )
    if SILENCE in flat:
        raise ValueError(
            f"`pronunciations` must not contain {SILENCE}, which is between "
            f"words. Received: {word}: {variants}"
        )
    return phones


def _positions(word, variant, phones, sharing):
    """A name for each phone; the same name means the same states."""
    last = len(phones) - 1
    for k, phone in enumerate(phones):
        position = "S" if not last else "B" if not k else "IE"[k == last]
        name = f"{phone}_{position}"
        if sharing == "none":
            # A word may have a phone twice, and several pronunciations.
            variants = f"({variant + 1})" if variant else ""
            name = f"{word}{variants}.{k + 1}/{name}"
        yield name


def _number(name, numbers):
    """The states of a phone, numbered when first seen."""
    return [
        numbers.setdefault(f"{name}.{i}", len(numbers))
        for i in range(STATES_PER_PHONE)
    ]
