"""Work that is done in parallel, one process each.

Small nets leave most of a machine's cores idle; several of them do not. A
worker stores its net as soon as that is trained, and the main process loads it
from there, as it would after a run that was killed.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
from concurrent.futures import process
from multiprocessing import connection

import tensorflow as tf
import tqdm
from absl import flags

from trainers.core import strategies
from trainers.core.errors import FlagsError

# The flag that is defined here is one of the script, which --help shows.
flags.disclaim_key_flags()

_context = []  # a worker's
_pool = []  # of the jobs before: context, number of processes, executor


def define_flag():
    """Defines --processes."""
    flags.DEFINE_integer(
        "processes",
        1,
        "nets that are trained in parallel, one process each; small ones "
        "finish soonest with one process per core",
        lower_bound=1,
        upper_bound=1000,
    )


def run(function, context, jobs, processes):
    """Does jobs.

    Inside `ended`, where the processes wait for further jobs of the same
    context: to start one, and to compile a net in it, takes longer than to
    train a small net.

    Args:
      function: function of a module, from the context and what a job has to a
        str, which the progress bar shows.
      context: what all jobs need; pickled once a process.
      jobs: list of tuples, the further arguments of `function`.
      processes: int, how many jobs are done at a time. A process has its share
        of the cores, whether or not the others have jobs: how a net rounds must
        not depend on how many were left to train.

    Raises:
      FlagsError: if a worker was ended, as it is where memory is short.
      Exception: of the first job that failed; the others are stopped, and go on
        from their checkpoints in another run.
    """
    if not jobs:
        return
    executor = _executor(context, processes)
    with (
        contextlib.ExitStack() as if_it_fails,
        tqdm.tqdm(total=len(jobs), desc="nets", unit="net") as bar,
    ):
        if_it_fails.callback(_end)
        try:
            futures = [executor.submit(_do, function, job) for job in jobs]
            _finish(futures, bar)
        except process.BrokenProcessPool as error:
            raise FlagsError(
                "--processes must leave memory for each of them: give fewer, "
                "and run again, it resumes. Received: "
                f"--processes={processes}, one of which was ended"
            ) from error
        if_it_fails.pop_all()


def _executor(context, processes):
    """The processes of the jobs before, or others for another context."""
    if not (_pool and _pool[0] is context and _pool[1] == processes):
        _end()
        executor = concurrent.futures.ProcessPoolExecutor(
            processes,
            # A fork would inherit TensorFlow's threads as they stand.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(max(1, (os.cpu_count() or 1) // processes), context),
        )
        _pool[:] = context, processes, executor
    return _pool[-1]


@contextlib.contextmanager
def ended():
    """Ends the processes that wait for further jobs when its block is left.

    Python itself ends them with a script, and never with a process of
    `multiprocessing`, which would wait for them for ever.
    """
    try:
        yield
    finally:
        _end()


def _end():
    """Waits until all have ended, which have no job then."""
    if _pool:
        _pool.pop().shutdown()
        _pool.clear()


def _finish(futures, bar):
    """Waits for all of them, or ends all workers at the first error."""
    try:
        for future in concurrent.futures.as_completed(futures):
            bar.set_postfix_str(future.result(), refresh=False)
            bar.update()
    except BaseException:
        # Else the rest would be done before anybody hears of it.
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise


def is_worker():
    """Whether this process is one of several: the main one shows the bar."""
    is_child = multiprocessing.parent_process() is not None
    return is_child or not strategies.is_chief()


def _start(threads, context):
    """Makes a new process a worker."""
    _context[:] = [context]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    strategies.share_gpus()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _end_with_parent():
    """A worker of a killed run must not work on beside a resumed one's."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _do(function, job):
    return function(*_context, *job)
