"""The command that answers requests for a model."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_pss_cli.common import check_run, quiet


def serve(
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of a finished run, whose SavedModel it is."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A SavedModel, or a folder with versions of one, NAME/1."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the model in addresses. Default: the folder's."
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(help="Version to serve. Default: the latest."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. The default is this machine alone: "
            "the server neither encrypts nor asks who sends a request."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.")
    ] = 8501,
    max_rows: Annotated[
        int, typer.Option(help="Rows that a request may have.")
    ] = 16_384,
) -> None:
    """Answer REST requests for a model, in the form of TensorFlow Serving.

    It needs TensorFlow, Starlette and Uvicorn alone, not the run's log.
    """
    if (run is None) == (model is None):
        raise ValueError("Give --run or --model, one of the two.")
    if run is not None:
        check_run(run)
        model = run / "saved_model"
    assert model is not None
    from keras_pss.serving.rest.serve import serve as serve_model
    from keras_pss.serving.versions import find_version

    find_version(model, version)  # before the seconds of the import
    _import_tensorflow()
    serve_model(
        model,
        name=name,
        version=version,
        host=host,
        port=port,
        max_rows=max_rows,
        ready=lambda address: typer.echo(
            f"{address}:predict answers POST; {address}/metadata lists the "
            "inputs. Ctrl-C stops the server."
        ),
    )


def _import_tensorflow() -> None:
    """Imports TensorFlow without Keras, which it would import if it can.

    A SavedModel needs none, and the process is smaller by 80 MB.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("keras", None)  # an ImportError, which it expects
    with quiet():
        import tensorflow  # noqa: F401
