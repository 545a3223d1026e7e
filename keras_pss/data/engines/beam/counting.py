"""Counts values over all blocks, by partitions that fit into a worker.

A block gives each partition a frame of its distinct values with their counts.
A worker merges some of them before it passes them on, and the frames of a
partition are merged in any order: no worker holds more than the distinct values
of one partition, or `HELD_ROWS` of all.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

import apache_beam as beam
import numpy as np
import polars as pl
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

# Of partitions: a kind, the name of a table or column, and a number, as JSON.
Key = str

_WAITING = 1 << 16  # rows of frames that wait to be merged
HELD_ROWS = 1 << 22  # distinct values that a worker merges before it passes on


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

    def size(self, held: list[pl.DataFrame]) -> int:
        """Number of the rows of all frames."""
        return sum(map(len, held))

    def _merged(self, held: list[pl.DataFrame]) -> pl.DataFrame:
        count = pl.col("count")
        count = count.min() if self._least else count.sum()
        return pl.concat(held).group_by("value").agg(count)


class MergeSome(beam.DoFn):
    """Merges the counts of a worker's blocks, and so passes on fewer.

    Beam's own combiners would hold all counts of a bundle, which may be most
    of a log.

    Args:
        merge: What merges.
    """

    def __init__(self, merge: MergeCounts):
        self._merge = merge

    def start_bundle(self) -> None:
        self._held: dict[Key, list[pl.DataFrame]] = {}
        self._size = 0

    def process(
        self, found: tuple[Key, pl.DataFrame]
    ) -> Iterator[tuple[Key, pl.DataFrame]]:
        key, frame = found
        held = self._held.pop(key, [])
        self._size -= self._merge.size(held)
        self._held[key] = held = self._merge.add_input(held, frame)
        self._size += self._merge.size(held)
        if self._size > HELD_ROWS:
            yield from self._passed_on()

    def finish_bundle(self) -> Iterator[Any]:
        for pair in self._passed_on():
            yield WindowedValue(
                pair, GlobalWindow().max_timestamp(), [GlobalWindow()]
            )

    def _passed_on(self) -> Iterator[tuple[Key, pl.DataFrame]]:
        for key, held in self._held.items():
            yield key, self._merge.extract_output(held)
        self.start_bundle()


def merged(counts: Any, merge: MergeCounts) -> Any:
    """From pairs of a partition and counts to one pair for each partition."""
    return (
        counts
        | "some" >> beam.ParDo(MergeSome(merge))
        | "of a partition" >> beam.GroupByKey()
        | "sum" >> beam.CombineValues(merge)
    )
