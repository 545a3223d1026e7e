"""The steps of a preparation, whoever does them."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from keras_pss.data.encoders import vocabulary_file
from keras_pss.data.inference.describe import describe
from keras_pss.data.readers.block import Reject
from keras_pss.data.storage import log_metadata, parquet_export
from keras_pss.data.storage.columns.log_columns import LogColumns
from keras_pss.data.storage.log_splits import Parts
from keras_pss.data.storage.open_folder import load
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.features import Schema
from keras_pss.files import complete_folder
from keras_pss.version import __version__

_logger = logging.getLogger(__name__)

# (bytes done, total bytes, stage); the stages are read, count, write.
Progress = Callable[[int, int, str], None]


class ReadSource(Protocol):
    """What the metadata tells about a file that was read."""

    path: Any
    size: int
    sha256: str
    lines: int
    rows: int
    complete: bool

    @property
    def name(self) -> str: ...


class ReadLog(Protocol):
    """What reading all files has found, as of `LogReader`."""

    rejects: Counter[str]
    first_reject: Reject | None

    @property
    def sources(self) -> Sequence[ReadSource]: ...

    @property
    def bytes_total(self) -> int: ...


class Engine(ABC):
    """Reads a log, learns from its rows and writes their records.

    Its methods are called once each, in this order.
    """

    @abstractmethod
    def read(self, folder: Path, report: Progress) -> tuple[ReadLog, int]:
        """Parses all rows and lists broken ones in `rejects.tsv`.

        Args:
            folder: The folder that is prepared.
            report: Is told how far it is.

        Returns:
            What was found, and the number of valid rows.
        """

    @abstractmethod
    def split(self) -> Parts:
        """Row numbers of each split."""

    @abstractmethod
    def fit(self, parts: Parts, report: Progress) -> None:
        """Learns vocabularies, means, deviations and borders."""

    @abstractmethod
    def write(
        self, folder: Path, parts: Parts, rows_per_shard: int, report: Progress
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Writes records; yields each split and the entries of its shards."""

    @abstractmethod
    def learned(self) -> LogColumns:
        """The fitted columns, and tables with their vocabularies."""

    @abstractmethod
    def remove(self) -> None:
        """Deletes what was needed between the steps; always called."""


def run(
    engine: Engine,
    out: Path,
    schema: Schema,
    *,
    rows_per_shard: int,
    strict: bool,
    overwrite: bool,
    progress: Progress | None,
    parquet: bool,
) -> PreparedFolder:
    """Prepares a log by an engine, as `prepare` does."""
    check_rows_per_shard(rows_per_shard)
    report = progress or (lambda done, total, stage: None)
    with complete_folder(
        out, overwrite, "a prepared log", log_metadata.is_prepared
    ) as folder:
        try:
            found, num_rows = engine.read(folder, report)
            _check_rows(found, num_rows)
            parts = engine.split()
            engine.fit(parts, report)
            shards = dict(engine.write(folder, parts, rows_per_shard, report))
            entries = {
                "keras_pss": __version__,
                "schema": schema.to_dict(),
                **_learned(folder, engine.learned()),
                "rows_per_shard": rows_per_shard,
                "splits": {
                    name: _split(written, schema.label is not None)
                    for name, written in shards.items()
                },
                "sources": [_source(source) for source in found.sources],
                "rejects": dict(sorted(found.rejects.items())),
                "strict": strict,
            }
        finally:
            engine.remove()
        log_metadata.write(folder, entries)
        if parquet:
            parquet_export.write(load(folder))
    done = load(out)
    for name in done.incomplete:
        _logger.warning("%s is truncated or corrupt; its rest is missing", name)
    return done


def _check_rows(found: ReadLog, num_rows: int) -> None:
    if num_rows:
        return
    counts = [f"{n} rows with {why}" for why, n in found.rejects.items()]
    broken = "no rows"
    if counts:
        broken = f"{', '.join(counts)}, the first {found.first_reject}"
    paths = [Path(source.path) for source in found.sources[:1]]
    looks = [
        f" {path.name} looks like {form.what}."
        for path in paths
        if path.is_file() and (form := describe(path))
    ]
    raise ValueError(
        "`sources` must hold at least one valid row. Received: "
        f"{found.bytes_total} bytes and {broken}.{''.join(looks)} Check the "
        "files, or give strict (--strict) to see the first broken row."
    )


def _learned(folder: Path, columns: LogColumns) -> dict[str, Any]:
    """Layout, statistics, tables and vocabulary of the metadata."""
    bucketed = {column.name: column for column in columns.buckets}
    counted = columns.counted
    tables: dict[str, Any] = {}
    vocabularies = {}
    for name in columns.schema.tables:
        if name in bucketed:
            counts = bucketed[name].counts.tolist()
            tables[name] = {"rows": len(counts), "counts": counts}
            continue
        tables[name] = {"rows": columns.tables[name].num_ids}
        if name in counted:
            vocabulary = counted[name].vocabulary
            assert vocabulary is not None
            vocabularies[name] = vocabulary
            tables[name]["oov"] = int(vocabulary.counts[0])
    held = None
    if vocabularies:
        held = vocabulary_file.write(folder, vocabularies)
    return {
        "layout": columns.layout.to_list(),
        "statistics": {
            column.name: found
            for column in columns.columns
            if (found := column.statistics())
        },
        "tables": tables,
        "vocabulary": held,
    }


def _split(shards: list[dict[str, Any]], labelled: bool) -> dict[str, Any]:
    return {
        "rows": sum(shard["rows"] for shard in shards),
        "clicks": sum(s["clicks"] for s in shards) if labelled else None,
        "shards": shards,
    }


def _source(source: ReadSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "bytes": source.size,
        "sha256": source.sha256,
        "lines": source.lines,
        "rows": source.rows,
        **({} if source.complete else {"complete": False}),
    }


def check_rows_per_shard(rows_per_shard: int) -> None:
    """Raises ValueError if a shard would have no rows."""
    if rows_per_shard < 1:
        raise ValueError(
            "`rows_per_shard` must be at least 1. "
            f"Received: rows_per_shard={rows_per_shard}."
        )
