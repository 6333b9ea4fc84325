"""Data sets: one module each, whose `load` returns what its kind is.

Images: digits, mnist, omniglot, as `ImageData`. Images of many classes: glyphs,
omniglot (`load_split`), tfds_images, as `SplitImages`. Spoken words:
spoken_digit, synthetic_speech, tfds_audio, as `Clips`.
"""

from trainers.data.clips import Clips
from trainers.data.images import ImageData, SplitImages

__all__ = ["Clips", "ImageData", "SplitImages"]
