"""kdtf.speech.lexicon: states counted by hand, files, bad words."""

import pytest

from kdtf import speech
from kdtf.speech import lexicon as lexicons


def test_states_are_numbered_in_order_after_silence():
    lexicon = speech.Lexicon({"no": ["N OW"], "a": ["AH"]})
    assert lexicon.words == ("no", "a")
    assert lexicon.states("no") == ((3, 4, 5, 6, 7, 8),)
    assert lexicon.states("a") == ((9, 10, 11),)
    assert lexicon.num_states == 12
    assert lexicon.state_names[:4] == ("SIL.0", "SIL.1", "SIL.2", "no.1/N_B.0")
    assert lexicon.state_names[8:10] == ("no.2/OW_E.2", "a.1/AH_S.0")
    assert lexicons.SILENCE_STATES == (0, 1, 2)


def test_digits():
    lexicon = speech.digits()
    phones = [len(p) for [p] in lexicon.pronunciations.values()]
    assert phones == [4, 3, 2, 3, 3, 3, 4, 5, 2, 3]
    assert lexicon.num_states == 3 * (sum(phones) + 1) == 99
    assert lexicon.words[7] == "seven" and len(lexicon.words) == 10
    seen = [s for word in lexicon.words for s in lexicon.states(word)[0]]
    assert sorted(seen) == list(range(3, 99))


def test_words_share_only_phones_in_the_same_position():
    words = {"pip": ["P IH P"], "pit": ["P IH T"], "ip": ["IH P"]}
    lexicon = speech.Lexicon(words, sharing="position")
    (pip,), (pit,), (ip,) = map(lexicon.states, words)
    assert pip[:6] == pit[:6]  # P at the beginning, IH inside
    assert pip[6:] == ip[3:]  # P at the end
    assert not set(pip[:3]) & set(pip[6:])  # another P
    assert not set(pip[3:6]) & set(ip[:3])  # another IH
    assert lexicon.state_names[3] == "P_B.0"
    assert speech.digits(sharing="position").num_states == 75


def test_sharing_joins_pronunciations_and_the_default_does_not():
    ways = {"the": ["DH AH", "DH IY"]}
    first, second = speech.Lexicon(ways).states("the")
    assert not set(first) & set(second)
    first, second = speech.Lexicon(ways, sharing="position").states("the")
    assert first[:3] == second[:3] and not set(first[3:]) & set(second[3:])


def test_a_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text(
        "# comment\nthe DH AH\n\nend\tEH N D  # comment\nthe  DH IY\nüber Y\n",
        encoding="utf-8",
    )
    lexicon = speech.Lexicon.read(path)
    assert lexicon.words == ("the", "end", "über")
    assert lexicon.pronunciations["the"] == (("DH", "AH"), ("DH", "IY"))
    assert lexicon.num_states == 3 * (1 + 4 + 3 + 1)
    assert speech.Lexicon.read(path, sharing="position").num_states < 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must contain at least one word"),
        ("no N OW\nyes", r"at least one phone.*Received: yes: \[''\]"),
        ("no N OW\nno N OW", "no pronunciation twice"),
        ("no N SIL OW", "must not contain SIL"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"words.txt: .*{message}"):
        speech.Lexicon.read(path)


@pytest.mark.parametrize("sharing", ("none", "position"))
def test_some_of_the_words(sharing):
    words = {"no": ["N OW"], "two": ["T UW", "T AH"], "on": ["AA N"]}
    whole = speech.Lexicon(words, sharing=sharing)
    part = whole.of(["two", "no"])
    del words["on"]
    expected = speech.Lexicon(words, sharing=sharing)
    assert part.words == expected.words == ("no", "two")
    assert part.state_names == expected.state_names
    assert part.pronunciations == expected.pronunciations
    with pytest.raises(ValueError, match="four"):
        whole.of(["no", "four"])


def test_missing_words_are_listed():
    lexicon = speech.digits()
    lexicon.require(["one", "two"])
    with pytest.raises(ValueError, match=r"Received: oh, ten, which it lacks"):
        lexicon.require(["one", "ten", "oh", "ten"])
    with pytest.raises(ValueError, match="Received: ten"):
        lexicon.states("ten")


def test_bad_sharing():
    with pytest.raises(ValueError, match=r"`sharing` must be one of.*'all'"):
        speech.digits(sharing="all")


@pytest.mark.parametrize("variants", ("AH", [("AH", "N")], ["AH", 1], None, 1))
def test_pronunciations_that_are_no_list_of_strings(variants):
    """The letters of one string would be pronunciations, A and H."""
    message = r"`pronunciations` must give every word a list.*Received: a: "
    with pytest.raises(ValueError, match=message):
        speech.Lexicon({"no": ["N OW"], "a": variants})


def test_pronunciations_that_can_be_read_once():
    variants = (variant.upper() for variant in ("ey", "ah"))
    found = speech.Lexicon({"a": variants}).pronunciations
    assert found == {"a": (("EY",), ("AH",))}


@pytest.mark.parametrize("first", ("", "# words\n"))
def test_a_mark_at_the_beginning_of_a_file_is_of_no_word(tmp_path, first):
    path = tmp_path / "words.txt"
    path.write_text(f"{first}no N OW\nyes Y EH S\n", encoding="utf-8-sig")
    assert speech.Lexicon.read(path).words == ("no", "yes")


def test_a_file_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("café K AH F\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"`path` must be.*UTF-8.*words\.txt"):
        speech.Lexicon.read(path)
