"""Data sets: one module each, whose `load` returns `ImageData` or `Clips`.

Images: digits, mnist, omniglot. Spoken words: spoken_digit, synthetic_speech,
tfds_audio.
"""

from trainers.data.clips import Clips
from trainers.data.images import ImageData

__all__ = ["Clips", "ImageData"]
