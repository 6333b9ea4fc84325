"""trainers.data.phones: every phone of ARPAbet, as it should roughly sound."""

import pytest

from trainers.data import phones

VOWELS = [
    "AA",
    "AE",
    "AH",
    "AO",
    "AW",
    "AY",
    "EH",
    "ER",
    "EY",
    "IH",
    "IY",
    "OW",
    "OY",
    "UH",
    "UW",
]
SONORANTS = ["L", "M", "N", "NG", "R", "W", "Y"]
VOICED, VOICELESS = ["DH", "V", "Z", "ZH"], ["F", "HH", "S", "SH", "TH"]
VOICED_STOPS, VOICELESS_STOPS = ["B", "D", "G", "JH"], ["CH", "K", "P", "T"]


def test_every_phone_has_three_sounds_of_its_own():
    every = [*VOWELS, *SONORANTS, *VOICED, *VOICELESS]
    every += [*VOICED_STOPS, *VOICELESS_STOPS]
    found = {phone: phones.sounds(phone) for phone in every}
    assert len(found) == len(set(found.values())) == 39
    assert all(len(sounds) == 3 for sounds in found.values())
    assert all(s.voice == s.noise == 0 for s in phones.SILENCE)
    for sound in (s for sounds in found.values() for s in sounds):
        assert len(sound.formants) == 3
        assert list(sound.formants) == sorted(sound.formants)
        assert sound.seconds > 0 and sound.width > 0


def test_voice_and_noise():
    """Vowels are loudest; voiceless phones have no voice; stops start mute."""
    for phone in VOWELS:
        first, middle, last = phones.sounds(phone)
        assert middle.voice == 1 > max(first.voice, last.voice) > 0.5
    for phone in SONORANTS:
        assert all(0 < s.voice < 0.5 for s in phones.sounds(phone))
    for phone in (*VOWELS, *SONORANTS):
        assert all(s.noise == 0 for s in phones.sounds(phone))
    for phone in (*VOICED, *VOICED_STOPS):
        assert all(s.voice > 0 for s in phones.sounds(phone))
    for phone in (*VOICELESS, *VOICELESS_STOPS):
        assert all(s.voice == 0 for s in phones.sounds(phone))
    for phone in (*VOICED, *VOICELESS):
        assert all(s.noise > 0 for s in phones.sounds(phone))
    for phone in (*VOICED_STOPS, *VOICELESS_STOPS):
        closure, burst, release = phones.sounds(phone)
        assert closure.noise == 0 and burst.noise > release.noise > 0


def test_diphthongs_glide_and_other_vowels_do_not():
    """AY goes from AA's neighbourhood to IY's: F1 falls, F2 rises."""
    first, middle, last = (s.formants for s in phones.sounds("AY"))
    assert first[0] > middle[0] > last[0] and first[1] < middle[1] < last[1]
    # Nine tenths of (700, 1200, 2450), a tenth of (500, 1500, 2500).
    assert first == pytest.approx((680, 1230, 2455))
    assert len({s.formants for s in phones.sounds("IY")}) == 1


@pytest.mark.parametrize("phone", ("AH0", "aa", "", "SIL"))
def test_unknown_phones(phone):
    expected = f"`phone` must be one of ARPAbet.*ZH. Received: phone='{phone}'"
    with pytest.raises(ValueError, match=expected):
        phones.sounds(phone)
