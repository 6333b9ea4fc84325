"""benchmarks.scale_reading: workers read what they are said to."""

import functools

import numpy as np
import pytest

from benchmarks import scale_reading


@pytest.mark.slow
def test_images_of_any_range_are_those_of_all(tmp_path):
    store = scale_reading.make(tmp_path, 600)  # in two files
    assert len(store) == 600
    read = functools.partial(scale_reading.images, tmp_path)
    whole = np.stack(list(read(0, 600)))
    assert whole.shape == (600, scale_reading.SIZE, scale_reading.SIZE, 3)
    for first, last in ((0, 1), (511, 513), (590, 600)):
        np.testing.assert_array_equal(
            np.stack(list(read(first, last))), whole[first:last]
        )


@pytest.mark.slow
def test_every_way_reads_every_example():
    found = scale_reading.measure(examples=600, rounds=1)
    assert set(found["seconds"]) == set(scale_reading.WAYS)
    for seconds in found["seconds"].values():
        assert len(seconds) == 1
        assert seconds[0] > 0
