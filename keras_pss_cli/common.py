"""Shared by the commands: progress bars, errors, quiet imports."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from keras_pss_cli import without_layers

TFDS = "tfds:"


def check_paths(paths: list[Path]) -> list[Path]:
    """Checks that paths exist; datasets are looked up when they are opened."""
    for path in paths:
        if not str(path).startswith(TFDS) and not path.exists():
            raise typer.BadParameter(f"File '{path}' does not exist.")
    return paths


def check_files(paths: list[Path]) -> list[Path]:
    """Checks files or datasets."""
    for path in check_paths(paths):
        if path.is_dir():
            raise typer.BadParameter(f"File '{path}' is a directory.")
    return paths


def check_sources(sources: list[str]) -> list[str]:
    """Checks files or datasets; URLs are looked up by Beam."""
    check_files([Path(name) for name in sources if "://" not in name])
    return sources


LogSources = Annotated[
    list[str],
    typer.Argument(
        help="Files in time order: Criteo TSV, or those of --schema; plain or "
        "compressed (.gz, .xz, .zst). Or a dataset of TensorFlow Datasets, "
        "tfds:NAME/CONFIG:VERSION[SPLITS].",
        callback=check_sources,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing output.")
]


def fail(message: str) -> NoReturn:
    """Prints one line to stderr and exits with status 2."""
    typer.echo(f"keras-pss: {message}", err=True)
    leave(2)


def leave(status: int) -> NoReturn:
    """Exits, also if other processes of a job wait for this one."""
    processes = sys.modules.get("keras_pss.distribution.on_jax.processes")
    if processes is not None:
        processes.leave(status)
    sys.exit(status)


def check_run(run: Path) -> None:
    if not (run / "report.json").is_file():
        raise ValueError(
            "--run must be the folder of a finished `keras-pss train`, with a "
            f"report.json. Received: {run}"
        )


def load() -> None:
    """Imports TensorFlow, without its log lines, and all of the package."""
    with quiet():
        import tensorflow  # noqa: F401

        without_layers.finish()
    from keras_pss.training.allocator import keep_freed_memory
    from keras_pss.training.backends.trainable import leave_gpus

    keep_freed_memory()
    leave_gpus()


def fail_without_tensorflow(error: ModuleNotFoundError) -> NoReturn:
    fail(
        "this command reads rows with TensorFlow, on any backend of Keras. "
        "Install it with `pip install 'keras-pss[tensorflow-cpu]'`; with JAX "
        "or PyTorch alone, only the layers and `keras-pss build-ops` work. "
        f"({error})"
    )


@contextmanager
def goes_on(how: str) -> Iterator[None]:
    """On Ctrl-C, exits with a line that says how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"keras-pss: stopped. {how}", err=True)
        leave(130)


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what TensorFlow writes to stderr while it is imported.

    Its C++ code writes to the file descriptor before a log level is set.
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
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, updated by `(done, total, stage)`.

    It appears with the first update.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, Any] = {}

    def advance(done: int, total: int, stage: str) -> None:
        bar.start()
        if stage not in tasks:
            unit = "rows" if stage == "generate" else "bytes"
            tasks[stage] = bar.add_task(f"{stage} ({unit})", total=total)
        bar.update(tasks[stage], completed=done, total=total)

    try:
        yield advance
    finally:
        if tasks:
            bar.stop()
