"""The command that compresses a trained model."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_pss_cli.common import Overwrite, load
from keras_pss_cli.train import option, parsed


def compress(
    model: Annotated[
        Path, option("A .keras file, or the folder of a finished run.")
    ],
    out: Annotated[Path, option("File to write, .keras.")],
    method: Annotated[
        str,
        option(
            "'auto' (rows of few bits, then rows of frequent ids or low rank, "
            "as the budget falls), or a method of `train`."
        ),
    ] = "auto",
    budget: Annotated[
        str,
        option(
            "What all replaced tables together may store: '100x', '10MB' or a "
            "number of parameters."
        ),
    ] = "10x",
    min_rows: Annotated[
        int | None,
        option(
            "Leave tables with fewer rows as they are. Default: the smallest "
            "tables, up to a quarter of the budget."
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        option("Name of a layer to replace; repeat for more. Default: all."),
    ] = None,
    given: Annotated[
        list[str] | None,
        option(
            "An argument of the method's layer, such as block_size=8; repeat "
            "for more.",
            "--option",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        option(
            "A folder that `prepare` wrote (or MovieLens' ratings) with the "
            "ids of the model. Its counts say what rare ids may share; its "
            "test rows score the model before and after."
        ),
    ] = None,
    counts: Annotated[
        Path | None,
        option(
            "In place of the counts of --data, an .npz file with the count of "
            "each id, one array for each layer by its name, or by LAYER/TABLE "
            "for a collection."
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Train the tables for an epoch of --data at two low rates, "
            "the network frozen; the validation rows choose the best state, "
            "the untuned one included.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Replace the embedding tables of a trained model by compressed ones.

    No training is needed. The file is loaded again and compared before it is
    kept; rows of few bits are packed in it.
    """
    options = parsed(given or [], "--option")
    allowed: Any = int(budget) if budget.isdigit() else budget
    from keras_pss.files import check_file

    check_file(out, overwrite)
    load()
    from keras_pss.training.finished.compress import compress as compress_saved

    done = compress_saved(
        model,
        out,
        method=method,
        budget=allowed,
        min_rows=min_rows,
        layers=layer,
        options=options,
        data=data,
        counts=counts,
        tune=tune,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(done.report.as_dict()))
        return
    typer.echo(str(done.report))
    if done.tuned is not None:
        typer.echo(str(done.tuned))
    typer.echo(f"The model is in {out}", err=True)
