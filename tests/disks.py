"""A disk that is full, without filling one."""

import contextlib
import resource


@contextlib.contextmanager
def full(size=0):
    """In the block files may not grow beyond `size` bytes.

    Writing then fails in any library.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
