"""The command `data-service`."""

import signal
import sys
import threading
from typing import Annotated, Any

import typer

from keras_pss_cli.common import load


def data_service(
    port: Annotated[
        int,
        typer.Option(
            help="Port that trainers name in --data-service. 0: two free ports."
        ),
    ] = 5050,
    host: Annotated[
        str | None,
        typer.Option(
            help="Name or address under which trainers reach this machine. "
            "Default: its host name."
        ),
    ] = None,
    worker_port: Annotated[
        int | None,
        typer.Option(help="Port that data comes from. Default: --port + 1."),
    ] = None,
) -> None:
    """Run an input server, which reads training rows for other machines.

    Trainers name one or more of these servers: `keras-pss train --data
    /mnt/data --data-service grpc://host0:5050,grpc://host1:5050`. A server
    needs no settings of theirs, but sees their prepared folder at the same
    path, and has the same versions of TensorFlow and keras-pss. It runs until
    Ctrl-C or SIGTERM.

    There are no passwords, and it listens on all interfaces: whoever reaches
    the ports can read all files that this process can read. Use it in a
    trusted network.
    """
    load()
    from keras_pss.data import InputServer
    from keras_pss.data.service.server import versions

    stopped = threading.Event()

    def stop(*_: Any) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server = InputServer(host, port, worker_port)
    typer.echo(
        f"keras-pss: input server ready at grpc://{server.address} "
        f"(TensorFlow {versions()['tensorflow']}); Ctrl-C stops it"
    )
    sys.stdout.flush()
    stopped.wait()
    server.stop()
    typer.echo("keras-pss: input server stopped")
