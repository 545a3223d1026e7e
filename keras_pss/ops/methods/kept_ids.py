"""Ranks of ids by an index, where a vocabulary is not sorted by frequency.

The index holds the ids that have a row, those of each band and table in
increasing order: first the first band of all tables, then the next band. The
place of an id within its band and table takes the part of the rank that the id
itself has where ids are sorted by frequency. So a row costs one integer of
four bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

Tensor = Any


@dataclass(frozen=True)
class KeptIds:
    """The layout of the index of one table, or of several.

    Attributes:
        limits: For each band the first rank beyond it, one for each table.
        columns: Index of the table of each column of the ids; None for ids
            `(n,)` of a single table.
        indexed: For each table, whether its kept ids are in the index. The
            ids of the others are ranks.
    """

    limits: tuple[tuple[int, ...], ...]
    columns: tuple[int, ...] | None
    indexed: tuple[bool, ...]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Entries of each band and table, int64 (bands, tables).

        Id 0 has rank 0, and no entry.
        """
        sizes = np.diff(np.array(self.limits, np.int64), axis=0, prepend=1)
        return sizes * np.array(self.indexed)

    @property
    def size(self) -> int:
        return int(self.sizes.sum())

    def index(self, kept: Sequence[Any]) -> np.ndarray:
        """The index as an int32 array.

        Args:
            kept: For each table the ids that have a row, the most frequent
                ones first, without id 0; None for the lowest ids.
        """
        found = []
        for band, sizes in enumerate(self.sizes):
            for table, size in enumerate(sizes):
                begin = max(1, self.limits[band - 1][table]) if band else 1
                ids = kept[table]
                if ids is None:
                    part = np.arange(begin, begin + size)
                else:
                    part = np.sort(np.asarray(ids)[begin - 1 :][:size])
                found.append(part.astype(np.int32))
        return np.concatenate(found)

    def kept(self, index: np.ndarray) -> list[Any]:
        """The argument of `index`, up to the order within bands."""
        found: list[Any] = [[] if each else None for each in self.indexed]
        ends = np.cumsum(self.sizes)[:-1]
        parts = np.split(np.asarray(index).reshape(-1), ends)
        for place, part in enumerate(parts):
            table = place % len(self.indexed)
            if self.indexed[table]:
                found[table].append(part)
        return [
            each if each is None else np.concatenate(each) for each in found
        ]

    def ranks(self, ids: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """The rank of each id; at least the last limit if it has no row.

        Args:
            ids: Valid ids, `(n,)`, or `(..., F)` with `columns`.
            read: Function that reads the index at given positions.
        """
        missing = self._of(self.limits[-1], ids)
        ranks = ops.where(ops.equal(ids, 0), ids, missing)
        first, low = 0, np.ones_like(self.sizes[0])
        for band, sizes in enumerate(self.sizes):
            if sizes.any():
                firsts = first + np.cumsum(sizes) - sizes
                place, hit = self._search(ids, firsts, sizes, read)
                ranks = ops.where(hit, place + self._of(low, ids), ranks)
            first += int(sizes.sum())
            low = np.array(self.limits[band])
        if all(self.indexed):
            return ranks
        apart = ops.not_equal(self._of(np.array(self.indexed), ids), 0)
        return ops.where(apart, ranks, ids)

    def _search(
        self,
        ids: Tensor,
        firsts: np.ndarray,
        sizes: np.ndarray,
        read: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Place of each id among the sorted ones of its table, and if it is.

        A binary search in steps of powers of two, the largest first, for all
        columns at once.
        """
        first, size = self._of(firsts, ids), self._of(sizes, ids)
        end = ops.maximum(size - 1, 0)

        def entry(place: Tensor) -> Tensor:
            # A table without entries may be the last one.
            inside = first + ops.minimum(place, end)
            inside = ops.minimum(inside, self.size - 1)
            return ops.cast(read(inside), ids.dtype)

        below = ops.zeros_like(ids)
        step = 1 << (int(sizes.max()).bit_length() - 1)
        while step:
            last = below + (step - 1)
            smaller = ops.logical_and(last < size, entry(last) < ids)
            below = ops.where(smaller, below + step, below)
            step //= 2
        hit = ops.logical_and(below < size, ops.equal(entry(below), ids))
        return below, hit

    def _of(self, values: Any, ids: Tensor) -> Tensor:
        """A number for each table, as one for each column of the ids."""
        each = np.asarray(values, np.int64).astype(np.int32)
        if self.columns is None:
            return ops.cast(int(each[0]), ids.dtype)
        return ops.cast(
            ops.convert_to_tensor(each[list(self.columns)]), ids.dtype
        )
