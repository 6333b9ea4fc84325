"""benchmarks.fault_victims: what counts as the same state.

That the victims run is tested by test_faults.py, in a process that forks them.
"""

import hashlib
import json

import h5py
import numpy as np
import pytest

from benchmarks import fault_trials, fault_victims


def hashes(folder, **files):
    """`_hashes` of a folder of files, by suffix."""
    for suffix, content in files.items():
        path = folder / f"file.{suffix}"
        if suffix == "h5":
            with h5py.File(path, "w") as file:
                file["layers/dense/0"] = content
        elif suffix == "npy":
            np.save(path, content)
        else:
            path.write_text(content)
    return fault_victims._hashes(folder)


def test_times_are_no_difference_and_figures_are(tmp_path):
    def of(errors, seconds):
        curve = [{"errors": errors, "seconds_per_epoch": seconds}]
        content = {"seconds": seconds, "curve": curve}
        checksum = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return hashes(
            tmp_path, json=json.dumps({**content, "sha256": checksum})
        )

    assert of(3, 1.5) == of(3, 2.5)
    assert of(3, 1.5) != of(4, 1.5)


@pytest.mark.parametrize("suffix", ("h5", "npy"))
def test_arrays_differ_by_values_shape_and_dtype(tmp_path, suffix):
    array = np.arange(6, dtype=np.int32)
    other = array.copy()
    other[2] += 1
    arrays = (array, other, array.reshape(2, 3), array.astype(np.float32))
    found = [hashes(tmp_path, **{suffix: each}) for each in arrays]
    assert len({each[f"file.{suffix}"] for each in found}) == 4
    assert hashes(tmp_path, **{suffix: array}) == found[0]


def test_any_other_file_differs_by_its_bytes(tmp_path):
    assert hashes(tmp_path, md="a") != hashes(tmp_path, md="b")


def test_bytes_of_hdf5_that_mean_nothing_are_no_difference(tmp_path):
    values = np.arange(1.0, 5.0)
    before = hashes(tmp_path, h5=values)
    path = tmp_path / "file.h5"
    content = path.read_bytes()

    def with_changed(position):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        return fault_victims._hashes(tmp_path)

    gap = content.index(values.tobytes()) + values.nbytes
    assert with_changed(gap) == before
    assert with_changed(gap - 3) != before


def test_logs_and_scratch_files_are_no_part_of_the_state(tmp_path):
    for folder in ("tensorboard", "result.scratch"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").touch()
    for name in ("report.md", "metrics.json.scratch"):
        (tmp_path / name).touch()
    assert fault_trials.files(tmp_path) == [tmp_path / "report.md"]
