"""Which rows of a block belong to which split, and where they are in it."""

import base64
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_pss.data.engines.beam.pipelines import Item
from keras_pss.data.storage.log_splits import Parts

Int64Array = npt.NDArray[np.int64]


class PartOfBlock(NamedTuple):
    """The rows of a block in one split.

    Attributes:
        split: Name of the split.
        first: Position of the first one in the split.
        rows: Indices in the block, ascending.
    """

    split: str
    first: int
    rows: Int64Array


def planned(
    blocks: Sequence[Item], starts: Sequence[int], parts: Parts
) -> Iterator[Item]:
    """Items with the frame of each block and its rows in all splits.

    Args:
        blocks: Items with `frame` and `rows`, in the order of the log.
        starts: Number of rows before each block.
        parts: Row numbers of each split.
    """
    for block, start in zip(blocks, starts, strict=True):
        stop = start + block["rows"]
        if start < stop:
            yield {
                "frame": block["frame"],
                "parts": {
                    name: _encoded(rows, start, stop)
                    for name, rows in parts.items()
                },
            }


def _encoded(
    rows: range | Int64Array, start: int, stop: int
) -> list[int | str]:
    if isinstance(rows, range):
        first = min(max(start, rows.start), rows.stop)
        last = max(min(stop, rows.stop), first)
        return [first - rows.start, first - start, last - start]
    first, last = np.searchsorted(rows, [start, stop]).tolist()
    held = np.zeros(stop - start, bool)
    held[rows[first:last] - start] = True
    bits = base64.b64encode(np.packbits(held).tobytes()).decode()
    return [first, stop - start, bits]


def parts_of(item: Item) -> list[PartOfBlock]:
    """The rows of a planned block in each split that has some."""
    found = []
    for name, (first, size, last) in item["parts"].items():
        if isinstance(last, str):
            bits = np.frombuffer(base64.b64decode(last), np.uint8)
            rows = np.flatnonzero(np.unpackbits(bits, count=size))
        else:
            rows = np.arange(size, last)
        if len(rows):
            found.append(PartOfBlock(name, first, rows))
    return found


def develop_rows(parts: Sequence[PartOfBlock]) -> Int64Array:
    """All rows except those for testing."""
    rows = [part.rows for part in parts if part.split != "test"]
    return np.concatenate([np.zeros(0, np.int64), *rows])
