"""Outputs of a student by name, as dicts of what one output has."""

from kdtf import _models
from kdtf._training import class_weights, metric_routing, replicas, targets
from kdtf._training.outputs import Outputs, as_one_tensor


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

    def weights_beside(self, y, sample_weight):
        """As `OneOutput.weights_beside`.

        Raises:
          ValueError: if y has no place for the weights of an output.
        """
        if y is None or sample_weight is None:
            return sample_weight
        labels, weights = self.of_data(y), self.of_weights(sample_weight)
        lacking = [n for n in labels if labels[n] is None]
        if lacking:
            raise ValueError(
                "`y` must have labels of every output where there are sample "
                "weights, -1 where they are not known; or give x, y and "
                "weights as a tf.data.Dataset. "
                f"Received: y without {lacking}"
            )
        if isinstance(y, (list, tuple)):
            weights = [weights.get(name) for name in self._names]
        elif not self._is_by_output(y):
            [weights] = weights.values()
        return targets.weights_beside(y, weights)

    def of_weights(self, sample_weight):
        """As `OneOutput.of_weights`: of one for all outputs each has it."""
        if not isinstance(sample_weight, (dict, list, tuple)):
            return dict.fromkeys(self._trained_names(), sample_weight)
        if len(self.all) == 1 and not self._is_by_output(sample_weight):
            return {self.all[0].name: as_one_tensor(sample_weight)}
        found = self._of(sample_weight, "sample_weight", "be", may_lack=True)
        return {name: as_one_tensor(each) for name, each in found.items()}

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
          found: dict or list, what it returned, or of one output the tensor;
            or, of a model that tells, its symbolic outputs.
          teacher: the teacher.

        Returns:
          Dict by output of those that learn from soft targets.

        Raises:
          ValueError: if one of them is missing.
        """
        taught = self.taught_names()
        if len(taught) == 1 and not isinstance(found, (dict, list, tuple)):
            return {taught[0]: found}
        names, theirs = self._names, _models.output_names(teacher) or ()
        if not self._in_order or set(theirs) == set(names):
            names = theirs
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
        are_bare = isinstance(metrics, (list, tuple)) and any(
            not isinstance(each, (list, tuple, type(None))) for each in metrics
        )
        alone = are_bare or not self._is_by_output(metrics)
        if len(self.all) == 1 and alone:
            metrics = {self.all[0].name: metrics}
        elif are_bare:
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
        if isinstance(given, (list, tuple)) and len(given) == len(self._names):
            given = dict(zip(self._names, given, strict=True))
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

    def mean(self, losses, logits):
        """As `OneOutput.mean`."""
        losses = replicas.of_rows(losses, logits)
        return sum(losses.values()) / len(losses)

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


def _told(given):
    """What an error says of what was given in place of outputs."""
    if isinstance(given, dict):
        return f"a dict with the keys {list(given)}"
    if isinstance(given, (list, tuple)):
        return f"a {type(given).__name__} of {len(given)}"
    return f"a {type(given).__name__} of shape {getattr(given, 'shape', '()')}"
