"""Counts values over all blocks, by partitions that fit into a worker.

A block gives each partition a frame of its distinct values with their counts.
Frames are merged pairwise, in any order, as `CombinePerKey` demands: no worker
holds more than the distinct values of one partition.
"""

import json
from collections.abc import Iterable, Iterator
from zlib import crc32

import apache_beam as beam
import numpy as np
import polars as pl

# Of partitions: a kind, the name of a table or column, and a number, as JSON.
Key = str

_WAITING = 1 << 16  # rows of frames that wait to be merged


def key_of(kind: str, name: str, number: int) -> Key:
    return json.dumps([kind, name, number])


def partitions(
    kind: str, name: str, counts: pl.DataFrame, number: int
) -> Iterator[tuple[Key, pl.DataFrame]]:
    """Divides counts by their values.

    Args:
        kind, name: What is counted.
        counts: Columns value, String or Float32, and count, Int64.
        number: Number of partitions.
    """
    if number == 1:
        yield key_of(kind, name, 0), counts
        return
    places = _places(counts["value"], number)
    for place in np.unique(places).tolist():
        held = counts.filter(pl.Series(places == place))
        yield key_of(kind, name, place), held


def _places(values: pl.Series, number: int) -> np.ndarray:
    # Polars' hashes need not be the same on all machines.
    if values.dtype == pl.String:
        hashes = [crc32(text.encode()) for text in values]
        return np.array(hashes, np.uint32) % number
    return values.to_numpy().view(np.uint32) % number


def counted(values: pl.Series) -> pl.DataFrame:
    """Distinct values and their counts."""
    frame = values.alias("value").to_frame()
    return frame.group_by("value").agg(count=pl.len().cast(pl.Int64))


class MergeCounts(beam.CombineFn):
    """Adds the counts of equal values.

    Args:
        least: Whether to keep the least count instead, such as the number of
            the first row with a value. Default: False.
    """

    def __init__(self, least: bool = False):
        self._least = least

    def create_accumulator(self) -> list[pl.DataFrame]:
        return []

    def add_input(
        self, held: list[pl.DataFrame], frame: pl.DataFrame
    ) -> list[pl.DataFrame]:
        held.append(frame)
        if sum(map(len, held[1:])) > max(_WAITING, len(held[0])):
            held = [self._merged(held)]
        return held

    def merge_accumulators(
        self, several: Iterable[list[pl.DataFrame]]
    ) -> list[pl.DataFrame]:
        merged: list[pl.DataFrame] = []
        for held in several:
            for frame in held:
                merged = self.add_input(merged, frame)
        return merged

    def compact(self, held: list[pl.DataFrame]) -> list[pl.DataFrame]:
        return [self._merged(held)] if held else held

    def extract_output(self, held: list[pl.DataFrame]) -> pl.DataFrame:
        return self._merged(held)

    def _merged(self, held: list[pl.DataFrame]) -> pl.DataFrame:
        count = pl.col("count")
        count = count.min() if self._least else count.sum()
        return pl.concat(held).group_by("value").agg(count)
