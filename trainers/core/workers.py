"""Work that is done in parallel, one process each.

Small nets leave most of a machine's cores idle; several of them do not. A
worker stores its net as soon as that is trained, and the main process loads it
from there, as it would after a run that was killed.
"""

import concurrent.futures
import multiprocessing
import os
import threading
from concurrent.futures import process
from multiprocessing import connection

import tensorflow as tf
import tqdm

from trainers.core import strategies
from trainers.core.errors import FlagsError

_context = []  # a worker's


def run(function, context, jobs, processes):
    """Does jobs.

    Args:
      function: function of a module, from the context and what a job has to a
        str, which the progress bar shows.
      context: what all jobs need; pickled once a process.
      jobs: list of tuples, the further arguments of `function`.
      processes: int, how many jobs are done at a time.

    Raises:
      FlagsError: if a worker was ended, as it is where memory is short.
      Exception: of the first job that failed; the others are stopped, and go on
        from their checkpoints in another run.
    """
    if not jobs:
        return
    processes = min(processes, len(jobs))
    with (
        concurrent.futures.ProcessPoolExecutor(
            processes,
            # A fork would inherit TensorFlow's threads as they stand.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(max(1, (os.cpu_count() or 1) // processes), context),
        ) as executor,
        tqdm.tqdm(total=len(jobs), desc="nets", unit="net") as bar,
    ):
        futures = [executor.submit(_do, function, job) for job in jobs]
        try:
            _finish(futures, bar)
        except process.BrokenProcessPool as error:
            raise FlagsError(
                "--processes must leave memory for each of them: give fewer, "
                "and run again, it resumes. Received: "
                f"--processes={processes}, one of which was ended"
            ) from error


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
