"""An input server: a tf.data service whose dispatcher has one worker.

One worker a dispatcher, because a service of several workers returns elements
in the order in which they happen to be ready.
"""

import json
import socket
from contextlib import ExitStack
from typing import Any

from keras_pss.data.service.addresses import answers
from keras_pss.version import __version__

ABOUT = "keras-pss-about"  # id of the dataset that tells the versions
PORT = 5050
_COLLECT_MS = 30_000  # between two looks for streams that nobody reads
_UNREAD_MS = 60_000  # after which they are dropped


class InputServer:
    """Runs pipelines for trainers, from its start to `stop`.

    It listens on all interfaces of this machine, and whoever reaches its ports
    can have it read any file that it can read: use it in a trusted network.

    Args:
        host: Name or address under which trainers reach this machine.
            Default: its host name.
        port: Port that trainers name. Default: 5050. With 0, two free ports
            are taken.
        worker_port: Port from which the data comes. Default: `port + 1`.

    Attributes:
        address: `host:port`.

    Raises:
        ValueError: If a port is used already, or the host is unknown.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int = PORT,
        worker_port: int | None = None,
    ) -> None:
        import tensorflow as tf

        service = tf.data.experimental.service
        host = host or socket.gethostname()
        _check_host(host)
        port, worker_port = _free_ports(port, worker_port)
        self.address = f"{host}:{port}"
        config = service.DispatcherConfig(
            port=port,
            job_gc_check_interval_ms=_COLLECT_MS,
            job_gc_timeout_ms=_UNREAD_MS,
        )
        self._dispatcher = service.DispatchServer(config)
        self._worker = service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=f"localhost:{port}",
                worker_address=f"{host}:{worker_port}",
                port=worker_port,
                heartbeat_interval_ms=1000,
            )
        )
        about = tf.data.Dataset.from_tensors(json.dumps(versions()))
        service.register_dataset(
            f"grpc://localhost:{port}", about, dataset_id=ABOUT
        )
        if not answers(f"{host}:{worker_port}"):
            self.stop()
            raise ValueError(
                "`host` must be a name or an address of this machine, under "
                "which trainers reach it. "
                f"Received: host={host!r}, where port {worker_port} does not "
                "answer"
            )

    def stop(self) -> None:
        """Stops; trainers that still read go on with another server."""
        self._worker.stop()
        self._dispatcher.stop()


def versions() -> dict[str, str]:
    """Versions that the trainer and its input servers must have in common."""
    import tensorflow as tf

    return {"tensorflow": tf.__version__, "keras-pss": __version__}


def _check_host(host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise ValueError(
            "`host` must be a name or an address of this machine, under which "
            f"trainers reach it. Received: host={host!r} ({error})"
        ) from error


def _free_ports(port: int, worker_port: int | None) -> tuple[int, int]:
    """Both ports, after a check that nobody listens on them.

    gRPC itself would share a port with another server.
    """
    if worker_port is None:
        worker_port = port + 1 if port else 0
    found = []
    with ExitStack() as stack:
        for name, value in (("port", port), ("worker_port", worker_port)):
            one: Any = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("", value))
            except (OSError, OverflowError) as error:
                raise ValueError(
                    f"`{name}` must be a free port from 1 to 65535. Choose "
                    "another one, or stop what uses it. "
                    f"Received: {name}={value} ({error})"
                ) from error
            found.append(one.getsockname()[1])
    return found[0], found[1]
