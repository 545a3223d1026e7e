"""Checks that input servers can read a log, before training starts."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from keras_pss.data.service.addresses import answers
from keras_pss.data.service.failures import InputLost
from keras_pss.data.service.reading import Reading, distributed
from keras_pss.data.service.server import ABOUT, versions

if TYPE_CHECKING:
    import tensorflow as tf

_logger = logging.getLogger(__name__)


def check_servers(
    addresses: Sequence[str], metadata: Path, timeout: float
) -> None:
    """Raises unless all servers answer, and have the same folder.

    Args:
        addresses: `host:port` of each server.
        metadata: Path of the folder's metadata, which includes the checksums
            of all records.
        timeout: Seconds to wait for servers that are about to start.

    Raises:
        OSError: `InputLost` if a server does not answer.
        ValueError: If it has other versions or rows, or no such folder.
    """
    until = time.monotonic() + timeout
    told = False
    for address in addresses:
        while not answers(address):
            if time.monotonic() > until:
                raise InputLost(
                    "The input server cannot be reached. Start it with "
                    "`keras-pss data-service`, or correct the address. "
                    f"Received: grpc://{address}"
                )
            if not told:
                _logger.warning("waiting for input server grpc://%s", address)
                told = True
            time.sleep(0.2)
        _check_versions(address, timeout)
        _check_folder(address, metadata, timeout)


def _check_versions(address: str, timeout: float) -> None:
    import tensorflow as tf

    def about() -> "tf.data.Dataset":
        return tf.data.experimental.service.from_dataset_id(
            "parallel_epochs",
            f"grpc://{address}",
            ABOUT,
            element_spec=tf.TensorSpec((), tf.string),
        )

    found = _first(about, address, timeout)
    if isinstance(found, tf.errors.NotFoundError):
        raise ValueError(
            "Input servers must be started with `keras-pss data-service`. "
            f"Received: grpc://{address}, a tf.data service without "
            f"'{ABOUT}'"
        ) from found
    mine = versions()
    theirs: Any = {}
    if isinstance(found, Exception):
        theirs = f"{type(found).__name__}: {str(found)[:300]}"
    else:
        theirs = json.loads(found.numpy())
    if theirs != mine:
        raise ValueError(
            "Input servers need the trainer's versions of TensorFlow and "
            "keras-pss, so that both shuffle alike. Install the same ones. "
            f"Received: {theirs} at grpc://{address}, {mine} here"
        )


def _check_folder(address: str, metadata: Path, timeout: float) -> None:
    import tensorflow as tf

    def content() -> "tf.data.Dataset":
        path = tf.data.Dataset.from_tensors(str(metadata))
        return distributed(path.map(tf.io.read_file), address)

    found = _first(content, address, timeout)
    if isinstance(found, Exception):
        raise ValueError(
            "Input servers must see the prepared folder at the same path as "
            "the trainer: mount or copy it there. "
            f"Received: {metadata.parent}, which grpc://{address} cannot read "
            f"({_short(found)})"
        ) from found
    if json.loads(found.numpy()) != json.loads(metadata.read_bytes()):
        raise ValueError(
            "Input servers must read the same prepared rows as the trainer. "
            "Copy the folder again. "
            f"Received: {metadata.parent}, with other rows or ids on "
            f"grpc://{address} than here"
        )


def _first(
    make: Callable[[], "tf.data.Dataset"], address: str, timeout: float
) -> Any:
    """The first element of a dataset, or the error in its place."""
    reading = Reading(make)
    try:
        found = reading.get(max(timeout, 20))
    except Empty:
        raise InputLost(
            "The input server accepts connections but sends nothing. Start "
            "it with `keras-pss data-service --host NAME`, a name under which "
            "the trainer reaches it, and open both of its ports. "
            f"Received: grpc://{address}"
        ) from None
    finally:
        reading.stop()
    return found


def _short(error: Exception) -> str:
    """The end of the first line of a message, which says what happened."""
    lines = [x.strip() for x in str(error).splitlines() if x.strip()]
    return (lines or [type(error).__name__])[0][-300:]
