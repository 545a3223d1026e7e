"""Prepares a log of any schema: ids and shards of records.

The file is long because a third of it documents the arguments of `prepare`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from keras_pss.data.encoders import vocabulary_file
from keras_pss.data.encoders.counted_texts import CountedTexts
from keras_pss.data.inference.describe import check_criteo, describe
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import Source, Sources
from keras_pss.data.readers.threads import WORKERS
from keras_pss.data.storage import log_metadata, parquet_export
from keras_pss.data.storage.columns.buckets import BucketColumn
from keras_pss.data.storage.log_records import write_shard
from keras_pss.data.storage.log_splits import Parts, split_log
from keras_pss.data.storage.log_staging import LogStaging
from keras_pss.data.storage.open_folder import load
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.data.storage.rejects import MAX_REJECTS, REJECTS, reject_line
from keras_pss.data.storage.shard_checks import shard_name
from keras_pss.data.storage.splits import blocks_of
from keras_pss.features import Schema
from keras_pss.files import complete_folder
from keras_pss.version import __version__

_logger = logging.getLogger(__name__)

# (bytes done, total bytes, stage); the stages are read, count, write.
Progress = Callable[[int, int, str], None]


class Reader(Protocol):
    """Blocks of values, and what reading them has found, as of `LogReader`."""

    sources: list[Source]
    rejects: Counter[str]
    first_reject: Reject | None

    @property
    def bytes_done(self) -> int: ...

    @property
    def bytes_total(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def prepare(
    sources: Sources,
    out: str | Path,
    schema: Schema | str | Path,
    *,
    rows_per_shard: int = 262_144,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    parquet: bool = False,
) -> PreparedFolder:
    """Reads a log, encodes its features and writes record shards.

    The folder `out` holds `metadata.json`, shards named like
    `train-00000-of-00004.bin` for each split, `vocabulary.parquet` (if a
    table has a vocabulary) and `rejects.tsv` (only if rows are broken). The
    latter lists file, line, reason, column and the first 4,096 bytes of the
    first 10,000 broken rows; the metadata counts all of them. The folder gets
    its name when it is complete.

    If an archive is truncated or corrupt, the rows before the damage are
    prepared, a warning is logged, and `incomplete` of the result lists the
    archive.

    Memory: a few hundred MB, about 100 bytes per distinct text, and up to 30
    bytes per row for splits other than by order. Disk: twice the records
    during the preparation.

    Args:
        sources: A path or a list of paths in order, or the name of a dataset
            of TensorFlow Datasets such as `"tfds:criteo_kaggle"`, whose
            splits are read in order.
        out: Path of a new folder.
        schema: A `Schema`, the path of its file, or the name of a preset.
        rows_per_shard: Number of rows of all shards of a split except the
            last. Default: 262,144.
        strict: Whether to raise at the first broken row instead of skipping
            it. Default: False.
        overwrite: Whether to replace an existing prepared folder, once the
            new one is complete. Default: False.
        progress: Function that is called as
            `progress(bytes_done, bytes_total, stage)` with the stages
            `"read"`, `"count"` and `"write"`. Default: None.
        parquet: Whether to write each split as a Parquet file as well, with
            the names of the features and lists without padding. Default:
            False.

    Returns:
        The opened folder.

    Raises:
        ValueError: An argument is out of range, there are no valid rows, no
            rows are left for training, or a source changes while it is read.
        FileExistsError: `out` exists or is created in the meantime.
        BrokenRowError: A row is broken and `strict` is True.

    Example:

    ```python
    from keras_pss.data import prepare
    from keras_pss.features import Categorical, Dense, Label, Schema

    schema = Schema(
        [Categorical("city"), Dense("price", transform="log1p")],
        label=Label("clicked"),
    )
    data = prepare("log.csv", "prepared", schema)
    data.tables  # {"city": 1023}
    ```
    """
    from keras_pss.data.readers.log_reader import LogReader

    if not isinstance(schema, Schema):
        schema = Schema.load(schema)
    _check_rows_per_shard(rows_per_shard)
    reader = LogReader(sources, schema, strict=strict)
    check_criteo((source.path for source in reader.sources), schema)
    return prepare_values(
        reader,
        Path(out),
        schema,
        rows_per_shard=rows_per_shard,
        strict=strict,
        overwrite=overwrite,
        progress=progress,
        parquet=parquet,
    )


def prepare_values(
    reader: Reader,
    out: Path,
    schema: Schema,
    *,
    rows_per_shard: int = 262_144,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    parquet: bool = False,
) -> PreparedFolder:
    """Prepares the blocks of values of a reader, as `prepare` does."""
    _check_rows_per_shard(rows_per_shard)
    report = progress or (lambda done, total, stage: None)
    with complete_folder(
        out, overwrite, "a prepared log", log_metadata.is_prepared
    ) as folder:
        work = folder / "work"
        work.mkdir()
        staging = LogStaging(work, schema)
        try:
            _stage(reader, staging, folder / REJECTS, report)
            _check_rows(reader, staging)
            parts = split_log(schema.split, staging)
            _fit(staging, parts, report)
            entries = {
                "keras_pss": __version__,
                "schema": schema.to_dict(),
                **_learned(folder, staging),
                "rows_per_shard": rows_per_shard,
                "splits": _write(
                    folder, staging, parts, rows_per_shard, report
                ),
                "sources": [_source(source) for source in reader.sources],
                "rejects": dict(sorted(reader.rejects.items())),
                "strict": strict,
            }
        finally:
            staging.remove()
        work.rmdir()
        log_metadata.write(folder, entries)
        if parquet:
            parquet_export.write(load(folder))
    done = load(out)
    for name in done.incomplete:
        _logger.warning("%s is truncated or corrupt; its rest is missing", name)
    return done


def _stage(
    reader: Reader, staging: LogStaging, rejects: Path, report: Progress
) -> None:
    """First pass: writes valid rows to column files, lists broken rows."""
    kept = 0
    for values in reader:
        staging.append(values.rows)
        # An archive of 82 bytes may hold millions of empty lines.
        first = values.rejects[: MAX_REJECTS - kept]
        if first:
            with open(rejects, "ab") as file:
                file.writelines(map(reject_line, first))
            kept += len(first)
        report(reader.bytes_done, reader.bytes_total, "read")
    staging.close()


def _check_rows(reader: Reader, staging: LogStaging) -> None:
    if staging.num_rows:
        return
    counts = [f"{n} rows with {why}" for why, n in reader.rejects.items()]
    broken = "no rows"
    if counts:
        broken = f"{', '.join(counts)}, the first {reader.first_reject}"
    looks = [
        f" {source.path.name} looks like {form.what}."
        for source in reader.sources[:1]
        if source.path.is_file() and (form := describe(source.path))
    ]
    raise ValueError(
        "`sources` must hold at least one valid row. Received: "
        f"{reader.bytes_total} bytes and {broken}.{''.join(looks)} Check the "
        "files, or give strict (--strict) to see the first broken row."
    )


def _fit(staging: LogStaging, parts: Parts, report: Progress) -> None:
    """Second pass: vocabularies, means, deviations and borders."""
    develop = [rows for name, rows in parts.items() if name != "test"]
    steps = len(staging.tables) + len(staging.columns)
    total = staging.num_rows * staging.layout.record_bytes
    for done, _ in enumerate(staging.fit(parts["train"], develop), 1):
        report(done * total // steps, total, "count")


def _learned(folder: Path, staging: LogStaging) -> dict[str, Any]:
    """Layout, statistics, tables and vocabulary of the metadata."""
    bucketed = {
        column.name: column
        for column in staging.columns
        if isinstance(column, BucketColumn)
    }
    tables: dict[str, Any] = {}
    vocabularies = {}
    for name in staging.schema.tables:
        if name in bucketed:
            counts = bucketed[name].counts.tolist()
            tables[name] = {"rows": len(counts), "counts": counts}
            continue
        table = staging.tables[name]
        tables[name] = {"rows": table.num_ids}
        if isinstance(table, CountedTexts):
            assert table.vocabulary is not None
            vocabularies[name] = table.vocabulary
            tables[name]["oov"] = int(table.vocabulary.counts[0])
    held = None
    if vocabularies:
        held = vocabulary_file.write(folder, vocabularies)
    return {
        "layout": staging.layout.to_list(),
        "statistics": {
            column.name: found
            for column in staging.columns
            if (found := column.statistics())
        },
        "tables": tables,
        "vocabulary": held,
    }


def _write(
    folder: Path,
    staging: LogStaging,
    parts: Parts,
    rows_per_shard: int,
    report: Progress,
) -> dict[str, Any]:
    """Third pass: writes records; returns `splits` of the metadata."""
    layout = staging.layout
    total = staging.num_rows * layout.record_bytes
    done = 0
    written: dict[str, Any] = {}
    for name, rows in parts.items():
        shards = []
        count = -(-len(rows) // rows_per_shard)
        for index, block in enumerate(blocks_of(rows, rows_per_shard)):
            path = folder / shard_name(name, index, count)
            shards.append(
                write_shard(path, layout, staging.columns, block, WORKERS)
            )
            done += len(block) * layout.record_bytes
            report(done, total, "write")
        labelled = bool(layout.of("label"))
        written[name] = {
            "rows": len(rows),
            "clicks": sum(s["clicks"] for s in shards) if labelled else None,
            "shards": shards,
        }
    return written


def _source(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "bytes": source.size,
        "sha256": source.sha256,
        "lines": source.lines,
        "rows": source.rows,
        **({} if source.complete else {"complete": False}),
    }


def _check_rows_per_shard(rows_per_shard: int) -> None:
    if rows_per_shard < 1:
        raise ValueError(
            "`rows_per_shard` must be at least 1. "
            f"Received: rows_per_shard={rows_per_shard}."
        )
