"""The first pipeline: from files to blocks of valid values."""

import json
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import polars as pl

from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.pipelines import Item, Step
from keras_pss.data.engines.beam.progress import Done
from keras_pss.data.engines.beam.remote_files import local_copy, worker_path
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.blocks import Values
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.readers.source import Source
from keras_pss.data.readers.values.caster import Caster
from keras_pss.data.storage.columns.log_columns import LogColumns
from keras_pss.data.storage.log_splits import split_codes
from keras_pss.data.storage.log_staging import splits_by_time
from keras_pss.data.storage.rejects import MAX_REJECTS
from keras_pss.features import Schema

CUT = "cut"  # kind of the files with blocks that are not parsed yet


@dataclass
class FoundLog:
    """What the first pipeline has found in all files."""

    sources: list[Source]
    rejects: Counter[str] = field(default_factory=Counter)
    first_reject: Reject | None = None

    @property
    def bytes_total(self) -> int:
        return sum(source.size for source in self.sources)

    def fill_in(self, found: Sequence[Item]) -> None:
        """Completes the sources; raises the first error of reading them."""
        files = [item for item in found if item["kind"] == "file"]
        for item in sorted(files, key=lambda item: item["file"]):
            if item["failed"]:
                kind = ValueError if item["of_values"] else OSError
                raise kind(json.loads(item["error"]))
            source = self.sources[item["file"]]
            source.size, source.sha256 = item["bytes"], item["sha256"]
            source.complete = item["complete"]


def file_items(sources: list[Source]) -> list[Item]:
    """The items of this pipeline, one a file."""
    # As JSON, because Beam's coders refuse some names of files.
    return [
        {"file": number, "path": json.dumps(worker_path(source))}
        for number, source in enumerate(sources)
    ]


def read_step(
    exchange: Exchange, schema: Schema, block_bytes: int, block_rows: int
) -> Step:
    """Reads files, each by one worker, and parses their blocks by all.

    A file is read from its beginning to its end, as its checksum and the
    line of each broken row are part of the result. The worker copies a file
    that has a URL to its disk first. It counts the bytes of the files as
    done, and so does the worker that parses them.

    Returns:
        A step from the items of `file_items` to an item for each block and
        one for each file.
    """
    held = schema.to_dict()

    def step(files: Any) -> Any:
        cut = files | "cut" >> beam.ParDo(
            CutFile(exchange, held, block_bytes, block_rows)
        ).with_outputs(CUT, main="files")
        blocks = (
            cut[CUT]
            | "spread blocks" >> beam.Reshuffle()
            | "parse" >> beam.ParDo(StageBlock(exchange, held))
        )
        return (cut["files"], blocks) | beam.Flatten()

    return step


class CutFile(beam.DoFn):
    """Cuts files into blocks that any worker can parse.

    Args:
        exchange: Where the blocks are written.
        schema: The schema as a dict.
        block_bytes, rows: `block_bytes` and `block_rows` of `LogReader`.
    """

    def __init__(
        self,
        exchange: Exchange,
        schema: dict[str, Any],
        block_bytes: int,
        rows: int,
    ):
        self._exchange = exchange
        self._done = Done(exchange, "read")
        self._schema = schema
        self._bytes, self._rows = block_bytes, rows

    def process(self, item: Item) -> Iterator[Any]:
        schema = Schema.from_dict(self._schema)
        error: Exception | None = None
        given = json.loads(item["path"])
        with local_copy(given) as path:
            reader = LogReader(
                path, schema, block_bytes=self._bytes, block_rows=self._rows
            )
            (source,) = reader.sources
            done = 0
            try:
                for number, read in enumerate(reader.blocks(source)):
                    # A runner may keep what it passes on in memory.
                    cut = self._exchange.write(CUT, pickle.dumps(read))
                    size = source.bytes_read - done
                    block = item["file"], number, cut, size
                    yield beam.pvalue.TaggedOutput(CUT, block)
                    self._done.add(size)
                    done += size
            except (ValueError, OSError) as found:
                error = found
        yield {
            "kind": "file",
            "file": item["file"],
            "bytes": source.size,
            "sha256": source.sha256,
            "complete": source.complete,
            "error": json.dumps(str(error).replace(path, given)),
            "failed": error is not None,
            "of_values": isinstance(error, ValueError),
        }


class StageBlock(beam.DoFn):
    """Parses blocks and writes their values.

    Args:
        exchange: Where they are written.
        schema: The schema as a dict.
    """

    def __init__(self, exchange: Exchange, schema: dict[str, Any]):
        self._exchange = exchange
        self._done = Done(exchange, "read")
        self._held = schema

    def setup(self) -> None:
        self._schema = Schema.from_dict(self._held)
        self._cast = Caster(self._schema)

    def process(self, block: tuple[int, int, str, int]) -> Iterator[Item]:
        file, number, cut, size = block
        read = pickle.loads(self._exchange.read(cut))
        values = self._cast(read())
        yield {
            "kind": "block",
            "file": file,
            "number": number,
            "rows": len(values),
            "lines": values.lines,
            "rejects": dict(Counter(r.reason for r in values.rejects)),
            "broken": self._rejects(values),
            "wide": self._wide(values),
            "frame": self._exchange.write_frame("block", values.rows),
            "keys": self._keys(values),
        }
        self._done.add(size)

    def _rejects(self, values: Values) -> str | None:
        first = values.rejects[:MAX_REJECTS]
        if not first:
            return None
        return self._exchange.write_items("rejects", map(_to_item, first))

    def _wide(self, values: Values) -> list[str]:
        """The integers of which one needs more than 32 bits."""
        found = []
        for column in LogColumns(self._schema).dense:
            if column.dtype == "int32":
                column.block(values.rows)
                if column.dtype != "int32":
                    found.append(column.name)
        return found

    def _keys(self, values: Values) -> str | None:
        """Writes what splits and groups read of all rows."""
        schema, columns = self._schema, []
        if splits_by_time(schema):
            columns.append(values.rows["time"])
        if schema.group is not None:
            columns.append(values.rows["group"])
        if schema.split.by == "column":
            codes = split_codes(schema.split, values.rows["split"])
            columns.append(pl.Series("split", codes))
        if not columns:
            return None
        return self._exchange.write_frame("keys", pl.DataFrame(columns))


def _to_item(reject: Reject) -> Item:
    # JSON has no bytes; each one is a character of Latin-1.
    return {**reject._asdict(), "raw": reject.raw.decode("latin-1")}


def rejects_of(exchange: Exchange, name: str) -> list[Reject]:
    """The rejects of a block, without file, with lines within the block."""
    return [
        Reject(**{**item, "raw": item["raw"].encode("latin-1")})
        for item in exchange.read_items(name)
    ]
