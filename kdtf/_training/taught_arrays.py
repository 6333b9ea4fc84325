"""What a teacher says of arrays that stay on the device: it is asked once.

A teacher's answer to a row is the same in every epoch, as long as its weights
and the temperature are. `fit` asks it of all rows before the first epoch, and
again where something has changed.
"""

import math
import time

import keras
import tensorflow as tf

from kdtf._math import probabilities
from kdtf._training import array_epochs, step_counts, targets

_BATCHES_A_CALL = 64  # between two looks at the progress bar


def apply(distiller, adapter, arguments):
    """Has an adapter's rows taught once, where that saves something.

    Args:
      distiller: a compiled `Distiller`.
      adapter: the `array_epochs.ArraysAdapter` of its data, which is changed.
      arguments: dict of the arguments of `keras.Model.fit`.
    """
    callbacks = keras.tree.flatten(arguments.get("callbacks"))
    if (
        arguments.get("epochs", 1) < 2
        or not says_the_same(distiller)
        or any(_may_change_teachers(callback) for callback in callbacks)
    ):
        return
    taught = _Taught(distiller, adapter, arguments.get("verbose", "auto"))
    if taught.fits():
        adapter.complete = taught


def _may_change_teachers(callback):
    """Whether a callback may do so within an epoch, unseen."""
    return step_counts.looks_at_batches(callback, only_others=True)


def says_the_same(distiller):
    """Whether a Distiller's teacher says the same of a row all the time."""
    return (
        distiller._teacher_is_steady
        and bool(distiller._student_outputs.taught_names())
        and not distiller._hint_terms.hints
        and distiller._runs_own("compute_loss")  # it may change the teacher
    )


class _Taught:
    """Function from data to the same, with the teacher's answers."""

    def __init__(self, distiller, adapter, verbose):
        self._distiller, self._adapter = distiller, adapter
        self._bar = _Bar(adapter.num_batches, verbose)
        self._structure = self._places = None
        self._answer = tf.function(self._answers, autograph=False)
        self._answer_all = tf.function(self._batches, autograph=False)
        self._state = tf.function(self._fingerprints, autograph=False)
        self._known = self._found = None
        x, *_ = keras.utils.unpack_x_y_sample_weight(adapter.element_spec)
        self._specs = self._answer.get_concrete_function(x).structured_outputs

    def fits(self):
        """Whether there is room for the answers."""
        rows, sizes = self._adapter.rows, []
        for spec in self._specs:
            if not spec.shape[1:].is_fully_defined():
                return False
            sizes.append(math.prod([rows, *spec.shape[1:]]) * spec.dtype.size)
        return sum(sizes) <= array_epochs.BYTES

    def __call__(self, data):
        """The data, whose y is a `targets.Taught`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        state = self._state().numpy().tobytes()
        asks = state != self._known
        if asks:
            self._found, self._known = self._ask(x), state
        leaves = [self._found[place] for place in self._places]
        found = tf.nest.pack_sequence_as(self._structure, leaves)
        if asks and self._distiller._linear_head is None:  # found are logits
            self._distiller._student_outputs.each(_check_answers, found)
        return x, targets.Taught(y, found), sample_weight

    def _ask(self, x):
        """The distinct answers to all rows, list of `[rows, ...]`.

        In batches of the data's order, so that a run that is resumed hears the
        same to the last bit.
        """
        size, rows = self._adapter.batch_size, self._adapter.rows
        whole = rows // size
        answers = []
        for batch in range(0, whole, _BATCHES_A_CALL):
            count = min(_BATCHES_A_CALL, whole - batch)
            some = tf.constant([batch, count])
            answers.append(self._answer_all(x, some, size=size))
            self._bar.move(count)
        if rows % size:
            rest = self._adapter.rows_in_order(x, whole * size, rows % size)
            answers.append(self._answer(rest))
            self._bar.move(1)
        return [tf.concat(parts, 0) for parts in zip(*answers, strict=True)]

    def _batches(self, x, some, *, size):
        """The answers to whole batches: the first one and their count."""

        def answers(i):
            return self._answer(self._adapter.rows_in_order(x, i * size, size))

        found = tf.map_fn(
            answers,
            some[0] + tf.range(some[1]),
            fn_output_signature=[
                tf.TensorSpec([size, *spec.shape[1:]], spec.dtype)
                for spec in self._specs
            ],
        )
        return [tf.reshape(t, [-1, *t.shape[2:]]) for t in found]

    def _answers(self, x):
        """The distinct tensors of what the teacher says of a batch."""
        found = self._distiller._run_teacher(x)
        distinct = {id(leaf): leaf for leaf in tf.nest.flatten(found)}
        self._structure = found
        self._places = [
            list(distinct).index(id(leaf)) for leaf in tf.nest.flatten(found)
        ]
        return list(distinct.values())

    def _fingerprints(self):
        """What the answers depend on beside the rows, in a few bytes."""
        known = [
            tf.constant([0], tf.uint8),
            *self._distiller._teacher_weights(),
            *self._distiller._student_outputs.setting_variables(),
        ]
        return tf.concat([_fingerprint(value) for value in known], 0)


def _check_answers(output, found):
    """Raises if a teacher says probabilities, also where it shows none."""
    if found is not None:  # it is of an output that is taught
        logits, _ = found
        probabilities.check_teacher(logits[:256].numpy(), output.head.name)


def _fingerprint(value):
    """`[8]` uint8, a hash of a tensor's bytes."""
    value = tf.convert_to_tensor(value)
    if value.dtype == tf.bool:
        value = tf.cast(value, tf.uint8)
    data = tf.reshape(tf.bitcast(value, tf.uint8), [1, -1])
    return tf.raw_ops.Fingerprint(data=data, method="farmhash64")[0]


class _Bar:
    """A progress bar, if it takes long enough for one to wonder."""

    def __init__(self, batches, verbose):
        self._wanted = verbose in ("auto", 1)
        self._batches, self._done = batches, 0
        self._bar, self._began = None, None

    def move(self, batches):
        """So many more batches; the bar appears after three seconds."""
        self._began = self._began or time.monotonic()
        self._done += batches
        late = time.monotonic() - self._began > 3
        if self._bar is None and self._wanted and late:
            print("The teacher, once for all epochs:")
            self._bar = keras.utils.Progbar(self._batches, unit_name="batch")
        if self._bar is not None:
            self._bar.update(self._done)
