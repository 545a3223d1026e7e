"""Reads a tf.data service in a thread, because its client waits without end."""

import threading
from collections.abc import Callable
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

_AHEAD = 2  # elements in the queue; the client has more
_REQUESTS = 8  # elements that the client asks for at a time


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
        threading.Thread(target=self._run, daemon=True).start()

    def get(self, timeout: float) -> Any:
        """The next element, or the exception in its place, `End` at the end.

        Raises:
            Empty: If there is none for `timeout` seconds.
        """
        return self._found.get(timeout=timeout)

    def stop(self) -> None:
        """Ends the thread as soon as it does not wait for the server."""
        self._stopped.set()

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


__all__ = ["Empty", "End", "Reading", "distributed"]
