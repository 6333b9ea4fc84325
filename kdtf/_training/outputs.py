"""The outputs of a student: one, or several by name.

A Distiller does the same with each of them. With one, whatever it holds is that
of the one output; with several it is a dict from name to that.
"""

import itertools

from kdtf import _models
from kdtf._training import class_weights, metric_routing, replicas, targets
from kdtf._training.output import Output


def of(student, *, check_inputs, **settings):
    """The outputs of a student that are to be trained.

    Args:
      student: a `keras.Model`.
      check_inputs: bool.
      **settings: temperature, soft_weight, hard_weight and head, each a value
        or a dict from output name to value.

    Returns:
      `OneOutput` or `SeveralOutputs`.

    Raises:
      ValueError: if settings name outputs that are none, or leave some out.
    """
    names = _models.output_names(student)
    named = {key: v for key, v in settings.items() if isinstance(v, dict)}
    if names is None and named:  # a student that does not tell
        names = tuple(next(iter(named.values())))
    if names is None:
        return OneOutput(Output(check_inputs=check_inputs, **settings))
    trained = _trained(settings["head"], names)
    for key, value in named.items():
        _require_names(key, value, names, trained)
    values = {key: _by_name(v, names) for key, v in settings.items()}
    return SeveralOutputs(
        names,
        [
            Output(
                name=name,
                prefix=f"{name}_" if len(trained) > 1 else "",
                check_inputs=check_inputs,
                **{key: values[key][name] for key in settings},
            )
            for name in trained
        ],
        in_order=not isinstance(_models.output(student), dict),
    )


def plain(settings):
    """Settings as a configuration holds them, which is written as JSON."""
    return {key: _plain(value) for key, value in settings.items()}


def _plain(value):
    if isinstance(value, dict):
        return plain(value)
    return value if value is None or isinstance(value, str) else float(value)


def _trained(head, names):
    """The outputs that have a head."""
    if not isinstance(head, dict):
        return list(names)
    _require_names("head", head, names, names)
    trained = [name for name in names if head[name] is not None]
    if not trained:
        raise ValueError(
            "`head` must be None for outputs that are not trained, and there "
            f"must be others. Received: head={head!r}"
        )
    return trained


def _by_name(value, names):
    """Dict from name to value, of a dict or of one value for all."""
    return value if isinstance(value, dict) else dict.fromkeys(names, value)


def _require_names(argument, value, names, needed):
    """Raises unless a dict has a value for the outputs that need one."""
    if not set(needed) <= set(value) <= set(names):
        raise ValueError(
            f"`{argument}` must be one value for all outputs, or a dict with "
            f"one for each of {list(needed)}. "
            f"Received: {argument}={value!r}"
        )


class Outputs:
    """What one output and several have in common.

    Attributes:
      all: list of the `Output`s that are trained.
      several: whether there are several, or one that has a name.
    """

    def __init__(self, trained):
        self.all = trained

    def setting_variables(self):
        """The temperatures and weights of all outputs."""
        each = (output.settings.variables() for output in self.all)
        return list(itertools.chain.from_iterable(each))

    def setting_values(self):
        """Dict from name to Python float of those variables."""
        return {
            output.prefix + name: value
            for output in self.all
            for name, value in output.settings.values().items()
        }

    def trackers(self):
        """The metrics that are reported of all outputs."""
        each = (output.trackers for output in self.all)
        return list(itertools.chain.from_iterable(each))

    def taught_names(self):
        """The names of those that learn from soft targets."""
        return [o.name for o in self.all if o.learns_soft_targets]

    def require(self, batch, *, awaits_teacher):
        """Raises if a batch lacks what `fit` has to learn from.

        Raises:
          ValueError: as `targets.require`.
        """

        def require(output, batch):
            targets.require(
                batch,
                soft=output.learns_soft_targets,
                awaits_teacher=awaits_teacher,
                output=output.name,
            )

        self.each(require, batch)

    def check_arrays(self, y, student):
        """Checks what of y is in arrays, as soon as its classes are known.

        Raises:
          ValueError: as `input_checks.check_arrays`.
        """
        self.each(Output.check_arrays, self.of_data(y), self.shapes_of(student))

    def assign_class_weight(self, class_weight, student):
        """Takes what was given to `fit`.

        Returns:
          bool: whether steps that were traced before still hold.

        Raises:
          ValueError: as `ClassWeights.assign`.
        """
        given = self.of_class_weight(class_weight)
        shapes = self.shapes_of(student)
        hold = []

        def assign(output, class_weight, shape):
            classes = None if shape is None else shape[-1]
            hold.append(output.class_weights.assign(class_weight, classes))

        self.each(assign, given, shapes)
        return all(hold)

    def require_temperature(self, y):
        """Raises if y, or its spec, is for another temperature.

        Raises:
          ValueError: as `targets.require_temperature`.
        """
        if isinstance(y, (dict, list, tuple)):
            self.each(Output.require_temperature, self.of_data(y))


class OneOutput(Outputs):
    """The only output of a student."""

    several = False

    def __init__(self, output):
        super().__init__([output])
        self._output = output

    def each(self, function, *parts):
        """`function(output, *parts)`, for each output.

        Args:
          function: of an `Output` and what it has of each part.
          *parts: each what `of_student`, `of_data`, `of_weights` or `each`
            returned, or None.

        Returns:
          What the function returned: of several outputs a dict.
        """
        return function(self._output, *parts)

    def of_student(self, found):
        """What each output has of the student's output, or of its shapes."""
        if isinstance(found, (list, dict)):
            raise ValueError(
                "`student` must return one tensor of logits, or its outputs "
                "must be named: give `head` as a dict from output name to "
                '"softmax", "sigmoid" or None (not trained). '
                f"Received: a {type(found).__name__} of {len(found)}"
            )
        return found

    def of_data(self, y):
        """What each output has of y, as a data set gives it."""
        return y

    def of_weights(self, sample_weight):
        """What each output has of the sample weights."""
        return _of_one_tensor(sample_weight)

    def of_class_weight(self, class_weight):
        """What each output has of the `class_weight` that `fit` was given."""
        return class_weight

    def of_setting(self, name):
        """A variable, or a dict of them by output."""
        return getattr(self._output.settings, name)

    def shapes_of(self, student):
        """The shape of each output's logits, or None if it does not tell."""
        return _models.output_shape(student)

    def resolved(self, metrics, argument):
        """Metrics given to `compile`, fit for Keras; see `metric_routing`."""
        return metric_routing.resolve(metrics, self._output.head)

    @property
    def head(self):
        """Name of the head, or a dict of names by output."""
        return self._output.head.name

    def assign_loss_weights(self, loss_weights):
        """Raises if weights are given: there is one output.

        Raises:
          ValueError: says what weighs its terms.
        """
        if loss_weights is not None:
            raise ValueError(
                "`loss_weights` must be None for one output: the weights of a "
                "Distiller's loss are soft_weight and hard_weight of its "
                f"constructor. Received: loss_weights={loss_weights!r}"
            )

    def are_targets(self, y):
        """Whether y is of a step already, and not as a data set gives it."""
        return isinstance(y, targets.Targets)

    def check_student(self, student):
        """Raises if a student tells that its outputs cannot be trained.

        Raises:
          ValueError: as `_models.check_logits`.
        """
        _models.check_logits(student, "student", self._output.head)

    def total(self, losses, logits):
        """The loss of all outputs: the one.

        Args:
          losses: for each output a scalar.
          logits: for each output `[..., classes]`.
        """
        return losses


class SeveralOutputs(Outputs):
    """Outputs by name, of which each has its own part of everything."""

    several = True

    def __init__(self, names, trained, *, in_order):
        """Of a student.

        Args:
          names: sequence of str, all outputs in the student's order.
          trained: list of `Output`s.
          in_order: whether the order is one that a teacher's may have, too: of
            a list, and not of a dict.
        """
        super().__init__(trained)
        self._names = list(names)
        self._in_order = in_order

    def each(self, function, *parts):
        """As `OneOutput.each`, as a dict by output."""
        return {
            output.name: function(
                output,
                *(_part_of(output, part) for part in parts),
            )
            for output in self.all
        }

    def of_student(self, found):
        """As `OneOutput.of_student`; outputs that are not trained are left."""
        return self._of(found, "student", "return")

    def of_data(self, y):
        """As `OneOutput.of_data`; outputs without any have None."""
        if y is None:
            return dict.fromkeys(self._trained_names())
        alone = len(self.all) == 1 and not self._is_by_output(y)
        if alone:  # of the one output that is trained
            return {self.all[0].name: y}
        return self._of(y, "y", "be", may_lack=True)

    def of_weights(self, sample_weight):
        """As `OneOutput.of_weights`: of one for all outputs each has it."""
        if not self._is_by_output(sample_weight):
            sample_weight = _of_one_tensor(sample_weight)
            return dict.fromkeys(self._trained_names(), sample_weight)
        found = self._of(sample_weight, "sample_weight", "be", may_lack=True)
        return {name: _of_one_tensor(each) for name, each in found.items()}

    def of_class_weight(self, class_weight):
        """As `OneOutput.of_class_weight`: of a dict by output."""
        if class_weight is None:
            return None
        names = self._trained_names()
        if not (
            isinstance(class_weight, dict) and set(class_weight) <= set(names)
        ):
            raise ValueError(
                "`class_weight` must be a dict from outputs to dicts from "
                f"class to weight, for some of {names}. "
                f"Received: class_weight={class_weight!r}"
            )
        return class_weight

    def of_teacher(self, found, teacher):
        """What a teacher says of each output.

        Args:
          found: dict or list, what it returned; or, of a model that tells, its
            symbolic outputs.
          teacher: the teacher.

        Returns:
          Dict by output of those that learn from soft targets.

        Raises:
          ValueError: if one of them is missing.
        """
        taught = self.taught_names()
        names = self._names
        if not self._in_order:
            names = _models.output_names(teacher) or ()
        if isinstance(found, (list, tuple)) and len(found) == len(names):
            found = dict(zip(names, found, strict=True))
        has = list(found) if isinstance(found, dict) else []
        lacking = [name for name in taught if name not in has]
        if lacking:
            raise ValueError(
                f"`teacher` must return a dict with the outputs {taught}, "
                "or a list of all outputs in the order of the student's, if it "
                f"has such; or `soft_weight` must be 0 for {lacking}. "
                f"Received: {_told(found)}"
            )
        return {name: found[name] for name in taught}

    def of_setting(self, name):
        """As `OneOutput.of_setting`."""
        return {o.name: getattr(o.settings, name) for o in self.all}

    def shapes_of(self, student):
        """As `OneOutput.shapes_of`."""
        if _models.output_names(student) is None:
            return None
        return {
            name: tuple(output.shape)
            for name, output in _models.outputs(student).items()
        }

    def resolved(self, metrics, argument):
        """As `OneOutput.resolved`: of a dict by output, or a list in order."""
        if not metrics:
            return metrics
        if len(self.all) == 1 and not self._is_by_output(metrics):
            metrics = {self.all[0].name: metrics}
        if isinstance(metrics, (list, tuple)) and any(
            not isinstance(each, (list, tuple, type(None))) for each in metrics
        ):
            raise ValueError(
                f"`{argument}` must be a dict from output to a list of "
                f"metrics, for some of {self._trained_names()}. "
                f"Received: {argument}={metrics!r}"
            )
        by_output = self._of(metrics, argument, "be", may_lack=True)
        return {
            output.name: metric_routing.resolve(
                by_output[output.name], output.head
            )
            for output in self.all
            if by_output[output.name] is not None
        }

    def assign_loss_weights(self, loss_weights):
        """Takes what was given to `compile`, a weight for each output.

        Raises:
          ValueError: if it is neither None nor such a dict.
        """
        given = {} if loss_weights is None else loss_weights
        names = self._trained_names()
        good = isinstance(given, dict) and set(given) <= set(names)
        if not good or not all(map(class_weights.is_weight, given.values())):
            raise ValueError(
                "`loss_weights` must be a dict from output to a number, finite "
                f"and not negative, for some of {names}; others count 1. "
                f"Received: loss_weights={loss_weights!r}"
            )
        for output in self.all:
            output.weight = float(given.get(output.name, 1.0))

    @property
    def head(self):
        """As `OneOutput.head`; None for an output that is not trained."""
        trained = {output.name: output.head.name for output in self.all}
        return {name: trained.get(name) for name in self._names}

    def are_targets(self, y):
        """As `OneOutput.are_targets`."""
        return isinstance(y, dict) and all(
            isinstance(y.get(name), targets.Targets)
            for name in self._trained_names()
        )

    def check_student(self, student):
        """As `OneOutput.check_student`."""
        if _models.output(student) is None:
            return
        found = _models.outputs(student)
        for output in self.all:
            _models.check_output(
                student, "student", found[output.name], output.head
            )

    def total(self, losses, logits):
        """As `OneOutput.total`: their sum by weights."""
        losses = replicas.of_rows(losses, logits)
        return sum(output.weight * losses[output.name] for output in self.all)

    def _trained_names(self):
        return [output.name for output in self.all]

    def _is_by_output(self, given):
        """Whether it may be a dict by output, or a list of one an output."""
        if isinstance(given, dict):
            return bool(set(given) & set(self._names))
        is_list = isinstance(given, (list, tuple))
        return is_list and len(given) == len(self._names)

    def _of(self, given, argument, verb, may_lack=False):
        """Parts by output of a dict by name, or of a list in order."""
        names = self._trained_names()
        if isinstance(given, (list, tuple)) and len(given) == len(self._names):
            given = dict(zip(self._names, given, strict=True))
        good = isinstance(given, dict) and (
            set(given) <= set(self._names)
            if may_lack
            else set(names) <= set(given)
        )
        if not good:
            raise ValueError(
                f"`{argument}` must {verb} a dict by output, or a list of "
                f"{len(self._names)} in the order of the outputs "
                f"{self._names}. Received: {_told(given)}"
            )
        return {name: given.get(name) for name in names}


def _part_of(output, part):
    return None if part is None else part.get(output.name)


def _of_one_tensor(sample_weight):
    """What `weights_beside` spread over the keys of y, as one tensor again."""
    while isinstance(sample_weight, dict):
        sample_weight = next(iter(sample_weight.values()))
    return sample_weight


def _told(given):
    """What an error says of what was given in place of outputs."""
    if isinstance(given, dict):
        return f"a dict with the keys {list(given)}"
    if isinstance(given, (list, tuple)):
        return f"a {type(given).__name__} of {len(given)}"
    return f"a {type(given).__name__} of shape {getattr(given, 'shape', '()')}"
