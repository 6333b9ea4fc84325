"""kdtf.speech._checks: what passes, and what does not."""

import pytest

from kdtf.speech import _checks


@pytest.mark.parametrize("bands", (0, -1, 40.0, "40", None))
def test_bands_are_a_positive_int(bands):
    _checks.check_bands(1)
    with pytest.raises(ValueError, match=f"`bands` must.*bands={bands!r}"):
        _checks.check_bands(bands)


@pytest.mark.parametrize("bad", (-1, 2.0, "2", None))
@pytest.mark.parametrize("name", ("before", "after"))
def test_context_is_ints_of_at_least_0(name, bad):
    _checks.check_context(0, 0)
    with pytest.raises(ValueError, match=f"`{name}` must.*{name}={bad!r}"):
        _checks.check_context(**{"before": 1, "after": 1, name: bad})
