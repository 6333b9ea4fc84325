"""Pipelines for the tests of `kdtf.beam`, which are skipped without Beam."""

import importlib
import os
import signal

import pytest

from tests import nets, stores

beam = pytest.importorskip("apache_beam")
labelling = importlib.import_module("kdtf.beam")

# DirectRunner first tries to download another runner, Prism: these two are what
# it falls back to. The second one tries a bundle that fails four times.
RUNNER = "--runner=FnApiRunner"
RETRYING = "--runner=BundleBasedDirectRunner"
TWO_THREADS = (
    RUNNER,
    "--direct_running_mode=multi_threading",
    "--direct_num_workers=2",
)
TWO_PROCESSES = (
    RUNNER,
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=2",
)


def run(build, *flags):
    """Runs what `build` adds to a pipeline; returns kdtf's counters, a dict."""
    options = importlib.import_module("apache_beam.options.pipeline_options")
    flags = options.PipelineOptions(list(flags or (RUNNER,)))
    pipeline = beam.Pipeline(options=flags)
    build(pipeline)
    result = pipeline.run()
    result.wait_until_finish()
    found = beam.metrics.MetricsFilter().with_namespace("kdtf.beam")
    found = result.metrics().query(found)["counters"]
    return {one.key.metric.name: one.committed for one in found}


def rows(first, last):
    """Those of `stores.dataset`, as a function of a range."""
    return stores.dataset(None).skip(first).take(last - first)


def linear():
    """The teacher of `stores.write`."""
    return nets.linear(3)


def without_sharing(monkeypatch):
    """Every step has a teacher of its own, as on a worker of its own."""
    shared = importlib.import_module("kdtf.beam._shared")
    monkeypatch.setattr(shared.OncePerProcess, "get", lambda self: self._make())


class Changing:
    """Loads another teacher each time."""

    def __init__(self, folder):
        self._folder = folder

    def __call__(self):
        count = len(list(self._folder.glob("loaded*")))
        (self._folder / f"loaded{count}").touch()
        return nets.linear(count)


class FailsOnce:
    """A function that raises, at one call alone, in whichever process.

    Args:
      function: what it is otherwise.
      when: function of the same arguments: whether to raise.
      marker: `pathlib.Path` of a file that tells that it has happened.
    """

    def __init__(self, function, when, marker):
        self._function, self._when, self._marker = function, when, marker

    def __call__(self, *arguments):
        if not self._marker.exists() and self._when(*arguments):
            self._marker.touch()
            self.fail()
        return self._function(*arguments)

    def fail(self):
        raise OSError("the disk is away")


class Dies(FailsOnce):
    """Kills its process instead."""

    def fail(self):
        os.kill(os.getpid(), signal.SIGKILL)
