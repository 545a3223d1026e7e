"""Commands that train; most lines are the options of `train` and their help."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_pss_cli.common import goes_on, load
from keras_pss_cli.data import find

# None stands for the recipe's value, or the default that the help names.
Word = str | None
Whole = int | None
Real = float | None


def option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help)


def recipes(
    name: Annotated[
        Word, typer.Argument(help="Show this one whole; default: list all.")
    ] = None,
) -> None:
    """List the recipes: published runs, with the paper's numbers."""
    load()
    from keras_pss.training import recipes as known

    console = Console()
    if name is None:
        table = Table("recipe", "what", "the paper's numbers")
        for each in known.names():
            recipe = known.load(each)
            table.add_row(each, recipe.title, _numbers(recipe.paper))
        console.print(table)
        return
    recipe = known.load(name)
    console.print(f"{recipe.title}\n", style="bold", markup=False)
    for what, text in (
        ("source", recipe.source),
        ("data", recipe.log),
        ("notes", recipe.notes),
        ("paper", _numbers(recipe.paper)),
        ("prepare", json.dumps(recipe.prepare)),
        ("run", json.dumps(recipe.run)),
    ):
        console.print(f"{what}: {text}", highlight=False, markup=False)


def train(
    data: Annotated[
        str,
        option(
            "A folder that `prepare` wrote, a Criteo TSV file, a folder with "
            "train.txt or day_0, day_1, ..., MovieLens' ratings, or "
            "'synthetic'."
        ),
    ],
    out: Annotated[Path, option("Folder of the run.")],
    recipe: Annotated[
        Word,
        option(
            "Settings of a published run, see `keras-pss recipes`; other "
            "options change them."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run that was stopped, by the same command.",
        ),
    ] = False,
    model: Annotated[
        Word,
        option(
            "dlrm, dcn, dcnv2, deepfm, autoint, xdeepfm, fibinet or neuralcf."
            " Default: dlrm."
        ),
    ] = None,
    model_option: Annotated[
        list[str] | None,
        option(
            "An argument of the model, such as dropout=0.1 or "
            "hidden_units=[400,400]; repeat for more."
        ),
    ] = None,
    method: Annotated[
        Word,
        option(
            "full, robe, tt, qr, hash, fpd, memcom, mixed_dimension, "
            "tensor_ring, sketch, quantized, deep_hash or clustered. "
            "Default: robe."
        ),
    ] = None,
    budget: Annotated[
        Word,
        option(
            "Of all tables: '1000x', '10MB', a number of parameters, or "
            "'none' where --option says their size. Default: 1000x."
        ),
    ] = None,
    method_option: Annotated[
        list[str] | None,
        option(
            "An argument of the method's layer, such as block_size=8, "
            "mapping=fold or gauge=last_core; repeat for more.",
            "--option",
        ),
    ] = None,
    dim: Annotated[
        Whole, option("Length of an embedding. Default: 16.")
    ] = None,
    min_rows: Annotated[
        Whole,
        option(
            "Tables with fewer rows stay full; default: the smallest, up to "
            "a quarter of the budget."
        ),
    ] = None,
    compress_largest: Annotated[
        Whole, option("Compress so many tables, the largest; default: any.")
    ] = None,
    min_count: Annotated[
        Whole, option("Ids seen less often share id 0. Default: 1.")
    ] = None,
    epochs: Annotated[
        Whole, option("At most; the best checkpoint is kept. Default: 5.")
    ] = None,
    evaluations: Annotated[
        Whole, option("Of the validation rows, in an epoch. Default: 1.")
    ] = None,
    patience: Annotated[
        Whole, option("Epochs without a better validation AUC. Default: 2.")
    ] = None,
    batch_size: Annotated[Whole, option("Rows a step. Default: 2048.")] = None,
    optimizer: Annotated[
        Word, option("adam, adagrad or sgd. Default: adam.")
    ] = None,
    learning_rate: Annotated[
        Real, option("Default: adam 0.001, adagrad 0.01, sgd 1.")
    ] = None,
    warmup_steps: Annotated[
        Whole, option("Steps of a rising learning rate. Default: 0.")
    ] = None,
    decay: Annotated[
        Word,
        option(
            "Of the learning rate: constant, cosine, linear, polynomial or "
            "exponential. Default: constant."
        ),
    ] = None,
    decay_start: Annotated[
        Whole, option("Its first step; default: after the warm-up.")
    ] = None,
    decay_steps: Annotated[
        Whole, option("Its length; default: to the last epoch's end.")
    ] = None,
    end_learning_rate: Annotated[
        Real, option("Where the decay ends. Default: 0.")
    ] = None,
    clip_norm: Annotated[
        Real, option("Largest norm of all gradients together; default: any.")
    ] = None,
    embedding_scale: Annotated[
        Word,
        option(
            "Embeddings start uniform in ± this, or 'rows': in ± 1/√n for n "
            "rows. Default: 0.01."
        ),
    ] = None,
    embedding_l2: Annotated[
        Real, option("L2 strength on the embeddings. Default: 0.")
    ] = None,
    precision: Annotated[
        Word,
        option("float32, mixed_bfloat16 or mixed_float16. Default: float32."),
    ] = None,
    seed: Annotated[
        Whole, option("Of initial values, order and hashing. Default: 0.")
    ] = None,
    rows: Annotated[
        int | None, option("Of --data synthetic. Default: 300000.")
    ] = None,
    scale: Annotated[
        float | None,
        option("Of --data synthetic; see `synth`. Default: 0.01."),
    ] = None,
    jit: Annotated[
        bool, typer.Option("--jit", help="Compile the step with XLA.")
    ] = False,
) -> None:
    """Train a model, choose the best checkpoint, test it once, export it."""
    if not resume:
        check_new(out)
    given: dict[str, Any] = {
        "model": model,
        "method": method,
        "dim": dim,
        "min_rows": min_rows,
        "compress_largest": compress_largest,
        "min_count": min_count,
        "epochs": epochs,
        "evaluations": evaluations,
        "patience": patience,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "warmup_steps": warmup_steps,
        "decay": decay,
        "decay_start": decay_start,
        "decay_steps": decay_steps,
        "end_learning_rate": end_learning_rate,
        "clip_norm": clip_norm,
        "embedding_scale": embedding_scale,
        "embedding_l2": embedding_l2,
        "precision": precision,
        "seed": seed,
    }
    changes = {
        name: value for name, value in given.items() if value is not None
    }
    with suppress(KeyError, ValueError):  # a word is checked with the rest
        changes["embedding_scale"] = float(changes["embedding_scale"])
    if jit:
        changes["jit_compile"] = True
    if budget is not None:
        changes["budget"] = int(budget) if budget.isdigit() else budget
        if budget == "none":
            changes["budget"] = None
    # Absent where none is given, so that a recipe's stay.
    for name, options in (
        ("options", parsed(method_option or [], "--option")),
        ("model_options", parsed(model_option or [], "--model-option")),
    ):
        if options:
            changes[name] = options
    load()
    from keras_pss.data.locate import open_click_log
    from keras_pss.training import recipes as known
    from keras_pss.training.config import RunConfig
    from keras_pss.training.run import train as train_run

    chosen = known.load(recipe) if recipe else None
    config = chosen.config(**changes) if chosen else RunConfig.of(changes)
    with goes_on("The same command with --resume goes on from here."):
        prepare = chosen.prepare if chosen else None
        found = find(data, out, rows, scale, prepare)
        log = open_click_log(found.path)
        if chosen:
            chosen.check_log(log)
        report = train_run(
            log,
            config,
            out,
            verbose=1 if sys.stdout.isatty() else 2,
            resume=resume,
            notes=chosen.notes_of_report() if chosen else {},
        )
    show(report)
    typer.echo(f"Report, model, SavedModel and plots are in {out}")


def show(report: dict[str, Any]) -> None:
    """Prints what a run came to, and the paper's numbers beside it."""
    title = f"{report['model']} with {report['method']} embeddings"
    table = Table("", "test rows", title=title)
    for name, key in (
        ("AUC", "auc"),
        ("log loss", "logloss"),
        ("normalized entropy", "normalized_entropy"),
        ("calibration", "calibration"),
    ):
        table.add_row(name, f"{report[key]:.4f}")
    table.add_row("embedding parameters", f"{report['embedding_params']:,}")
    if report["compression"]:
        table.add_row("compression", f"{report['compression']:,.1f}x")
    table.add_row("ms a step", f"{report['step_ms_median']:.1f}")
    table.add_row(
        "best epoch", f"{report['best_epoch']:.4g} of {report['epochs']:.4g}"
    )
    for name, value in report.get("paper", {}).items():
        table.add_row(Text(f"the paper: {name}"), f"{value:g}", style="dim")
    Console().print(table)


def check_new(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(
            f"`out` must be a folder. Received: out={str(out)!r}, a file"
        )
    if out.exists() and any(out.iterdir()):
        raise ValueError(
            "`out` must be a new or empty folder. Choose another one, or go "
            "on with a run that was stopped by --resume. "
            f"Received: out={str(out)!r}"
        )


def parsed(options: list[str], name: str) -> dict[str, Any]:
    """`name=value` pairs; values are JSON where they can be, else text."""
    found = {}
    for each in options:
        key, equals, text = each.partition("=")
        if not equals or not key.isidentifier():
            raise ValueError(
                f"{name} must be name=value, such as block_size=8. "
                f"Received: {each}"
            )
        try:
            found[key] = json.loads(text)
        except json.JSONDecodeError:
            found[key] = text
    return found


def _numbers(paper: dict[str, float]) -> str:
    return "; ".join(f"{name}: {value:g}" for name, value in paper.items())
