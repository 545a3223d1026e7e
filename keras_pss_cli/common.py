"""What the commands share: the console, bars, errors, loading quietly."""

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


def fail(message: str) -> NoReturn:
    """Ends with one line on the error stream."""
    typer.echo(f"keras-pss: {message}", err=True)
    sys.exit(2)


def check_run(run: Path) -> None:
    if not (run / "report.json").is_file():
        raise ValueError(
            "--run must be a folder that `keras-pss train` finished, with a "
            f"report.json. Received: {run}"
        )


def load() -> None:
    """Imports the package, without TensorFlow's greeting."""
    try:
        with quiet():
            import tensorflow  # noqa: F401
    except ModuleNotFoundError as error:
        fail(
            "this command runs on TensorFlow. Install it with `pip install "
            "'keras-pss[tensorflow-cpu]'`; beside JAX or PyTorch alone, "
            "the layers and `keras-pss build-ops` are what works. "
            f"({error})"
        )
    with quiet():
        from keras_pss.training.allocator import keep_freed_memory
    keep_freed_memory()


@contextmanager
def goes_on(how: str) -> Iterator[None]:
    """Ctrl-C within ends the command with a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"keras-pss: stopped. {how}", err=True)
        sys.exit(130)


@contextmanager
def quiet() -> Iterator[None]:
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
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on the error stream, fed by `(done, total, stage)`.

    There is none until something is told.
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
