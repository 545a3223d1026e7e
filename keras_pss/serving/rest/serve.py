"""Serves a SavedModel until it is interrupted."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

from keras_pss.messages import shown
from keras_pss.serving.versions import find_version, name_of

MAX_ROWS = 16_384
MAX_BYTES = 64 * 2**20


def serve(
    model: Path | str,
    name: str | None = None,
    version: int | None = None,
    host: str = "127.0.0.1",
    port: int = 8501,
    max_rows: int = MAX_ROWS,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Answers REST requests for a SavedModel, in TensorFlow Serving's form.

    It needs TensorFlow, and neither Keras nor the layers of this package. It
    neither encrypts nor asks who sends a request, and serves one version
    until it ends (SIGINT or SIGTERM).

    Args:
        model: A SavedModel, or a folder with versions of one.
        name: Name of the model in addresses. Default: that of the folder.
        version: Number of the version. Default: None, the latest.
        host: Address to listen on. Default: this machine alone.
        port: Port; 0 takes a free one.
        max_rows: Rows that a request may have.
        ready: Called with the model's address when it answers.

    Raises:
        ValueError: If an argument is wrong, there is no such SavedModel, or
            the extra `serve` is not installed.
        OSError: If the port is taken.
    """
    version, folder = find_version(model, version)
    if name is None:
        name = name_of(model)
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise ValueError(
            "`name` must have letters, digits, `_`, `.` and `-` alone, since "
            f"it stands in addresses. Received: name={shown(name)}"
        )
    if max_rows < 1:
        raise ValueError(
            f"`max_rows` must be 1 or more. Received: max_rows={max_rows}"
        )
    try:
        import uvicorn

        from keras_pss.serving.rest.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise ValueError(
            "Serving needs Starlette and Uvicorn. Install them with `pip "
            f"install 'keras-pss[serve]'`. ({error})"
        ) from error
    from keras_pss.serving.rest.served_model import ServedModel

    # A taken port is said before the model is loaded.
    with _bound(host, port) as listening:
        served = ServedModel(folder, name, version, max_rows)
        served.warm_up()
        # Connections wait from here on until the server accepts them.
        try:
            listening.listen(1024)
        except OSError as error:  # Another server was started as well.
            raise _unavailable(host, port, error) from error
        at = f"[{host}]" if ":" in host else host
        port = listening.getsockname()[1]
        ready(f"http://{at}:{port}/v1/models/{name}")
        config = uvicorn.Config(
            app(served, MAX_BYTES),
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ValueError(f"`port` must be 0 to 65535. Received: port={port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) where the protocol is
    # named; others wait 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _unavailable(host, port, error) from error
    return bound


def _unavailable(host: str, port: int, error: OSError) -> OSError:
    return OSError(
        f"The server cannot listen on {host}, port {port}: "
        f"{error.strerror or error}. Choose another `port`; 0 takes a free one."
    )
