"""A disk that is full, without filling one."""

import contextlib
import resource


@contextlib.contextmanager
def full():
    """In the block no file may grow: writing fails, in whatever library."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
