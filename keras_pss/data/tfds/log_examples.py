"""From the files of a log to the examples of a dataset of TFDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import tensorflow_datasets as tfds

from keras_pss.data.log_files import all_files
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import Schema
from keras_pss.messages import shown

# Opens a log: its files in order, which may exist only within the context.
OpenLog = Callable[[], AbstractContextManager[list[Path]]]

ROW = "row"  # the column of row numbers; no log here has one

CONFIGS = [
    tfds.core.BuilderConfig(
        name="full", description="The whole log, downloaded by hand."
    ),
    tfds.core.BuilderConfig(
        name="tiny",
        description="A few thousand generated rows in the format of the log, "
        "the same ones each time. No download.",
    ),
]


def open_log(
    builder: Any, dl_manager: Any, write: Callable[[Path], list[Path]]
) -> OpenLog:
    """The log of a builder's config.

    Args:
        builder: The builder; its files lie in `manual_dir/NAME`.
        dl_manager: TFDS' download manager.
        write: Writes the files of the config `"tiny"` into a folder, and
            returns them in order.

    Raises:
        ValueError: If the files are not there.
    """
    if builder.builder_config.name == "tiny":
        return lambda: _generated(write)
    folder = Path(dl_manager.manual_dir) / builder.name
    if not folder.is_dir():
        raise ValueError(
            f"The log must lie in {folder}. "
            f"{' '.join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())} "
            f"Received: {shown(str(folder))}, which does not exist"
        )
    files = all_files(folder)
    return lambda: nullcontext(files)


@contextmanager
def _generated(write: Callable[[Path], list[Path]]) -> Iterator[list[Path]]:
    with TemporaryDirectory() as folder:
        yield write(Path(folder))


def count_rows(log: OpenLog, schema: Schema, files: slice) -> int:
    """Number of rows of some files of a log.

    Args:
        log: The log.
        schema: A schema of at least one column.
        files: Which of its files.

    Raises:
        BrokenRowError: A row is broken.
    """
    with log() as paths:
        reader = LogReader(paths[files], schema, strict=True)
        return sum(len(block) for block in reader)


def examples(
    log: OpenLog,
    schema: Schema,
    values: list[pl.Expr],
    chosen: pl.Expr | None = None,
    files: slice = slice(None),
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers of rows, from 0, and their values, in the order of the log.

    Args:
        log: The log.
        schema: The columns to read.
        values: The features of an example.
        chosen: Which rows; `ROW` is the column of their numbers.
        files: Which of the log's files to read.

    Raises:
        BrokenRowError: A row is broken; a dataset leaves out none.
    """
    first = 0
    with log() as paths:
        for block in LogReader(paths[files], schema, strict=True):
            rows = block.rows.with_row_index(ROW, offset=first)
            first += rows.height
            if chosen is not None:
                rows = rows.filter(chosen)
            numbers = rows[ROW].to_list()
            dicts = rows.select(values).iter_rows(named=True)
            yield from zip(numbers, dicts, strict=True)
