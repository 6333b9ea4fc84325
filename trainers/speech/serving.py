"""A student as a SavedModel from waveforms to log-posteriors of states.

Features, normalisation and windows are inside; so is what decoding needs beside
them. `tf.saved_model.load` needs nothing of Keras or kdtf.
"""

import keras
import numpy as np
import tensorflow as tf

from kdtf import _atomic, speech


def waveform_model(net, corpus):
    """A net with all that comes before it.

    Args:
      net: `keras.Sequential` of Dense layers, `[batch, window]` to logits.
      corpus: `corpora.Corpus` that it was trained on.

    Returns:
      `keras.Model`, `[batch, samples]` float32 within [-1, 1] to `[batch,
      frames, states]` log-posteriors.
    """
    waveforms = keras.Input((None,))
    x = speech.LogMel(corpus.clips.sample_rate)(waveforms)
    x = keras.layers.Rescaling(
        (1 / corpus.deviation).tolist(),
        (-corpus.mean / corpus.deviation).tolist(),
    )(x)
    x = speech.ContextWindows()(x)
    for layer in net.layers:
        x = layer(x)
    return keras.Model(waveforms, keras.ops.log_softmax(x))


def export(net, corpus, directory, *, penalty):
    """Writes a student as a SavedModel, in place of an older one.

    Its signature `serving_default`, and its method `serve`, take waveforms
    `[batch, samples]` float32 within [-1, 1] and give `log_posteriors`
    `[batch, frames, states]` float32. Its variables `sample_rate`,
    `log_priors`, `stay` and `penalty` are what `kdtf.speech.decode` wants
    beside them.

    Args:
      net: the trained student.
      corpus: `corpora.Corpus` that it was trained on.
      directory: `pathlib.Path` of the SavedModel.
      penalty: float, of a word.
    """
    model = waveform_model(net, corpus)
    spec = tf.TensorSpec((None, None), tf.float32, "waveforms")

    @tf.function(input_signature=[spec])
    def serve(waveforms):
        return {"log_posteriors": model(waveforms, training=False)}

    module = tf.Module()
    module.serve = serve
    module.student_variables = [v.value for v in model.variables]
    for name, value in (
        ("sample_rate", np.int32(corpus.clips.sample_rate)),
        ("log_priors", corpus.log_priors),
        ("stay", corpus.hmms.stay),
        ("penalty", np.float64(penalty)),
    ):
        setattr(module, name, tf.Variable(value, trainable=False))
    with _atomic.whole_directory(directory, replace=True) as scratch:
        tf.saved_model.save(module, str(scratch), {"serving_default": serve})
