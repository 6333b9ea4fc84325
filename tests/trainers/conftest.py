"""What the tests of all trainers share."""

import pytest

from trainers.core import training
from trainers.mnist import nets


@pytest.fixture
def trains_eagerly(monkeypatch):
    """Nets are trained without a trace, which takes seconds for each.

    For tests of what is done with nets; others tell how they are trained.
    """
    compiled = training.compiled_distiller

    def eager(*arguments, **options):
        options |= {"jit_compile": False, "run_eagerly": True}
        return compiled(*arguments, **options)

    monkeypatch.setattr(training, "compiled_distiller", eager)
    nets._compiled.cache_clear()
    yield
    nets._compiled.cache_clear()
