"""The commands that use a finished run."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from keras_pss_cli.common import (
    Overwrite,
    check_files,
    check_paths,
    check_run,
    load,
    progress_bar,
)


class ExportFormat(StrEnum):
    """What `export` writes."""

    tf_saved_model = "tf_saved_model"
    litert = "litert"
    onnx = "onnx"
    openvino = "openvino"


_KINDS = {
    ExportFormat.tf_saved_model: "SavedModel",
    ExportFormat.litert: "LiteRT model",
    ExportFormat.onnx: "ONNX model",
    ExportFormat.openvino: "OpenVINO model",
}


def evaluate(
    run: Annotated[Path, typer.Option(help="Folder of a finished run.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="A labelled file like those of the run, or tfds:NAME[SPLIT]; "
            "repeat for more. Or a folder that `prepare` wrote, with the ids "
            "of the run.",
            callback=check_paths,
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            help="'train', 'validation' or 'test' of a folder. Default: test."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
) -> None:
    """Score new rows with the model and the ids of a run."""
    check_run(run)
    load()
    from keras_pss.training.finished.evaluation import evaluate as evaluate_run

    metrics = evaluate_run(run, data, split=split).as_dict()
    if as_json:
        typer.echo(json.dumps(metrics))
        return
    table = Table("metric", "value")
    for name, value in metrics.items():
        if value is not None:  # gAUC where no group counts
            real = isinstance(value, float)
            table.add_row(name, f"{value:.4f}" if real else f"{value:,}")
    Console().print(table)


def predict(
    run: Annotated[Path, typer.Option(help="Folder of a finished run.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="A file like those of the run, with or without labels, or "
            "tfds:NAME[SPLIT]; repeat for more.",
            callback=check_files,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="File to write, .parquet or .csv: the schema's keys and "
            "'probability'."
        ),
    ],
    overwrite: Overwrite = False,
) -> None:
    """Write the click probability of each row of a log."""
    check_run(run)
    from keras_pss.files import check_file

    check_file(out, overwrite)
    load()
    from keras_pss.training.finished.predict import predict as predict_rows

    broken = 0

    def count(rejects: list[Any]) -> None:
        nonlocal broken
        if not broken:
            typer.echo(f"keras-pss: left out: {rejects[0]}", err=True)
        broken += len(rejects)

    with progress_bar() as progress:
        scored = predict_rows(
            run,
            data,
            out,
            overwrite=overwrite,
            on_rejects=count,
            progress=progress,
        )
    typer.echo(f"{scored:,} rows in {out}")
    if broken:
        typer.echo(f"keras-pss: {broken:,} broken rows left out", err=True)


def export(
    run: Annotated[Path, typer.Option(help="Folder of a finished run.")],
    out: Annotated[
        Path,
        typer.Option(help="Folder to write; for TensorFlow Serving, NAME/1."),
    ],
    format: Annotated[
        ExportFormat,
        typer.Option(
            help="What to write. All but tf_saved_model need the packages of "
            "`pip install 'keras-pss\\[export]'`."
        ),
    ] = ExportFormat.tf_saved_model,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize the embeddings to int8.")
    ] = False,
    int4: Annotated[
        bool, typer.Option("--int4", help="Quantize the embeddings to int4.")
    ] = False,
    merge_cores: Annotated[
        str | None,
        typer.Option(
            help="Multiply neighbouring cores of tensor trains and rings "
            "beforehand, into products of at most this size for each layer, "
            "such as 64MB. The file is larger and lookups are faster.",
            metavar="SIZE",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Export a run's model for a server or a device.

    The export is compared with the model in the runtime of its format; one
    that would give other probabilities is refused. Its README.md says what
    each input holds.

    Tables that were trained for fewer bits, as a budget in bytes buys them, are
    packed without loss.
    """
    modes = {"int8": int8, "int4": int4}
    if all(modes.values()):
        raise ValueError("Give --int8 or --int4, not both.")
    check_run(run)
    from keras_pss.files import check_folder

    check_folder(out, overwrite, "an export")
    load()
    from keras_pss.training.finished.export import export as export_run

    mode = next((name for name, asked in modes.items() if asked), None)
    merge = False if merge_cores is None else merge_cores
    export_run(run, out, mode, overwrite, format.value, merge)
    typer.echo(f"{_KINDS[format]} in {out}, equal to the Keras model")
