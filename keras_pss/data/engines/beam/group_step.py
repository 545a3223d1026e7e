"""The pipeline that numbers groups in the order of their first rows."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import polars as pl

from keras_pss.data.engines.beam.counting import (
    MergeCounts,
    merged,
    partitions,
)
from keras_pss.data.engines.beam.exchange import Exchange
from keras_pss.data.engines.beam.pipelines import Item, Step


def group_step(exchange: Exchange, number: int) -> Step:
    """Finds the first row of each group.

    Args:
        exchange: Where frames are read and written.
        number: Number of partitions.

    Returns:
        A step from items with `keys` and `start`, the row number of a block,
        to items with a `file` of columns value and count: a group and the
        number of its first row.
    """

    def step(blocks: Any) -> Any:
        firsts = blocks | "firsts" >> beam.FlatMap(_firsts, exchange, number)
        return merged(firsts, MergeCounts(least=True)) | "write" >> beam.Map(
            _write, exchange
        )

    return step


def _firsts(item: Item, exchange: Exchange, number: int) -> Iterator[Any]:
    keys = exchange.read_frame(item["keys"])
    firsts = (
        keys.select(value="group")
        .with_columns(count=item["start"] + pl.int_range(pl.len()))
        .group_by("value")
        .agg(pl.col("count").min().cast(pl.Int64))
    )
    yield from partitions("group", "", firsts, number)


def _write(found: tuple[str, pl.DataFrame], exchange: Exchange) -> Item:
    return {"file": exchange.write_frame("groups", found[1])}


def in_order(exchange: Exchange, items: list[Item]) -> pl.DataFrame:
    """All groups in the order of their first rows, as a column value."""
    firsts = pl.concat([exchange.read_frame(i["file"]) for i in items])
    return firsts.sort("count").select("value")
