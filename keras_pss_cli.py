"""The command line `keras-pss`: parses, calls, prints.

Most of its lines are the options and their help. It stands beside the package,
not in it, because importing the package loads Keras and its backend: seconds
that `--help` and a mistyped option need not wait for, and log lines that must
be silenced before they are written.
"""

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

try:
    import typer
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Table
    from typer.exceptions import TyperException
except ImportError as error:  # the layers alone do not need these
    sys.exit(
        "keras-pss: the command line needs more packages. Install them with "
        f"`pip install 'keras-pss[tensorflow-cpu]'`. ({error})"
    )

# Each command imports what it needs: `--help` must not wait for TensorFlow.

app = typer.Typer(
    help="Compressed embeddings for click models: data, training, serving.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Sources = Annotated[
    list[Path],
    typer.Argument(
        help="Criteo TSV files (plain, .gz, .xz, .zst), in time order.",
        exists=True,
        dir_okay=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keras-pss {importlib.metadata.version('keras-pss')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="The version."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def prepare(
    sources: Sources,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    ids: Annotated[
        str,
        typer.Option(
            help="'vocabulary': ids by frequency, rare and new values share "
            "id 0; 'hash': no table of values, any value has an id."
        ),
    ] = "vocabulary",
    min_count: Annotated[
        int, typer.Option(help="Values seen less often share id 0.")
    ] = 1,
    hash_buckets: Annotated[
        int | None, typer.Option(help="Ids with --ids hash; default 2^31 - 1.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="'chronological', 'random' or 'none' (all train)."),
    ] = "chronological",
    test_fraction: Annotated[
        float, typer.Option(help="Part of the rows to test on.")
    ] = 1 / 7,
    validation_fraction: Annotated[
        float, typer.Option(help="Part of the rest to choose the epoch on.")
    ] = 0.1,
    split_seed: Annotated[int, typer.Option(help="Of --split random.")] = 2020,
    seed: Annotated[int, typer.Option(help="Of --ids hash.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first broken row.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn a Criteo click log into records that train fast."""
    _load()
    from keras_pss.data import criteo

    with _progress("bytes") as progress:
        prepared = criteo.prepare(
            sources,
            out,
            ids=ids,
            min_count=min_count,
            hash_buckets=hash_buckets,
            seed=seed,
            split=split,
            test_fraction=test_fraction,
            validation_fraction=validation_fraction,
            split_seed=split_seed,
            strict=strict,
            overwrite=overwrite,
            progress=progress,
        )
    _show_prepared(prepared)


@app.command()
def synth(
    out: Annotated[
        Path,
        typer.Option(help="File (.tsv, .tsv.gz, .xz, .zst), or a folder."),
    ],
    rows: Annotated[int, typer.Option(help="Number of rows.")] = 300_000,
    scale: Annotated[
        float, typer.Option(help="Factor of Criteo Kaggle's large tables.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Of the rows.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Generate clicks in Criteo's format, with a known best possible AUC."""
    _load()
    from keras_pss.data import synthetic

    with _progress("rows") as progress:
        report = synthetic.generate(
            out,
            rows=rows,
            scale=scale,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(
        f"{rows} rows in {out}: click rate {report.click_rate:.4f}, Bayes AUC "
        f"{report.bayes_auc:.4f}, Bayes log loss {report.bayes_log_loss:.4f}"
    )


@app.command()
def train(
    data: Annotated[
        str,
        typer.Option(
            help="A folder that `prepare` wrote, a Criteo TSV file, or "
            "'synthetic'."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    model: Annotated[str, typer.Option(help="dlrm")] = "dlrm",
    method: Annotated[
        str,
        typer.Option(
            help="full, robe, tt, qr, hash, fpd, memcom, mixed_dimension, "
            "tensor_ring, sketch, quantized, deep_hash or clustered."
        ),
    ] = "robe",
    budget: Annotated[
        str,
        typer.Option(
            help="Of all tables: '1000x', '10MB' or a number of parameters."
        ),
    ] = "1000x",
    dim: Annotated[int, typer.Option(help="Length of an embedding.")] = 16,
    epochs: Annotated[
        int, typer.Option(help="At most; the best one is kept.")
    ] = 5,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation AUC.")
    ] = 2,
    batch_size: Annotated[int, typer.Option(help="Rows a step.")] = 2048,
    optimizer: Annotated[
        str, typer.Option(help="adam, adagrad or sgd.")
    ] = "adam",
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Default: adam 0.001, adagrad 0.01, sgd 1."),
    ] = None,
    embedding_scale: Annotated[
        float, typer.Option(help="Embeddings start uniform in ± this.")
    ] = 0.01,
    min_rows: Annotated[
        int | None,
        typer.Option(
            help="Tables with fewer rows stay full; default: the smallest, "
            "up to a quarter of the budget."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="An argument of the method's layer, such as block_size=8, "
            "mapping=fold or gauge=last_core; repeat for more."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of initial values, order and hashing.")
    ] = 0,
    rows: Annotated[int, typer.Option(help="Of --data synthetic.")] = 300_000,
    scale: Annotated[
        float, typer.Option(help="Of --data synthetic; see `synth`.")
    ] = 0.01,
    jit: Annotated[
        bool, typer.Option("--jit", help="Compile the step with XLA.")
    ] = False,
) -> None:
    """Train a model, choose its epoch, test it once, export it."""
    _check_new(out)
    _load()
    from keras_pss.training.config import RunConfig
    from keras_pss.training.run import train as train_run

    config = RunConfig(
        model=model,
        method=method,
        budget=int(budget) if budget.isdigit() else budget,
        dim=dim,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        embedding_scale=embedding_scale,
        min_rows=min_rows,
        options=_parsed(option or []),
        seed=seed,
        jit_compile=True if jit else "auto",
    )
    prepared = _prepared(data, out, rows, scale)
    report = train_run(
        prepared, config, out, verbose=1 if sys.stdout.isatty() else 2
    )
    table = Table("", "test rows", title=f"{model} with {method} embeddings")
    table.add_row("AUC", f"{report['auc']:.4f}")
    table.add_row("log loss", f"{report['logloss']:.4f}")
    table.add_row("normalized entropy", f"{report['normalized_entropy']:.4f}")
    table.add_row("embedding parameters", f"{report['embedding_params']:,}")
    if report["compression"]:
        table.add_row("compression", f"{report['compression']:,.1f}x")
    table.add_row("ms a step", f"{report['step_ms_median']:.1f}")
    table.add_row("best epoch", f"{report['best_epoch']} of {report['epochs']}")
    Console().print(table)
    typer.echo(f"Report, model, SavedModel and plots are in {out}")


@app.command()
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
    _check_run(run)
    _load()
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


@app.command()
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
    _check_run(run)
    _load()
    from keras_pss.serving.export import export_saved_model
    from keras_pss.training.run import load_model

    model = load_model(run)
    if int8:
        model.get_layer("embeddings").quantize("int8")
    export_saved_model(model, out, overwrite=overwrite)
    typer.echo(f"SavedModel in {out}")


@app.command()
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
    with _quiet():
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
        _fail(str(error))


def main() -> None:
    """Runs the command line; a mistake in a call is one line, exit code 2."""
    try:
        status = app(standalone_mode=False)
    except TyperException as error:
        _fail(f"{error.format_message()} (see keras-pss --help)")
    except (ValueError, OSError) as error:
        _fail(" ".join(str(error).split()) or type(error).__name__)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("keras-pss: stopped", err=True)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> None:
    typer.echo(f"keras-pss: {message}", err=True)
    sys.exit(2)


def _check_new(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(
            "--out must be a new or empty folder. Choose another one. "
            f"Received: {out}"
        )


def _check_run(run: Path) -> None:
    if not (run / "report.json").is_file():
        raise ValueError(
            "--run must be a folder that `keras-pss train` finished, with a "
            f"report.json. Received: {run}"
        )


def _parsed(options: list[str]) -> dict[str, Any]:
    """`name=value` pairs; values are JSON where they can be, else text."""
    found = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(
                "--option must be name=value, such as block_size=8. "
                f"Received: {option}"
            )
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            found[name] = text
    return found


def _prepared(data: str, out: Path, rows: int, scale: float) -> Any:
    """The prepared rows that `--data` names; made in the run if needed."""
    from keras_pss.data import criteo, synthetic

    source = Path(data)
    if data == "synthetic":
        out.mkdir(parents=True, exist_ok=True)
        source = out / "synthetic.tsv"
        with _progress("rows") as progress:
            synthetic.generate(
                source, rows=rows, scale=scale, progress=progress
            )
    elif source.is_dir():
        return criteo.load(source)
    elif not source.is_file():
        raise ValueError(
            "--data must be 'synthetic', a Criteo TSV file or a folder that "
            f"`keras-pss prepare` wrote. Received: {data}"
        )
    with _progress("bytes") as progress:
        out.mkdir(parents=True, exist_ok=True)
        prepared = criteo.prepare(source, out / "data", progress=progress)
    _show_prepared(prepared)
    return prepared


def _show_prepared(prepared: Any) -> None:
    parts = [f"{prepared.rows(s):,} {s}" for s in prepared.splits]
    typer.echo(f"{prepared.directory}: {', '.join(parts)} rows", err=True)
    for reason, count in prepared.rejects.items():
        typer.echo(
            f"  {count:,} rows left out: {reason} (see "
            f"{prepared.directory / 'rejects.tsv'})",
            err=True,
        )


def _load() -> None:
    """Imports the package, without TensorFlow's greeting."""
    with _quiet():
        import tensorflow  # noqa: F401

        import keras_pss  # noqa: F401


@contextmanager
def _quiet() -> Iterator[None]:
    """Drops what TensorFlow writes while it is imported.

    It writes to the error stream below Python, before any log level holds.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on the error stream, fed by `(done, total, stage)`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def advance(done: int, total: int, stage: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"{stage} ({unit})", total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield advance


if __name__ == "__main__":
    main()
