"""How a Distiller runs whatever it was given as its teacher."""

import warnings

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf.ensemble import Ensemble

_PACKAGES = ("keras", "keras_hub", "kdtf")
_UNKNOWN = (keras.layers.Lambda, keras.layers.TFSMLayer)  # whatever they hold


def targets_function(teacher, outputs):
    """Function from x to what a teacher says of each output.

    It hides the teacher from Keras's saver, which follows every attribute and
    property of a model.

    Args:
      teacher: what a Distiller was given, checked.
      outputs: the `outputs.Outputs`.

    Returns:
      Function from x to `(teacher_logits, tempered_logits)`, see
      `targets.Targets`; of several outputs a dict of those, without the ones
      that learn no soft targets.
    """
    if isinstance(teacher, dict):
        logits_of = {name: logits_function(t) for name, t in teacher.items()}
        temperatures = outputs.of_setting("temperature")
        return lambda x: {
            name: function(x, temperatures[name])
            for name, function in logits_of.items()
        }
    if not outputs.several:
        logits = logits_function(teacher)
        temperature = outputs.of_setting("temperature")
        return lambda x: logits(x, temperature)

    def by_output(x):
        found = outputs.of_teacher(call(teacher, x), teacher)
        return {
            name: (tf.convert_to_tensor(each),) * 2
            for name, each in found.items()
        }

    return by_output


def logits_function(teacher):
    """Function (x, T) -> (logits at T = 1, u with softmax(u / T))."""
    if isinstance(teacher, Ensemble):

        def ensemble_logits(x, temperature):
            members = teacher.member_logits(x)
            return (
                teacher.combine_logits(members, 1.0),
                teacher.combine_logits(members, temperature),
            )

        return ensemble_logits

    def single_logits(x, temperature):
        del temperature  # one net's logits do not depend on it
        logits = _as_tensor(teacher, lambda: call(teacher, x))
        return logits, logits

    return single_logits


def weights_function(teacher):
    """Function that returns the weights of a teacher, those that Keras knows.

    Like `targets_function` it hides the teacher from Keras.
    """
    return lambda: [
        weight
        for each in _each(teacher)
        for weight in getattr(each, "weights", [])
    ]


def unusual_layers_function(teacher):
    """Function that returns `_keras_private.unusual_layers` of a teacher.

    Like `targets_function` it hides the teacher from Keras.
    """
    return lambda: [
        found
        for each in _each(teacher)
        for found in keras_private.unusual_layers(each)
    ]


def is_steady(teacher):
    """Whether what a teacher says of a row depends on its weights alone.

    Args:
      teacher: what a Distiller was given.

    Returns:
      bool, True of models alone whose layers are all of Keras.
    """
    return all(map(_is_steady_alone, _each(teacher)))


def _is_steady_alone(teacher):
    try:
        layers = keras_private.all_layers(teacher)
    except RuntimeError:  # it has none, or Keras hides them
        return False
    return all(
        type(layer).__module__.partition(".")[0] in _PACKAGES
        and not isinstance(layer, _UNKNOWN)
        and not getattr(layer, "stateful", False)  # from batch to batch
        for layer in layers
    )


def _each(teacher):
    """The teachers of all outputs."""
    return list(teacher.values()) if isinstance(teacher, dict) else [teacher]


def call(teacher, x):
    """What a teacher returns for a batch, in inference mode."""
    if isinstance(teacher, keras.Layer):
        return _models.call(teacher, x, training=False)
    return teacher(x)


def _as_tensor(teacher, run):
    """The one tensor that a teacher's call returns."""
    try:
        logits = run()
        if not isinstance(logits, (list, tuple, dict)):
            return tf.convert_to_tensor(logits)
    except (NotImplementedError, AttributeError) as error:
        # What Python and numpy say of a tensor of a graph.
        if isinstance(teacher, keras.Layer) or tf.executing_eagerly():
            raise
        raise ValueError(
            "`teacher` must work on tensors of TensorFlow: wrap a function of "
            "numpy arrays as kdtf.numpy_teacher(function, shape=(classes,)). "
            f"Received: teacher={teacher!r}, which raised "
            f"{type(error).__name__}: {error}"
        ) from error
    raise ValueError(
        "`teacher` must return one tensor of logits [..., classes]; choose one "
        "of several, as in lambda x: teacher(x)['logits']. "
        f"Received: a {type(logits).__name__} of {len(logits)}"
    )


def batch_by_batch(logits, x, among):
    """A teacher's logits on stacked batches.

    Args:
      logits: function from a batch to a structure of tensors `[batch, ...]`.
      x: structure of tensors `[batches, batch, ...]`.
      among: (first, last), the range of batches that are needed.

    Returns:
      That structure of `[batches, batch, ...]`, 0 for all other batches.
    """
    first, last = among
    one = tf.nest.map_structure(
        lambda t: tf.TensorSpec(t.shape[1:], t.dtype), x
    )
    signature = tf.function(logits, autograph=False).get_concrete_function(one)
    size = tf.shape(tf.nest.flatten(x)[0])[0]

    def in_place(found):
        others = tf.zeros([tf.rank(found) - 1, 2], tf.int32)
        around = tf.concat([[[first, size - last]], others], axis=0)
        padded = tf.pad(found, around)
        if found.shape.rank is not None:
            padded.set_shape([None, *found.shape[1:]])
        return padded

    found = tf.map_fn(
        logits,
        tf.nest.map_structure(lambda t: t[first:last], x),
        fn_output_signature=tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype),
            signature.structured_outputs,
        ),
    )
    return tf.nest.map_structure(in_place, found)


def check(teacher, student, outputs):
    """Raises if a teacher shows that it cannot teach a student.

    Args:
      teacher: what a Distiller was given.
      student: the `keras.Model`.
      outputs: the `outputs.Outputs` of the student.

    Raises:
      ValueError: says what it must be.
    """
    for each in _each(teacher):
        owner = getattr(each, "__self__", None)
        if isinstance(owner, keras.Model):
            raise ValueError(
                "`teacher` must be the model itself, not a method of it, such "
                "as `predict`, which runs a loop of its own. "
                f"Received: the method {each.__name__!r} of {owner.name!r}"
            )
    if isinstance(teacher, dict):
        _check_one_an_output(teacher, student, outputs)
    elif outputs.several:
        _check_of_several(teacher, student, outputs)
    else:
        [output] = outputs.all
        check_alone(teacher, output.head)
        shapes = [_models.output_shape(model) for model in (student, teacher)]
        _check_shapes(*shapes)
    for each in _each(teacher):
        _check_apart(each, student)


def _check_one_an_output(teacher, student, outputs):
    """Raises unless a dict has a teacher for each output that needs one."""
    if not outputs.several:
        raise ValueError(
            "`teacher` may be a dict of teachers for a student of several "
            f"outputs alone. Received: a dict for {list(teacher)}"
        )
    taught = outputs.taught_names()
    if set(teacher) != set(taught):
        raise ValueError(
            "`teacher` must be a dict by output, with one for each that learns "
            f"from soft targets, {taught}; `soft_weight` 0 is for the others. "
            f"Received: a dict for {list(teacher)}"
        )
    shapes = outputs.shapes_of(student) or {}
    for output in outputs.all:
        if output.name in teacher:
            check_alone(teacher[output.name], output.head)
            shape = _models.output_shape(teacher[output.name])
            _check_shapes(shapes.get(output.name), shape, output.name)


def _check_of_several(teacher, student, outputs):
    """Raises unless a teacher of several outputs has those that it needs."""
    _check_callable(teacher)
    if isinstance(teacher, _models.MadeOfModels):
        raise ValueError(
            "`teacher` must be a dict from output to Ensemble, or to other "
            "teachers, for a student of several outputs. "
            f"Received: {teacher!r}"
        )
    _check_built(teacher)
    found = _models.output(teacher)
    if found is None:  # it does not tell
        return
    theirs = outputs.of_teacher(found, teacher)
    shapes = outputs.shapes_of(student) or {}
    for output in outputs.all:
        if output.name in theirs:
            _models.check_output(
                teacher, "teacher", theirs[output.name], output.head
            )
            shape = theirs[output.name].shape
            _check_shapes(shapes.get(output.name), shape, output.name)


def check_alone(teacher, head):
    """Raises if a teacher shows that it cannot teach anybody.

    Args:
      teacher: a Keras model or layer, or another callable.
      head: one of `_math.heads`.

    Raises:
      ValueError: says what it must be.
    """
    _check_callable(teacher)
    _check_built(teacher)
    combines = isinstance(teacher, _models.MadeOfModels)
    if combines and teacher.head != head.name:
        raise ValueError(
            "`teacher` must have the head of those who learn from it: build "
            f'the Ensemble with head="{head.name}". '
            f'Received: head="{teacher.head}"'
        )
    _models.check_logits(teacher, "teacher", head)


def _check_callable(teacher):
    if not callable(teacher):
        raise ValueError(
            "`teacher` must be a keras.Model, an Ensemble or another callable, "
            "from x to logits: kdtf.Ensemble([...]) makes one of several, "
            "kdtf.numpy_teacher(...) of functions of numpy arrays, such as a "
            f"model of scikit-learn has. Received: {teacher!r}"
        )


def _check_built(teacher):
    if isinstance(teacher, keras.Layer) and not _is_built(teacher):
        raise ValueError(
            "`teacher` must be built, and should be trained: one that was "
            "never called has no weights yet, and would teach random ones. "
            "Call it on a batch, and load its weights. "
            f"Received: {teacher.name!r}, which is not built"
        )


def _is_built(teacher):
    members = teacher.members if isinstance(teacher, Ensemble) else [teacher]
    return all(member.built for member in members)


def _check_shapes(ours, theirs, output=None):
    """Raises if shapes of logits are known and cannot be the same."""
    if not (ours and theirs):
        return
    of = "" if output is None else f" at output {output!r}"
    if len(ours) != len(theirs):
        raise ValueError(
            "`teacher` must give logits of as many axes as `student`. "
            f"Received: a student of shape {tuple(ours)} and a teacher of "
            f"shape {tuple(theirs)}{of}"
        )
    if None not in (ours[-1], theirs[-1]) and ours[-1] != theirs[-1]:
        raise ValueError(
            "`teacher` must have as many classes as `student`. Received: a "
            f"student of {ours[-1]} and a teacher of {theirs[-1]} classes{of}"
        )


def _check_apart(teacher, student):
    """Raises if training the student would change the teacher."""
    theirs = {id(w) for w in getattr(teacher, "variables", ())}
    shared = [w for w in student.trainable_weights if id(w) in theirs]
    if shared:
        raise ValueError(
            "`student` must not train weights of `teacher`, whose soft "
            "targets would change with every step: give it layers of its own "
            "(keras.models.clone_model and set_weights copy a model), or "
            "freeze those that both use. Received: a student that shares "
            f"{shared[0].path!r} and {len(shared) - 1} others"
        )


def warn_if_swapped(teacher, student):
    """Warns if the student is the larger of two models that are built.

    It may well be; but `keras.distillation.Distiller` takes the teacher first.
    """
    if not (isinstance(teacher, keras.Model) and student.built):
        return
    sizes = [model.count_params() for model in (student, teacher)]
    if sizes[0] > sizes[1]:
        warnings.warn(
            f"`student` has {sizes[0]:,} parameters and `teacher` only "
            f"{sizes[1]:,}: if they are swapped, write "
            "kdtf.Distiller(student, teacher, ...), the student first.",
            stacklevel=4,
        )
