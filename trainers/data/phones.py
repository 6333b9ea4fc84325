"""The approximate sound of each phone of ARPAbet, for synthesis.

Formants of vowels are those of men in Peterson and Barney 1952; the rest is
chosen so that phones differ as they do in real speech.
"""

import dataclasses

import numpy as np

# Formants in hertz. A diphthong has two sets, and glides between them.
_VOWELS = {
    "AA": ((730, 1090, 2440),),
    "AE": ((660, 1720, 2410),),
    "AH": ((640, 1190, 2390),),
    "AO": ((570, 840, 2410),),
    "AW": ((700, 1250, 2450), (400, 900, 2300)),
    "AY": ((700, 1200, 2450), (350, 2000, 2600)),
    "EH": ((530, 1840, 2480),),
    "ER": ((490, 1350, 1690),),
    "EY": ((480, 1900, 2500), (330, 2200, 2750)),
    "IH": ((390, 1990, 2550),),
    "IY": ((270, 2290, 3010),),
    "OW": ((540, 1000, 2400), (380, 850, 2300)),
    "OY": ((550, 900, 2400), (350, 2000, 2600)),
    "UH": ((440, 1020, 2240),),
    "UW": ((300, 870, 2240),),
}
# Formants in hertz. Voiced like vowels, but weaker.
_SONORANTS = {
    "L": (310, 1050, 2880),
    "M": (250, 1100, 2200),
    "N": (250, 1650, 2500),
    "NG": (250, 2100, 2650),
    "R": (310, 1060, 1380),
    "W": (290, 610, 2150),
    "Y": (260, 2070, 3020),
}
# Noise: centre and width in hertz, level, and whether the phone is voiced.
_FRICATIVES = {
    "DH": (3000, 2000, 0.08, True),
    "F": (2500, 2500, 0.15, False),
    "HH": (1200, 1200, 0.15, False),
    "S": (4200, 900, 0.6, False),
    "SH": (2700, 700, 0.6, False),
    "TH": (3300, 1500, 0.12, False),
    "V": (2200, 2000, 0.08, True),
    "Z": (4200, 900, 0.3, True),
    "ZH": (2700, 700, 0.3, True),
}
# Silence, then a burst of noise with the same four values.
_STOPS = {
    "B": (700, 700, 0.3, True),
    "CH": (2900, 900, 0.6, False),
    "D": (3400, 1000, 0.3, True),
    "G": (1900, 600, 0.3, True),
    "JH": (2700, 900, 0.4, True),
    "K": (1900, 500, 0.5, False),
    "P": (800, 700, 0.4, False),
    "T": (3600, 1000, 0.5, False),
}
_NEUTRAL = np.array([500.0, 1500.0, 2500.0])
_VOICE_BAR = (200, 1000, 2200)


@dataclasses.dataclass(frozen=True)
class Sound:
    """A third of a phone, the sound of one HMM state.

    Attributes:
      formants: three frequencies, in hertz.
      voice: amplitude of the voice; 1 in the middle of a vowel.
      noise: amplitude of the noise.
      centre: centre frequency of the noise, in hertz.
      width: standard deviation of the noise's filter, in hertz.
      seconds: average duration.
    """

    formants: tuple[float, ...]
    voice: float
    noise: float = 0.0
    centre: float = 1000.0
    width: float = 1000.0
    seconds: float = 0.025


SILENCE = (Sound(tuple(_NEUTRAL), 0.0, seconds=0.03),) * 3


def sounds(phone: str) -> tuple[Sound, ...]:
    """Returns the three sounds of a phone, one for each HMM state.

    Args:
      phone: phone of ARPAbet, without stress.

    Returns:
      Tuple of three `Sound`s.

    Raises:
      ValueError: if the phone is not in ARPAbet, or has a stress mark.
    """
    if phone in _VOWELS:
        start, end = (np.array(_VOWELS[phone][i], float) for i in (0, -1))
        middle = (start + end) / 2
        return tuple(
            Sound(tuple(0.9 * f + 0.1 * _NEUTRAL), level, seconds=0.04)
            for f, level in ((start, 0.8), (middle, 1.0), (end, 0.7))
        )
    if phone in _SONORANTS:
        return tuple(Sound(_SONORANTS[phone], v) for v in (0.35, 0.4, 0.45))
    if phone in _FRICATIVES:
        centre, width, level, voiced = _FRICATIVES[phone]
        return tuple(
            Sound(_VOICE_BAR, 0.15 * voiced, share * level, centre, width, 0.03)
            for share in (0.7, 1.0, 0.8)
        )
    if phone in _STOPS:
        centre, width, level, voiced = _STOPS[phone]
        return tuple(
            Sound(_VOICE_BAR, 0.1 * voiced, share * level, centre, width)
            for share in (0.0, 1.0, 0.4)
        )
    raise ValueError(
        "`phone` must be one of ARPAbet, without stress: "
        f"{', '.join(sorted(_VOWELS | _SONORANTS | _FRICATIVES | _STOPS))}. "
        f"Received: phone={phone!r}"
    )
