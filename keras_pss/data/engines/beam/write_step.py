"""The last pipeline: from blocks of values to shards of records."""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np

from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.fitted import OnColumns, State
from keras_pss.data.engines.beam.pipelines import Item, Step
from keras_pss.data.engines.beam.plan import PartOfBlock, develop_rows, parts_of
from keras_pss.data.engines.beam.progress import Done
from keras_pss.data.readers.block import Int32Array
from keras_pss.data.storage.log_layout import LogLayout
from keras_pss.data.storage.log_records import DTYPE, joined, write_records
from keras_pss.data.storage.shard_checks import shard_name

_BUCKETS = "buckets"


def write_step(
    exchange: Exchange,
    state: State,
    layout: LogLayout,
    rows: dict[str, int],
    rows_per_shard: int,
) -> Step:
    """Encodes blocks and writes shards, each by one worker.

    Rows count as done when they are encoded, and again when they are written.

    Args:
        exchange: Where frames are read and shards are written.
        state: What was learned.
        layout: The layout of the records.
        rows: Number of rows of each split.
        rows_per_shard: See `prepare`.

    Returns:
        A step from planned blocks to items of the kinds `"shard"` and
        `"buckets"`.
    """

    def step(blocks: Any) -> Any:
        found = blocks | "encode" >> beam.ParDo(
            EncodeBlock(exchange, state, rows_per_shard)
        ).with_outputs(_BUCKETS, main="records")
        shards = (
            found["records"]
            | "by shard" >> beam.GroupByKey()
            | "write"
            >> beam.ParDo(WriteShard(exchange, layout, rows, rows_per_shard))
        )
        return (shards, found[_BUCKETS]) | beam.Flatten()

    return step


class EncodeBlock(OnColumns):
    """Makes records of blocks of values.

    Args:
        exchange, state, rows_per_shard: See `write_step`.
    """

    def __init__(self, exchange: Exchange, state: State, rows_per_shard: int):
        super().__init__(exchange, state)
        self._rows_per_shard = rows_per_shard
        self._done = Done(exchange, "write")

    def process(self, item: Item) -> Iterator[Any]:
        rows = self.exchange.read_frame(item["frame"])
        parts = parts_of(item)
        words = {c: c.encode(c.block(rows)) for c in self.log.columns}
        records = joined(self.log.layout, words.values(), len(rows))
        for part in parts:
            yield from self._pieces(part, records)
        if self.log.buckets:
            develop = develop_rows(parts)
            counts = {}
            for column in self.log.buckets:
                # Counts of this block alone.
                size = len(column.counts)
                ids = words[column][develop]
                counts[column.name] = np.bincount(ids, minlength=size).tolist()
            found = {"kind": "buckets", "counts": counts}
            yield beam.pvalue.TaggedOutput(_BUCKETS, found)
        self._done.add(len(rows))

    def _pieces(self, part: PartOfBlock, records: Int32Array) -> Iterator[Any]:
        """The records of each shard, and where they are in the split."""
        size = self._rows_per_shard
        at, stop = part.first, part.first + len(part.rows)
        while at < stop:
            shard = at // size
            until = min(stop, (shard + 1) * size)
            rows = part.rows[at - part.first : until - part.first]
            key = json.dumps([part.split, shard])
            data = records[rows].tobytes()
            # A runner may keep what it passes on in memory.
            yield key, (at, self.exchange.write("records", data))
            at = until


class WriteShard(beam.DoFn):
    """Writes the records of shards in the order of their rows.

    Memory: the records of a shard, twice.

    Args:
        exchange, layout, rows, rows_per_shard: See `write_step`.
    """

    def __init__(
        self,
        exchange: Exchange,
        layout: LogLayout,
        rows: dict[str, int],
        rows_per_shard: int,
    ):
        self._exchange = exchange
        self._done = Done(exchange, "write")
        self._layout = layout
        self._rows = rows
        self._rows_per_shard = rows_per_shard

    def process(
        self, found: tuple[str, Iterable[tuple[int, str]]]
    ) -> Iterator[Item]:
        key, pieces = found
        split, index = json.loads(key)
        size, rows = self._rows_per_shard, self._rows[split]
        name = shard_name(split, index, -(-rows // size))
        file = io.BytesIO()
        entry = write_records(
            file, name, self._layout, map(self._records, sorted(pieces))
        )
        wanted = min(size, rows - index * size)
        if entry["rows"] != wanted:
            raise RuntimeError(
                f"{name} got {entry['rows']} rows of {wanted}. Report this "
                "with the runner and its version, please."
            )
        held = self._exchange.write("shard", file.getvalue())
        yield {
            "kind": "shard",
            "split": split,
            "index": index,
            "entry": entry,
            "file": held,
        }
        self._done.add(wanted)

    def _records(self, piece: tuple[int, str]) -> Int32Array:
        data = self._exchange.read(piece[1])
        return np.frombuffer(data, DTYPE).reshape(-1, self._layout.words)
