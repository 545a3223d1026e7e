"""A stream of windows that goes on from another server when its own is lost."""

import logging
import time
from collections.abc import Callable, Sequence
from queue import Empty
from typing import TYPE_CHECKING, Any

from keras_pss.data.service.addresses import answers
from keras_pss.data.service.failures import InputLost
from keras_pss.data.service.reading import End, Reading

if TYPE_CHECKING:
    import tensorflow as tf

_LOOK = 1.0  # seconds without an element before the server is looked at

_logger = logging.getLogger(__name__)


class InputStream:
    """Pieces of every K-th window, each once and in order.

    Args:
        make: Function of `(address, window, piece)` that creates the pieces
            from there on, as an input server sends them.
        servers: Addresses of all servers.
        index: Index of the server to begin with.
        window: Number of the first window.
        piece: Index of its first piece.
        step: Difference between the numbers of windows.
        timeout: Seconds to wait, for an element of a server that answers, and
            for a server that answers in place of a lost one.
        on_lost: Called when a server is lost.
    """

    def __init__(
        self,
        make: Callable[[str, int, int], "tf.data.Dataset"],
        servers: Sequence[str],
        index: int,
        *,
        window: int,
        piece: int,
        step: int,
        timeout: float,
        on_lost: Callable[[str], None],
    ) -> None:
        self._make = make
        self._servers = servers
        self._index = index
        self._at = (window, piece)
        self._step = step
        self._timeout = timeout
        self._on_lost = on_lost
        self._open()

    def next(self) -> Any:
        """The next `(element, records, place)` of `window_stream`.

        Raises:
            InputLost: If no server sends it.
            ValueError: If a server cannot read the rows.
        """
        since = time.monotonic()
        while True:
            try:
                found = self._reading.get(_LOOK)
            except Empty:
                # A server that goes on reads a window before it sends.
                silent = time.monotonic() - max(since, self._opened)
                if not answers(self._server):
                    self._replace("it cannot be reached", since)
                elif silent > self._timeout:
                    self._replace(f"it sent nothing for {silent:.0f} s", since)
                continue
            if isinstance(found, End):
                self._replace("its stream ended", since)
            elif isinstance(found, Exception):
                _raise_if_data(found, self._server)
                self._replace(_told(found), since)
            else:
                return self._checked(found)

    def stop(self) -> None:
        self._reading.stop()

    @property
    def _server(self) -> str:
        return self._servers[self._index]

    def _open(self) -> None:
        server, at = self._server, self._at
        self._opened = time.monotonic()
        self._reading = Reading(lambda: self._make(server, *at))

    def _checked(self, found: Any) -> Any:
        window, piece = self._at
        sent = found[2].numpy()
        if sent[0] != window:
            raise AssertionError(f"window {sent[0]} in place of {window}")
        ended = bool(sent[-1])
        self._at = (window + self._step, 0) if ended else (window, piece + 1)
        return found

    def _replace(self, why: str, since: float) -> None:
        """Opens the stream again, at the piece that did not come."""
        lost = self._server
        self._reading.stop()
        self._on_lost(f"grpc://{lost}: {why}")
        while time.monotonic() - since < 2 * self._timeout:
            time.sleep(0.1)
            self._index = (self._index + 1) % len(self._servers)
            if answers(self._server, 1.0):
                _logger.warning(
                    "Input server grpc://%s is lost (%s); grpc://%s goes on "
                    "from the same row.",
                    lost,
                    why,
                    self._server,
                )
                self._open()
                return
        raise InputLost(
            "No input server goes on. Start them again, then train on with "
            f"`resume`. Received: grpc://{lost}: {why}"
        )


def _raise_if_data(error: Exception, server: str) -> None:
    """Raises for what no other server would do better."""
    import tensorflow as tf

    text = str(error)
    missing = isinstance(error, tf.errors.NotFoundError)
    if isinstance(error, tf.errors.InvalidArgumentError) or (
        missing and "No such file" in text
    ):
        raise ValueError(
            "An input server cannot read the prepared rows. Copy the folder "
            f"again. Received: {_told(error)} on grpc://{server}"
        ) from error


def _told(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    # TensorFlow names the node in front of the message.
    first = first.rpartition("}} ")[2].split(" [Op:")[0]
    return f"{type(error).__name__}: {first[:300]}"
