"""What a Distiller does with each output of its student: the one, here.

With one output, whatever a Distiller holds is that of the output; with several
(`several_outputs`) it is a dict from name to that.
"""

import itertools

from kdtf import _models
from kdtf._training import metric_routing, targets
from kdtf._training.output import Output


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
        """What each output has of what the student returned."""
        if isinstance(found, (list, tuple, dict)):
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

    def weights_beside(self, y, sample_weight):
        """Sample weights in the structure of y; see `targets`."""
        return targets.weights_beside(y, as_one_tensor(sample_weight))

    def of_weights(self, sample_weight):
        """What each output has of the sample weights."""
        return as_one_tensor(sample_weight)

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

    def mean(self, losses, logits):
        """As `total`, of what is no output's own: the mean over outputs."""
        return losses


def as_one_tensor(sample_weight):
    """What `weights_beside` spread over the keys of y, as one tensor again."""
    while isinstance(sample_weight, dict):
        given = (w for w in sample_weight.values() if w is not None)
        sample_weight = next(given, None)
    return sample_weight
