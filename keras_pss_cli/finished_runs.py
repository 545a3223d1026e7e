"""Commands that use a finished run, and the one that builds kernels."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from keras_pss_cli.common import Overwrite, check_run, fail, load, quiet


def evaluate(
    run: Annotated[Path, typer.Option(help="Folder of a run.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="A labelled Criteo TSV file; repeat for more.",
            exists=True,
            dir_okay=False,
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
) -> None:
    """Score rows that a run never saw, with its own ids."""
    check_run(run)
    load()
    from keras_pss.training.run import evaluate as evaluate_run

    metrics = evaluate_run(run, data).as_dict()
    if as_json:
        typer.echo(json.dumps(metrics))
        return
    table = Table("metric", "value")
    for name, value in metrics.items():
        shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
        table.add_row(name, shown)
    Console().print(table)


def export(
    run: Annotated[Path, typer.Option(help="Folder of a run.")],
    out: Annotated[
        Path,
        typer.Option(help="Folder to write; TensorFlow Serving wants NAME/1."),
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Pack the embeddings to int8.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a run's model as a SavedModel that plain TensorFlow loads."""
    check_run(run)
    load()
    from keras_pss.serving.saved_model import export_saved_model
    from keras_pss.training.run import load_model

    model = load_model(run)
    if int8:
        for layer in model.layers:
            if hasattr(layer, "memory_report"):
                layer.quantize("int8")
    export_saved_model(model, out, overwrite=overwrite)
    typer.echo(f"SavedModel in {out}")


def build_ops(
    framework: Annotated[
        list[str] | None,
        typer.Option(
            help="tensorflow or jax; may be given twice. By default what is "
            "installed."
        ),
    ] = None,
    cuda: Annotated[
        bool, typer.Option("--cuda", help="CUDA kernels as well; needs nvcc.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Build anew what is there.")
    ] = False,
) -> None:
    """Compile the native kernels for lookups: needs g++; a minute or two.

    They go to the user's cache ($KERAS_PSS_CACHE or ~/.cache/keras_pss) and
    are found there by every process with the same framework version.
    """
    with quiet():
        from keras_pss.native import build

    console = Console()
    try:
        frameworks = framework or build.installed()
        if not frameworks:
            raise build.BuildError(
                "Neither TensorFlow nor JAX is installed, and the kernels are "
                "compiled against one of them."
            )
        for name in frameworks:
            with console.status(f"Building the kernels for {name} ..."):
                library = build.build(name, cuda, force)
            console.print(f"{name}: {library}", soft_wrap=True)
    except build.BuildError as error:
        fail(str(error))
