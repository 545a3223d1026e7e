"""Says what happened when another worker of the job has stopped."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

# What collectives raise, at once or in a later step, when a worker is lost.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)
_LONGEST = 200  # characters of TensorFlow's own message


class WorkerLost(OSError):
    """Another worker has stopped, so that this one cannot go on."""


@contextmanager
def worker_lost(worker: int, workers: int) -> Iterator[None]:
    """Raises `WorkerLost` for what TensorFlow raises when a worker is gone.

    Args:
        worker: Index of this worker.
        workers: Number of workers.
    """
    try:
        yield
    except _LOST as error:
        lines = str(error.message).splitlines()
        told = [line for line in lines if "ollective" in line] or lines or [""]
        raise WorkerLost(
            f"Worker {worker} of {workers} stopped, because another worker "
            "stopped or cannot be reached; the other workers' messages say "
            "why. Start all workers again, from the last checkpoint, "
            "with `resume`. Received: "
            f"{told[0][:_LONGEST]}"
        ) from error
