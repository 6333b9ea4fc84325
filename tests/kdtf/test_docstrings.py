"""Every example in kdtf's docstrings runs.

An example may use these names without importing or defining them:

    keras, kdtf, np, tf    the modules
    x, y                   arrays `[8, 4]`, float32, and `[8]`, labels 0 to 2
    dataset                a `tf.data.Dataset` of the 8 examples `(x, y)`
    student, teacher       models `[batch, 4]` -> logits `[batch, 3]`

Where it writes files, it does so in an empty directory.
"""

import doctest
import importlib.util
import inspect
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    """kdtf and all that it holds, private modules too."""
    found = pkgutil.walk_packages(kdtf.__path__, "kdtf.")
    names = [info.name for info in found]
    if not importlib.util.find_spec("apache_beam"):
        names.remove("kdtf.beam")
    return [kdtf, *(importlib.import_module(name) for name in names)]


DOCSTRINGS = {
    docstring.name: docstring
    for module in modules()
    for docstring in doctest.DocTestFinder().find(module)
}
EXAMPLES = [name for name, each in DOCSTRINGS.items() if each.examples]


def net():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.fixture
def names():
    """What an example may use; see the top of this file."""
    x = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
    y = np.arange(8) % 3
    return {
        "keras": keras,
        "kdtf": kdtf,
        "np": np,
        "tf": tf,
        "x": x,
        "y": y,
        "dataset": tf.data.Dataset.from_tensor_slices((x, y)),
        "student": net(),
        "teacher": net(),
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs(name, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    docstring = DOCSTRINGS[name]
    docstring.globs = names
    report = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(docstring, out=report.append)
    assert not report, "".join(report)


def test_every_example_is_one_that_runs():
    """An `Example:` without `>>>` would go untested."""
    titled = [
        name
        for name, docstring in DOCSTRINGS.items()
        if "Example:" in inspect.cleandoc(docstring.docstring).splitlines()
    ]
    assert titled and set(titled) <= set(EXAMPLES)
