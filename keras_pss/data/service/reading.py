"""Reads a tf.data service in a thread, because its client waits without end."""

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from keras_pss.data.service.failures import InputLost

if TYPE_CHECKING:
    import tensorflow as tf

_AHEAD = 2  # elements in the queue; the client has more
_REQUESTS = 8  # elements that the client asks for at a time
_EXIT_SECONDS = 3.0  # for threads to end before Python does

_exits = threading.Event()


class End(Exception):
    """A stream ended."""


def distributed(
    dataset: "tf.data.Dataset", address: str, compress: bool = False
) -> "tf.data.Dataset":
    """A dataset that an input server runs."""
    import tensorflow as tf

    service = tf.data.experimental.service
    return dataset.apply(
        service.distribute(
            service.ShardingPolicy.DYNAMIC,
            f"grpc://{address}",
            max_outstanding_requests=_REQUESTS,
            compression="AUTO" if compress else None,
        )
    )


class Reading:
    """Iterates over a dataset in a thread of its own.

    TensorFlow's client never gives up a server that is gone. Its thread then
    waits, and is left alone.

    Args:
        make: Creates the dataset, in the thread.
    """

    def __init__(self, make: Callable[[], "tf.data.Dataset"]) -> None:
        self._make = make
        self._found: Queue[Any] = Queue(_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        _all.add(self)

    def get(self, timeout: float) -> Any:
        """The next element, or the exception in its place, `End` at the end.

        Raises:
            Empty: If there is none for `timeout` seconds.
            InputLost: If Python exits.
        """
        found = None if _exits.is_set() else self._found.get(timeout=timeout)
        if _exits.is_set():
            raise InputLost("Input servers are not read when Python exits.")
        return found

    def stop(self) -> None:
        """Ends the thread as soon as it does not wait for the server."""
        self._stopped.set()

    def end(self, until: float) -> bool:
        """Stops, wakes who waits in `get`; returns whether it was running.

        Args:
            until: When to give up the thread, on the monotonic clock.
        """
        running = self._thread.is_alive()
        self.stop()
        with suppress(Full):
            self._found.put_nowait(End())
        self._thread.join(max(0.0, until - time.monotonic()))
        return running

    def _run(self) -> None:
        try:
            for element in self._make():
                if not self._put(element):
                    return
            self._put(End())
        except Exception as error:
            self._put(error)

    def _put(self, value: Any) -> bool:
        while not self._stopped.is_set():
            try:
                self._found.put(value, timeout=0.2)
                return True
            except Full:
                continue
        return False


_all: weakref.WeakSet[Reading] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """Ends what waits in Python for a pipeline of TensorFlow, or in one for it.

    An iterator that lives until Python's end waits for its threads, and they
    would wait for Python, which runs no other thread then.
    """
    _exits.set()
    until = time.monotonic() + _EXIT_SECONDS
    running = [reading.end(until) for reading in list(_all)]
    if any(running):
        time.sleep(0.2)  # TensorFlow's threads leave the generator of batches


__all__ = ["Empty", "End", "Reading", "distributed"]
