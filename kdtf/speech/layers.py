"""Log-mel energies and context windows as Keras layers.

For models that take waveforms.
"""

from typing import Any

import keras

from kdtf._types import Tensor, TensorLike
from kdtf.speech import _checks, features

_Shape = tuple[int | None, ...]


class _Float32Layer(keras.layers.Layer):
    """A layer without weights that computes in float32 under any dtype policy.

    In half precision a waveform would lose its quiet parts.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"name": self.name}


@keras.saving.register_keras_serializable("kdtf")
class LogMel(_Float32Layer):
    """Computes `kdtf.speech.log_mel` energies.

    Takes `[batch, samples]` waveforms and returns `[batch, frames, bands]`
    float32 energies.

    Example:
      >>> waveforms = keras.Input((None,))
      >>> kdtf.speech.LogMel(8000)(waveforms).shape
      (None, None, 40)
    """

    def __init__(
        self, sample_rate: float, bands: int = 40, name: str | None = None
    ) -> None:
        """Builds the layer.

        Args:
          sample_rate: number of at least 1000, in hertz.
          bands: int > 0.
          name: name of the layer, or None for a default.

        Raises:
          ValueError: if `sample_rate` is less than 1000 or NaN, or `bands` is
            not a positive int.
        """
        super().__init__(name=name)
        _checks.check_bands(bands)
        features.framing(sample_rate)  # for its check
        self.sample_rate, self.bands = sample_rate, bands

    def call(self, waveforms: TensorLike) -> Tensor:
        """Returns `[batch, frames, bands]` float32 energies."""
        return features.log_mel(
            waveforms, sample_rate=self.sample_rate, bands=self.bands
        )

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Returns `(batch, frames, bands)`."""
        *batch, samples = input_shape
        frames = None
        if samples is not None:
            frames = features.num_frames(samples, self.sample_rate)
        return (*batch, frames, self.bands)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        ours = {"sample_rate": self.sample_rate, "bands": self.bands}
        return {**super().get_config(), **ours}


@keras.saving.register_keras_serializable("kdtf")
class ContextWindows(_Float32Layer):
    """Concatenates every frame with its neighbours.

    Takes `[batch, time, bands]` frames and returns
    `[batch, time, (before + 1 + after) * bands]` windows, those of
    `kdtf.speech.context_windows`.

    Example:
      >>> frames = keras.Input((None, 40))
      >>> kdtf.speech.ContextWindows()(frames).shape
      (None, None, 1040)
    """

    def __init__(
        self,
        before: int = features.FRAMES_BEFORE,
        after: int = features.FRAMES_AFTER,
        name: str | None = None,
    ) -> None:
        """Builds the layer.

        Args:
          before: int >= 0, number of frames of the past.
          after: int >= 0, number of frames of the future.
          name: name of the layer, or None for a default.

        Raises:
          ValueError: if `before` or `after` is not an int of at least 0.
        """
        super().__init__(name=name)
        _checks.check_context(before, after)
        self.before, self.after = before, after

    def call(self, frames: TensorLike) -> Tensor:
        """Returns `[batch, time, (before + 1 + after) * bands]` windows."""
        windows = features.context_windows(
            frames, before=self.before, after=self.after
        )
        return keras.ops.reshape(
            windows,
            (*keras.ops.shape(frames)[:2], windows.shape[2] * windows.shape[3]),
        )

    def compute_output_shape(self, input_shape: _Shape) -> _Shape:
        """Returns `(batch, time, (before + 1 + after) * bands)`."""
        *batch, bands = input_shape
        frames = self.before + 1 + self.after
        return (*batch, None if bands is None else frames * bands)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        ours = {"before": self.before, "after": self.after}
        return {**super().get_config(), **ours}
