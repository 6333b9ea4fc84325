"""Pronunciations of words, and the HMM states that model them.

Each phone is modelled by three states that are passed from left to right. A
phone has different states in every word and position, unless words share them.
Silence is a phone of its own, states 0 to 2, and may occur before, between and
after words.
"""

import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

STATES_PER_PHONE = 3
SILENCE = "SIL"
SILENCE_STATES = tuple(range(STATES_PER_PHONE))
_SHARINGS = ("none", "position")

_Pronunciation = tuple[str, ...]
_States = tuple[int, ...]

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
    """Words with their pronunciations and HMM states.

    Attributes:
      words: tuple of strings in the order given; the index of a word is its
        label.
      pronunciations: dict from word to a tuple of pronunciations, each a tuple
        of phones.
      state_names: tuple of strings; the index of a name is the number of the
        state. With `sharing="position"`, "Z_B.0" is the first state of a Z at
        the beginning of a word (`_I`: inside; `_E`: at the end; `_S`: the only
        phone of the word). With `sharing="none"`, "zero.1/Z_B.0" is that state
        of the first phone of "zero", and "zero(2).1/Z_B.0" that of its second
        pronunciation.

    Example:
      >>> lexicon = kdtf.speech.Lexicon({"no": ["N OW"], "on": ["AA N"]})
      >>> lexicon.num_states
      15
      >>> lexicon.states("no")
      ((3, 4, 5, 6, 7, 8),)
    """

    def __init__(
        self,
        pronunciations: Mapping[str, Sequence[str]],
        *,
        sharing: str = "none",
    ) -> None:
        """Numbers the states.

        Args:
          pronunciations: dict from word to a list of its pronunciations, each a
            string of phones separated by spaces.
          sharing: "none" gives every phone of every pronunciation its own
            states, which suits small vocabularies. With "position", words share
            the states of a phone in the same position: at the beginning,
            inside, at the end, or as the only phone of a word.

        Raises:
          ValueError: if `sharing` is neither "none" nor "position", if
            `pronunciations` is empty, or if a word has no list of strings, an
            empty pronunciation, the same one twice, or one with the phone of
            silence.
        """
        if sharing not in _SHARINGS:
            raise ValueError(
                f"`sharing` must be one of {_SHARINGS}. "
                f"Received: sharing={sharing!r}"
            )
        if not pronunciations:
            raise ValueError(
                "`pronunciations` must contain at least one word. Received: {}"
            )
        self._sharing = sharing
        self.words: tuple[str, ...] = tuple(pronunciations)
        self.pronunciations: dict[str, tuple[_Pronunciation, ...]] = {
            word: _phones(word, variants)
            for word, variants in pronunciations.items()
        }
        numbers: dict[str, int] = {}
        _number(SILENCE, numbers)
        self._states: dict[str, tuple[_States, ...]] = {
            word: tuple(
                tuple(
                    state
                    for name in _names(word, index, phones, sharing)
                    for state in _number(name, numbers)
                )
                for index, phones in enumerate(variants)
            )
            for word, variants in self.pronunciations.items()
        }
        self.state_names: tuple[str, ...] = tuple(numbers)

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, sharing: str = "none"
    ) -> "Lexicon":
        """Reads a lexicon from a text file of lines `word PH ON ES`.

        Empty lines and comments (from a `#` to the end of the line) are
        ignored. A word on several lines has several pronunciations.

        Args:
          path: path of the file, in UTF-8.
          sharing: as in the constructor.

        Returns:
          `Lexicon` with the words in the order of their first lines.

        Raises:
          ValueError: if it is no UTF-8, or the constructor refuses the content;
            the message names the file.

        Example:
          >>> with open("words.txt", "w") as file:
          ...     file.write("the DH AH\\nthe DH IY  # before a vowel\\n")
          38
          >>> kdtf.speech.Lexicon.read("words.txt").pronunciations
          {'the': (('DH', 'AH'), ('DH', 'IY'))}
        """
        try:
            # Some editors begin a file with a mark, which is of no word.
            text = pathlib.Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                "`path` must be a text file in UTF-8: save it again in this "
                f"encoding. Received: {path} ({error})"
            ) from error
        try:
            return cls(_parse(text), sharing=sharing)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @property
    def num_states(self) -> int:
        """Number of states, the three of silence included."""
        return len(self.state_names)

    def states(self, word: str) -> tuple[_States, ...]:
        """Returns the states of a word from left to right.

        Args:
          word: a word of the lexicon.

        Returns:
          Tuple with a tuple of ints for each pronunciation.

        Raises:
          ValueError: if `word` is not in the lexicon.

        Example:
          >>> kdtf.speech.digits().states("eight")
          ((84, 85, 86, 87, 88, 89),)
        """
        self.require([word])
        return self._states[word]

    def of(self, words: Iterable[str]) -> "Lexicon":
        """Returns a lexicon of some of the words.

        Args:
          words: words of this lexicon, in any order.

        Returns:
          `Lexicon` of these words, in the order of this one. Its states are
          renumbered.

        Raises:
          ValueError: if a word is not in this lexicon, or none is given.

        Example:
          >>> kdtf.speech.digits().of(["nine", "two"]).words
          ('two', 'nine')
        """
        words = set(words)
        self.require(words)
        chosen = {
            word: [" ".join(phones) for phones in variants]
            for word, variants in self.pronunciations.items()
            if word in words
        }
        return Lexicon(chosen, sharing=self._sharing)

    def require(self, words: Iterable[str]) -> None:
        """Checks that words are in the lexicon.

        Args:
          words: words such as the labels of a data set.

        Raises:
          ValueError: if the lexicon lacks some of the words; the message lists
            them.

        Example:
          >>> kdtf.speech.digits().require(["one", "ten"])
          Traceback (most recent call last):
              ...
          ValueError: `words` must be in the lexicon, ... Received: ten, which
          it lacks
        """
        missing = sorted({str(w) for w in words} - set(self.words))
        if missing:
            raise ValueError(
                "`words` must be in the lexicon, each with a line "
                f"`word PH ON ES`. Received: {', '.join(missing)}, which it "
                "lacks"
            )


def digits(*, sharing: str = "none") -> Lexicon:
    """Returns the ten English digits, "zero" to "nine", in ARPAbet.

    Args:
      sharing: as in `Lexicon`.

    Returns:
      `Lexicon` of 99 states, or of 75 with `sharing="position"`.

    Raises:
      ValueError: if `sharing` is neither "none" nor "position".

    Example:
      >>> kdtf.speech.digits().pronunciations["two"]
      (('T', 'UW'),)
    """
    return Lexicon(_parse(_DIGITS), sharing=sharing)


def _parse(text: str) -> dict[str, list[str]]:
    pronunciations: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = line.split("#")[0].split()
        if fields:
            word, *phones = fields
            pronunciations.setdefault(word, []).append(" ".join(phones))
    return pronunciations


def _phones(word: str, variants: Sequence[str]) -> tuple[_Pronunciation, ...]:
    # Of one string the letters would be pronunciations.
    is_list = isinstance(variants, Iterable) and not isinstance(variants, str)
    found = list(variants) if is_list else []  # it may be read once
    if not is_list or not all(isinstance(each, str) for each in found):
        raise ValueError(
            "`pronunciations` must give every word a list of its "
            "pronunciations, each a string of phones separated by spaces, as "
            f'["DH AH", "DH IY"]. Received: {word}: {variants!r}'
        )
    phones = tuple(tuple(variant.split()) for variant in found)
    if not all(phones) or not phones or len(set(phones)) < len(phones):
        raise ValueError(
            "`pronunciations` must give every word at least one phone, and no "
            f"pronunciation twice. Received: {word}: {found}"
        )
    if SILENCE in itertools.chain(*phones):
        raise ValueError(
            f"`pronunciations` must not contain {SILENCE}, which is added "
            f"between words. Received: {word}: {found}"
        )
    return phones


def _names(
    word: str, variant: int, phones: _Pronunciation, sharing: str
) -> Iterator[str]:
    """Yields a name for each phone; equal names mean the same states."""
    last = len(phones) - 1
    for k, phone in enumerate(phones):
        position = "S" if not last else "B" if not k else "IE"[k == last]
        name = f"{phone}_{position}"
        if sharing == "none":
            # The index tells apart the same phone twice in a word, the variant
            # the same phone in two pronunciations.
            variants = f"({variant + 1})" if variant else ""
            name = f"{word}{variants}.{k + 1}/{name}"
        yield name


def _number(name: str, numbers: dict[str, int]) -> list[int]:
    """Returns the states of a phone, numbered when it first occurs."""
    return [
        numbers.setdefault(f"{name}.{i}", len(numbers))
        for i in range(STATES_PER_PHONE)
    ]
