"""How any arm is trained: from its newest checkpoint to its last epoch.

An arm is a frozen dataclass of settings with defaults, one a net; its model is
a `kdtf.Distiller`.
"""

import dataclasses
import hashlib

import keras
import tqdm

import kdtf
from trainers.core import checkpoints, strategies, workers

CHECKPOINTS = "checkpoints"  # in the directory of an arm and seed
_LONGEST_EXECUTION = 25  # steps


def digest(arm):
    """Six characters that no other arm has."""
    given = [
        f"{field.name}={value!r}"
        for field in dataclasses.fields(arm)
        # What has its default is left out, so that a field which is added
        # later leaves the names of older arms alone.
        if (value := getattr(arm, field.name)) != field.default
    ]
    return hashlib.sha256(" ".join(given).encode()).hexdigest()[:6]


def steps_per_execution(steps):
    """How many steps of an epoch run at once: a divisor of `steps`.

    Keras rounds an epoch up to whole executions; a divisor needs none.
    """
    return max(n for n in range(1, _LONGEST_EXECUTION + 1) if steps % n == 0)


def compiled_distiller(
    net, arm, steps, *, teacher=None, kind=kdtf.Distiller, **options
):
    """A compiled Distiller, as an arm describes it.

    Its optimizer is Adam, whose rate falls to 0 along a cosine.

    Args:
      net: `keras.Model`, the student, built in the `strategies.scope`.
      arm: dataclass with `temperature`, `soft_weight`, `hard_weight`,
        `learning_rate` and `epochs`.
      steps: int, batches per epoch.
      teacher: `keras.Model` or `kdtf.Ensemble`, asked about every batch; None
        if the batches have its logits, or the arm has no teacher.
      kind: `kdtf.Distiller`, or a subclass.
      **options: of `compile`.

    Returns:
      `kdtf.Distiller` with its optimizer built.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        arm.learning_rate, decay_steps=steps * arm.epochs
    )
    if strategies.has_replicas():
        # What replicas send each other XLA cannot compile.
        options["jit_compile"] = False
    with strategies.scope():
        distiller = kind(
            net,
            teacher,
            temperature=arm.temperature,
            soft_weight=arm.soft_weight,
            hard_weight=arm.hard_weight,
        )
        distiller.compile(
            keras.optimizers.Adam(schedule),
            steps_per_execution=steps_per_execution(steps),
            **options,
        )
        distiller.optimizer.build(distiller.trainable_variables)
    return distiller


def fit(
    model,
    batches,
    directory,
    *,
    steps,
    epochs,
    checkpoint_every,
    evaluate,
    title,
    shown=(),
    keep_best=None,
):
    """Trains a compiled model from its newest checkpoint to the last epoch.

    Args:
      model: a compiled `keras.Model` with its optimizer built.
      batches: function from the first step and the one after the last to a
        `tf.data.Dataset` of those batches.
      directory: `pathlib.Path` of the arm and seed.
      steps: int, batches of an epoch.
      epochs: int.
      checkpoint_every: int, epochs between two checkpoints.
      evaluate: function without arguments that returns a dict of figures for
        the learning curve.
      title: str, for the progress bar; None for none.
      shown: names of the figures that bar and TensorBoard show beside the loss;
        none of the test set, or settings are tuned on it by eye.
      keep_best: name of the figure by which the best epoch's student is kept
        and taken at the end (early stopping, in hindsight); None for the last.

    Returns:
      The state, see `checkpoints.restore`; with `keep_best` it has "best", the
      point of the curve whose weights the student of `model` has.
    """
    folder = directory / CHECKPOINTS
    state = checkpoints.restore(model, folder)
    callbacks = [
        checkpoints.Checkpoints(
            folder,
            state,
            every=checkpoint_every,
            evaluate=evaluate,
            epochs=epochs,
            shown=shown,
            keep_best=keep_best,
        ),
        ProgressBar(title, state, shown),
    ]
    if strategies.is_chief():
        callbacks.append(CurveLogs(directory / "tensorboard", state))
    model.fit(
        batches(state["epoch"] * steps, epochs * steps),
        steps_per_epoch=steps,
        initial_epoch=state["epoch"],
        epochs=epochs,
        shuffle=False,  # the batches come shuffled
        verbose=0,
        callbacks=callbacks,
    )
    if keep_best:
        strategies.on_chief(lambda: None)  # has written it
        checkpoints.restore_best(model, folder)
    return state


class CurveLogs(keras.callbacks.TensorBoard):
    """TensorBoard's logs, of the epochs that the learning curve has.

    Of every epoch they would take as long as training a small net.
    """

    def __init__(self, directory, state):
        """Builds the callback.

        Args:
          directory: `pathlib.Path` of the logs.
          state: what `checkpoints.restore` returned, with the newest point.
        """
        super().__init__(directory, write_graph=False)
        self._state = state

    def on_epoch_end(self, epoch, logs=None):
        """Logs the epoch if it is the curve's newest point."""
        curve = self._state["curve"]
        if curve and curve[-1]["epoch"] == epoch + 1:
            super().on_epoch_end(epoch, logs)


class ProgressBar(keras.callbacks.Callback):
    """One bar an arm, over epochs, with the newest loss and some figures."""

    def __init__(self, title, state, shown):
        """Builds the callback.

        Args:
          title: str, or None for no bar.
          state: what `checkpoints.restore` returned.
          shown: names of the curve's figures that are shown.
        """
        super().__init__()
        self._title = title
        self._state = state
        self._shown = shown

    def on_train_begin(self, logs=None):
        """Opens the bar where training goes on."""
        self._bar = tqdm.tqdm(
            total=self.params["epochs"],
            initial=self._state["epoch"],
            desc=self._title,
            unit="epoch",
            disable=self._title is None or workers.is_worker(),
        )

    def on_epoch_end(self, epoch, logs=None):
        """Moves it, and shows the newest point of the curve."""
        curve = self._state["curve"]
        figures = {"loss": float(logs["loss"])}
        if curve:
            figures |= {name: curve[-1][name] for name in self._shown}
        self._bar.set_postfix(
            {
                name: f"{value:.4f}" if isinstance(value, float) else value
                for name, value in figures.items()
            },
            refresh=False,
        )
        self._bar.update()

    def on_train_end(self, logs=None):
        """Closes the bar."""
        self._bar.close()
