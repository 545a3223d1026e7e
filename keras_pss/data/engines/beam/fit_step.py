"""The pipeline that counts texts and numbers, and gathers training numbers."""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl

from keras_pss.data.encoders.counted_texts import by_frequency
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.engines.beam.counting import (
    MergeCounts,
    counted,
    merged,
    partitions,
)
from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.fitted import OnColumns, State
from keras_pss.data.engines.beam.pipelines import Item, Step
from keras_pss.data.engines.beam.plan import PartOfBlock, develop_rows, parts_of
from keras_pss.data.engines.beam.progress import Done
from keras_pss.data.storage.columns.buckets import BucketColumn, counted_borders
from keras_pss.data.storage.columns.dense import DenseColumn
from keras_pss.data.storage.columns.log_columns import LogColumns, new_tables
from keras_pss.data.storage.columns.staged_file import BLOCK_ROWS
from keras_pss.features import Schema

_NUMBERS = "numbers"


def fit_step(
    exchange: Exchange, state: State, rows: int, partition_rows: int
) -> Step:
    """Counts what ids and borders depend on.

    Args:
        exchange: Where frames are read and written.
        state: What was learned so far.
        rows: Number of rows of the log.
        partition_rows: Number of values of a table or column for each of its
            partitions.

    Returns:
        A step from planned blocks to items of the kinds `"texts"`,
        `"borders"` and `"numbers"`.
    """

    def step(blocks: Any) -> Any:
        found = blocks | "count" >> beam.ParDo(
            CountBlock(exchange, state, rows, partition_rows)
        ).with_outputs(_NUMBERS, main="counts")
        counts = merged(found["counts"], MergeCounts()) | "keep" >> beam.ParDo(
            KeepFrequent(exchange, state["schema"])
        )
        numbers = (
            found[_NUMBERS]
            | "in blocks" >> beam.GroupByKey()
            | "join" >> beam.Map(_join, exchange)
        )
        return (counts, numbers) | beam.Flatten()

    return step


def measured(columns: LogColumns) -> list[DenseColumn]:
    """The columns whose mean is learned."""
    return [c for c in columns.dense if c.needs_fill or c.needs_moments]


class CountBlock(OnColumns):
    """Counts the texts and numbers of blocks.

    Args:
        exchange, state, rows, partition_rows: See `fit_step`.
    """

    def __init__(
        self, exchange: Exchange, state: State, rows: int, partition_rows: int
    ):
        super().__init__(exchange, state)
        self._done = Done(exchange, "fit")
        self._rows, self._partition_rows = rows, partition_rows

    def process(self, item: Item) -> Iterator[Any]:
        rows = self.exchange.read_frame(item["frame"])
        parts = parts_of(item)
        develop = rows[develop_rows(parts)]
        for name, table in self.log.counted.items():
            sharing = self.log.sharing(table)
            texts = pl.concat([c.texts(develop) for c in sharing])
            width = sum(c.width for c in sharing)
            yield from self._counts("texts", name, texts, width)
        for part in parts:
            if part.split == "train":
                train = rows[part.rows]
                for column in self.log.buckets:
                    numbers = pl.Series(_numbers(column, train))
                    yield from self._counts("borders", column.name, numbers, 1)
                yield from self._gathered(part, train)
        self._done.add(len(rows))

    def _counts(
        self, kind: str, name: str, values: pl.Series, width: int
    ) -> Iterator[Any]:
        """Counts values, of which a row has at most `width`."""
        number = -(-self._rows * width // self._partition_rows)
        yield from partitions(kind, name, counted(values), number)

    def _gathered(
        self, part: PartOfBlock, train: pl.DataFrame
    ) -> Iterator[Any]:
        """The numbers that are summed, by the block that sums them.

        A sum depends on its order, which is that of one machine.
        """
        found = {
            column.name: column.block(train) for column in measured(self.log)
        }
        at, stop = part.first, part.first + len(train)
        while found and at < stop:
            block = at // BLOCK_ROWS
            until = min(stop, (block + 1) * BLOCK_ROWS)
            some = slice(at - part.first, until - part.first)
            arrays = [numbers[some] for numbers in found.values()]
            # A runner may keep what it passes on in memory.
            file = _write_arrays(self.exchange, "piece", arrays)
            yield beam.pvalue.TaggedOutput(_NUMBERS, (block, (at, file)))
            at = until


def _numbers(column: BucketColumn, rows: pl.DataFrame) -> np.ndarray:
    numbers = column.block(rows)
    return numbers[~np.isnan(numbers)] + np.float32(0)  # -0 is 0


class KeepFrequent(beam.DoFn):
    """Writes the texts of partitions that may have ids, and all numbers.

    Args:
        exchange: Where frames are written.
        schema: The schema as a dict.
    """

    def __init__(self, exchange: Exchange, schema: dict[str, Any]):
        self._exchange = exchange
        self._schema = schema

    def setup(self) -> None:
        self._tables = new_tables(Schema.from_dict(self._schema))

    def process(self, found: tuple[str, pl.DataFrame]) -> Iterator[Item]:
        key, counts = found
        kind, name, _ = json.loads(key)
        rest = 0
        if kind == "texts":
            table: Any = self._tables[name]
            kept = table.chosen(counts["value"], counts["count"].to_numpy())
            rest, counts = int(kept.counts[0]), _frame(kept)
        file = self._exchange.write_frame("counts", counts)
        yield {"kind": kind, "name": name, "rest": rest, "file": file}


def _frame(vocabulary: Vocabulary) -> pl.DataFrame:
    counts = {"value": vocabulary.values, "count": vocabulary.counts[1:]}
    return pl.DataFrame(counts)


def _join(
    found: tuple[int, Iterable[tuple[int, str]]],
    exchange: Exchange,
) -> Item:
    """Writes the numbers of a block in the order of its rows."""
    block, pieces = found
    parts = [read_arrays(exchange, file) for _, file in sorted(pieces)]
    columns = [np.concatenate(one) for one in zip(*parts, strict=True)]
    name = _write_arrays(exchange, "numbers", columns)
    return {"kind": "numbers", "block": block, "file": name}


def _write_arrays(
    exchange: Exchange, kind: str, arrays: list[np.ndarray]
) -> str:
    held = io.BytesIO()
    np.savez(held, *arrays)
    return exchange.write(kind, held.getvalue())


def read_arrays(exchange: Exchange, file: str) -> list[np.ndarray]:
    """The numbers of each measured column in a file of this pipeline."""
    with np.load(io.BytesIO(exchange.read(file))) as held:
        return list(held.values())


def vocabulary_of(
    exchange: Exchange, items: list[Item], max_values: int | None
) -> Vocabulary:
    """The vocabulary of a table from those of its partitions."""
    empty = pl.DataFrame(schema={"value": pl.String, "count": pl.Int64})
    frames = [exchange.read_frame(item["file"]) for item in items]
    counts = pl.concat([empty, *frames])
    found, _ = by_frequency(
        counts["value"], counts["count"].to_numpy(), 1, max_values
    )
    rest = sum(item["rest"] for item in items)
    found.counts[0] += rest
    return found


def borders_of(
    exchange: Exchange, items: list[Item], num_buckets: int
) -> np.ndarray:
    """The borders of a column's buckets from the counts of its numbers."""
    empty = pl.DataFrame(schema={"value": pl.Float32, "count": pl.Int64})
    frames = [exchange.read_frame(item["file"]) for item in items]
    counts = pl.concat([empty, *frames]).sort("value")
    return counted_borders(
        counts["value"].to_numpy(), counts["count"].to_numpy(), num_buckets
    )
