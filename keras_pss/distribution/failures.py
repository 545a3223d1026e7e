"""Says what happened when another worker of the job has stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST = 200  # characters of TensorFlow's own message


class WorkerLost(OSError):
    """Another worker has stopped, so that this one cannot go on."""


def lost(worker: int, workers: int, told: str) -> WorkerLost:
    """The error of a worker that cannot go on.

    Args:
        worker: Index of this worker.
        workers: Number of workers.
        told: Message of the framework.
    """
    return WorkerLost(
        f"Worker {worker} of {workers} stopped, because another worker "
        "stopped or cannot be reached; the other workers' messages say "
        "why. Start all workers again, from the last checkpoint, "
        f"with `resume`. Received: {told}"
    )


@contextmanager
def worker_lost(worker: int, workers: int) -> Iterator[None]:
    """Raises `WorkerLost` for what TensorFlow raises when a worker is gone.

    Args:
        worker: Index of this worker.
        workers: Number of workers.
    """
    try:
        yield
    except _of_collectives() as error:
        lines = str(error.message).splitlines()
        told = [line for line in lines if "ollective" in line] or lines or [""]
        raise lost(worker, workers, told[0][:_LONGEST]) from error


def _of_collectives() -> tuple[Any, ...]:
    """What collectives raise, at once or in a later step."""
    import tensorflow as tf

    return (
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
        tf.errors.UnavailableError,
    )
