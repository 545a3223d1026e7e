"""Prepares Criteo TSV files: ids and shards of records.

The file is long because a third of it documents the arguments of `prepare`.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_pss.data.criteo import schema
from keras_pss.data.criteo.tsv_reader import TsvReader
from keras_pss.data.encoders.hash_encoder import HashEncoder
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.encoders.vocabulary_encoder import (
    VocabularyEncoder,
    by_frequency,
    count_values,
)
from keras_pss.data.inference.describe import check_criteo
from keras_pss.data.readers.block import UInt32Array
from keras_pss.data.readers.source import Sources
from keras_pss.data.readers.threads import WORKERS, ordered_map
from keras_pss.data.storage import log_metadata, splits
from keras_pss.data.storage.rejects import MAX_REJECTS, REJECTS, reject_line
from keras_pss.data.storage.shard_checks import shard_name
from keras_pss.data.storage.splits import RowNumbers, blocks_of
from keras_pss.data.storage.version_1 import metadata, prepared, records
from keras_pss.data.storage.version_1.prepared import VOCABULARY, Prepared
from keras_pss.data.storage.version_1.staging import Staging
from keras_pss.files import complete_folder
from keras_pss.version import __version__

POLICIES = ("vocabulary", "hash")

_COUNT_ROWS = 1 << 20  # rows whose values are sorted together

_logger = logging.getLogger(__name__)

# (bytes done, total bytes, stage); the stages are read, count, write.
Progress = Callable[[int, int, str], None]


def prepare(
    sources: Sources,
    out: str | Path,
    *,
    ids: str = "vocabulary",
    min_count: int = 1,
    hash_buckets: int | None = None,
    seed: int = 0,
    split: str = "chronological",
    test_fraction: float = 1 / 7,
    validation_fraction: float = 0.1,
    split_seed: int = 2020,
    rows_per_shard: int = 262_144,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Parses Criteo rows, encodes their ids and writes record shards.

    The folder `out` holds `metadata.json`, shards named like
    `train-00000-of-00004.bin` for each split, `vocabulary.npz` (only with
    `ids="vocabulary"`) and `rejects.tsv` (only if rows are broken). The latter
    lists file, line, reason, column and the first 4,096 bytes of the first
    10,000 broken rows; the metadata counts all of them. The folder gets its
    name when it is complete.

    If an archive is truncated or corrupt, the rows before the damage are
    prepared, a warning is logged, and `incomplete` of the result lists the
    archive.

    Memory: about 100 MB, plus the distinct values of the columns and, with
    `split="random"`, 30 bytes per row. Disk: 160 bytes per row, and twice that
    during the preparation.

    Args:
        sources: A path or a list of paths in order: plain, `.gz`, `.xz` or
            `.zst`.
        out: Path of a new folder.
        ids: Policy of the ids. `"vocabulary"` (default) assigns ids by
            descending frequency in all rows except the test rows, and id 0 to
            rare and out-of-vocabulary values. `"hash"` hashes the values; see
            `HashEncoder`.
        min_count: Minimum count of a value with its own id in a vocabulary.
            Default: 1.
        hash_buckets: Number of ids of each column with `ids="hash"`, or None
            for open ids in [0, 2^31 - 1). Default: None.
        seed: Seed of the hash function with `ids="hash"`. Default: 0.
        split: `"chronological"` (default), `"random"` or `"none"`; see
            `splits.split_rows`.
        test_fraction: Fraction of all rows that is for testing. Default: 1/7.
        validation_fraction: Fraction of the other rows that is for
            validation. Default: 0.1.
        split_seed: Seed of `split="random"`, scikit-learn's `random_state`.
            Default: 2020.
        rows_per_shard: Number of rows of all shards of a split except the
            last. Default: 262,144.
        strict: Whether to raise at the first broken row instead of skipping
            it. Default: False.
        overwrite: Whether to replace an existing prepared folder, once the
            new one is complete. Default: False.
        progress: Function that is called as
            `progress(bytes_done, bytes_total, stage)` with the stages
            `"read"`, `"count"` and `"write"`. Default: None.

    Returns:
        The opened folder.

    Raises:
        ValueError: An argument is out of range, there are no valid rows, no
            rows are left for training, or a source changes while it is read.
        FileExistsError: `out` exists or is created in the meantime.
        BrokenRowError: A row is broken and `strict` is True.

    Example:

    >>> data = prepare("train.txt", "criteo", min_count=10)
    >>> data.cardinalities[:3]
    [1446, 554, 175781]
    """
    _check(ids, min_count, hash_buckets, rows_per_shard)
    splits.check(split, test_fraction, validation_fraction, split_seed)
    report = progress or (lambda done, total, stage: None)
    hasher = HashEncoder(seed, hash_buckets)
    reader = TsvReader(sources, strict=strict, workers=WORKERS)
    check_criteo(source.path for source in reader.sources)
    out = Path(out)
    with complete_folder(
        out, overwrite, "a prepared log", log_metadata.is_prepared
    ) as folder:
        work = folder / "work"
        work.mkdir()
        staging = _stage(reader, work, folder / REJECTS, report)
        try:
            if not staging.num_rows:
                raise ValueError(
                    "`sources` must hold at least one valid row. Received: "
                    f"{reader.bytes_total} bytes and {broken(reader)}. Check "
                    "the files, or give strict (--strict) to see the first "
                    "broken row."
                )
            parts = splits.split_rows(
                staging.num_rows,
                split,
                test_fraction,
                validation_fraction,
                split_seed,
            )
            encoder: IdEncoder = hasher
            if ids == "vocabulary":
                encoder = _count(staging, parts, min_count, report)
                encoder.save(folder / VOCABULARY)
            shards = _write(
                folder, staging, parts, encoder, rows_per_shard, report
            )
        finally:
            staging.remove()
        work.rmdir()
        content = {
            "keras_pss": __version__,
            "ids": encoder.config(),
            "cardinalities": encoder.cardinalities,
            "split": {
                "policy": split,
                "test_fraction": test_fraction,
                "validation_fraction": validation_fraction,
                "seed": split_seed,
            },
            "rows_per_shard": rows_per_shard,
            "splits": shards,
            "sources": [
                {
                    "name": source.path.name,
                    "bytes": source.size,
                    "sha256": source.sha256,
                    "lines": source.lines,
                    "rows": source.rows,
                    **({} if source.complete else {"complete": False}),
                }
                for source in reader.sources
            ],
            "rejects": dict(sorted(reader.rejects.items())),
            "strict": strict,
        }
        metadata.write(folder, content)
    done = prepared.load(out)
    for name in done.incomplete:
        _logger.warning("%s is truncated or corrupt; its rest is missing", name)
    return done


def _stage(
    reader: TsvReader, work: Path, rejects: Path, report: Progress
) -> Staging:
    """First pass: writes valid rows to column files, lists broken rows."""
    staging = Staging(work)
    kept = 0
    try:
        for block in reader:
            staging.append(block)
            # An archive of 82 bytes may hold millions of empty lines.
            first = block.rejects[: MAX_REJECTS - kept]
            if first:
                with open(rejects, "ab") as file:
                    file.writelines(map(reject_line, first))
                kept += len(first)
            report(reader.bytes_done, reader.bytes_total, "read")
    finally:
        staging.close()
    return staging


def broken(reader: TsvReader) -> str:
    """Describes the broken rows of a reader and the first of them."""
    if not reader.rejects:
        return "no rows"
    counts = [f"{n} rows with {why}" for why, n in reader.rejects.items()]
    return f"{', '.join(counts)}, the first {reader.first_reject}"


def _count(
    staging: Staging,
    parts: dict[str, RowNumbers],
    min_count: int,
    report: Progress,
) -> VocabularyEncoder:
    """Second pass: the vocabulary of all rows except the test rows."""
    develop = [rows for name, rows in parts.items() if name != "test"]
    total = 4 * schema.NUM_CATEGORIES * sum(map(len, develop))

    def blocks(column: int) -> Iterator[UInt32Array]:
        for rows in develop:
            for block in blocks_of(rows, _COUNT_ROWS):
                yield staging.column(column, block)

    def column_ids(column: int) -> tuple[Any, Any]:
        return by_frequency(count_values(blocks(column)), min_count)

    kept, counts = [], []
    columns = range(schema.NUM_CATEGORIES)
    for values, often in ordered_map(column_ids, columns, WORKERS):
        kept.append(values)
        counts.append(often)
        report(len(kept) * total // len(columns), total, "count")
    return VocabularyEncoder(kept, counts, min_count)


def _write(
    folder: Path,
    staging: Staging,
    parts: dict[str, RowNumbers],
    encoder: IdEncoder,
    rows_per_shard: int,
    report: Progress,
) -> dict[str, Any]:
    """Third pass: writes records; returns `splits` of the metadata."""
    total = staging.num_rows * records.RECORD_BYTES
    done = 0
    written: dict[str, Any] = {}
    for name, rows in parts.items():
        shards = []
        count = -(-len(rows) // rows_per_shard)
        for index, block in enumerate(blocks_of(rows, rows_per_shard)):
            path = folder / shard_name(name, index, count)
            shards.append(
                records.write_shard(path, staging, block, encoder, WORKERS)
            )
            done += len(block) * records.RECORD_BYTES
            report(done, total, "write")
        written[name] = {
            "rows": len(rows),
            "clicks": sum(shard["clicks"] for shard in shards),
            "shards": shards,
        }
    return written


def _check(
    ids: str, min_count: int, hash_buckets: int | None, rows_per_shard: int
) -> None:
    if ids not in POLICIES:
        raise ValueError(
            f"`ids` must be 'vocabulary' or 'hash'. Received: ids={ids!r}."
        )
    if ids == "vocabulary" and hash_buckets is not None:
        raise ValueError(
            "`hash_buckets` must be None with ids='vocabulary'. Received: "
            f"hash_buckets={hash_buckets}. Pass ids='hash'."
        )
    if ids == "hash" and min_count != 1:
        raise ValueError(
            "`min_count` must be 1 with ids='hash', which counts nothing. "
            f"Received: min_count={min_count}. Pass ids='vocabulary'."
        )
    for name, value in (
        ("min_count", min_count),
        ("rows_per_shard", rows_per_shard),
    ):
        if value < 1:
            raise ValueError(
                f"`{name}` must be at least 1. Received: {name}={value}."
            )
