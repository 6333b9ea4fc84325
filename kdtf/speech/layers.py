"""`kdtf.speech.features` as Keras layers, for models that take waveforms."""

import keras

from kdtf.speech import features


class _Float32Layer(keras.layers.Layer):
    """Without weights; computes in float32 under any dtype policy.

    A waveform in half precision would have lost what is quiet.
    """

    def __init__(self, name=None):
        super().__init__(name=name, dtype="float32", autocast=False)

    def get_config(self):
        """The constructor's arguments."""
        return {"name": self.name}


@keras.saving.register_keras_serializable("kdtf")
class LogMel(_Float32Layer):
    """`[batch, samples]` waveforms to `[batch, frames, bands]` energies.

    Example:
      >>> waveforms = keras.Input((None,))
      >>> kdtf.speech.LogMel(8000)(waveforms).shape
      (None, None, 40)
    """

    def __init__(self, sample_rate, bands=40, name=None):
        """Builds the layer.

        Args:
          sample_rate: number of at least 1000, in hertz.
          bands: int > 0.
          name: the layer's name.

        Raises:
          ValueError: where `sample_rate` or `bands` is no such number.
        """
        super().__init__(name=name)
        features.check_bands(bands)
        features.framing(sample_rate)
        self.sample_rate, self.bands = sample_rate, bands

    def call(self, waveforms):
        """`[batch, frames, bands]` float32."""
        return features.log_mel(
            waveforms, sample_rate=self.sample_rate, bands=self.bands
        )

    def compute_output_shape(self, input_shape):
        """`(..., frames, bands)`; as many frames as the samples give."""
        *batch, samples = input_shape
        frames = None
        if samples is not None:
            frames = features.num_frames(samples, self.sample_rate)
        return (*batch, frames, self.bands)

    def get_config(self):
        """The constructor's arguments."""
        ours = {"sample_rate": self.sample_rate, "bands": self.bands}
        return {**super().get_config(), **ours}


@keras.saving.register_keras_serializable("kdtf")
class ContextWindows(_Float32Layer):
    """`[batch, time, bands]` frames to flat windows of frames.

    Example:
      >>> frames = keras.Input((None, 40))
      >>> kdtf.speech.ContextWindows()(frames).shape
      (None, None, 1040)
    """

    def __init__(self, before=features.BEFORE, after=features.AFTER, name=None):
        """Builds the layer.

        Args:
          before: int >= 0, frames of the past.
          after: int >= 0, frames of the future.
          name: the layer's name.

        Raises:
          ValueError: where `before` or `after` is no such int.
        """
        super().__init__(name=name)
        features.check_context(before, after)
        self.before, self.after = before, after

    def call(self, frames):
        """`[batch, time, (before + 1 + after) * bands]`."""
        windows = features.context_windows(
            frames, before=self.before, after=self.after
        )
        return keras.ops.reshape(
            windows,
            (*keras.ops.shape(frames)[:2], windows.shape[2] * windows.shape[3]),
        )

    def compute_output_shape(self, input_shape):
        """`(batch, time, (before + 1 + after) * bands)`."""
        *batch, bands = input_shape
        return (*batch, (self.before + 1 + self.after) * bands)

    def get_config(self):
        """The constructor's arguments."""
        ours = {"before": self.before, "after": self.after}
        return {**super().get_config(), **ours}
