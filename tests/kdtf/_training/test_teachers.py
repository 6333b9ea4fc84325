"""kdtf._training.teachers: a student that is larger than its teacher."""

import warnings

import pytest

import kdtf
from tests import nets


def test_a_student_larger_than_its_teacher_is_warned_of():
    small, large = nets.deep(width=4), nets.deep(width=64)
    sizes = f"{large.count_params():,} .* {small.count_params():,}:"
    with pytest.warns(UserWarning, match=sizes) as found:
        kdtf.Distiller(large, small, temperature=2.0)
    assert found[0].filename == __file__


@pytest.mark.parametrize(
    "teacher", (nets.linear(1), kdtf.Ensemble([nets.linear(1)]), lambda x: x)
)
def test_others_are_not(teacher):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kdtf.Distiller(nets.linear(), teacher, temperature=2.0)
