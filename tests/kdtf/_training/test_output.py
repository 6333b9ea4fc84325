"""kdtf._training.output: labels that can only be checked later, or never."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf._training import targets
from kdtf._training.output import Output


def new_output():
    return Output(
        temperature=2.0,
        soft_weight=0.5,
        hard_weight=0.5,
        head="softmax",
        check_inputs=False,
    )


def fit(output, classes):
    """Traces a step of logits that tell that many classes, or None."""
    function = tf.function(
        lambda z: output.fit_to_logits(targets.Targets(), z).labels,
        input_signature=[tf.TensorSpec((None, classes))],
        autograph=False,
    )
    function.get_concrete_function()


def test_labels_are_checked_as_soon_as_the_classes_are_known():
    output = new_output()
    output.check_arrays(np.array([0, 5]), None)
    with pytest.raises(ValueError, match=r"from 0 to 3.*5 in row 1"):
        fit(output, 4)
    output.check_arrays(np.array([0, 3]), None)
    fit(output, 4)
    assert output._unchecked == []


def test_classes_that_are_never_known_are_not_waited_for():
    """As of ragged logits: the labels are let go, and the step goes on."""
    output = new_output()
    output.check_arrays(np.array([0, 5]), None)
    fit(output, None)
    assert output._unchecked == []
