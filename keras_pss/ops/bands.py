"""Bands of ids by popularity: which row of which table an id has.

The ids of a table are sorted by frequency. Band 0 has the most frequent ids,
band 1 the next ones, and so on; each band is one table of rows, in which the
bands of several embedding tables are stacked. An id beyond the last band has
the row of id 0, a hashed row after those of the last band, or none here.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from keras_pss.ops import hashing

Tensor = Any


@dataclass(frozen=True)
class Bands:
    """Bands of one embedding table, or of several.

    Attributes:
        limits: For each band the first id beyond it, one for each table.
        numbers: Numbers of the tables, which the hash depends on.
        columns: Index of the table of each column of the ids; None for ids
            `(n,)` of a single table.
        buckets: Number of hashed rows after those of the last band; 0 if ids
            beyond it have the row of id 0.
        seed, family: Seed and family of the hash.
        tail_apart: Whether ids beyond the last band are in no band, since
            they have rows elsewhere.
    """

    limits: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...] = (0,)
    columns: tuple[int, ...] | None = None
    buckets: int = 0
    seed: int = 0
    family: str = "pss1"
    tail_apart: bool = False

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of rows of each band and table, int64 (bands, tables)."""
        limits = np.array(self.limits, np.int64)
        return np.diff(limits, axis=0, prepend=0)

    def rows(self, band: int) -> int:
        """Number of rows of a band's table."""
        last = band == len(self.limits) - 1
        return int(self.sizes[band].sum()) + self.buckets * last

    def address(
        self, ranks: Tensor, ids: Tensor
    ) -> list[tuple[Tensor, Tensor | None]]:
        """The row of each id in each band.

        Args:
            ranks: Ranks of the ids by frequency, `(n,)`, or `(..., F)` with
                `columns`. They are the ids where those are sorted.
            ids: Valid ids of the same shape, which are hashed.

        Returns:
            For each band, integers of the shape of the ids, and booleans that
            are true where the id is in the band; None instead of them for a
            single band which has all ids.
        """
        kept = ranks < self._of(self.limits[-1], ids)
        if not self.buckets and not self.tail_apart:
            ranks = ops.where(kept, ranks, ops.zeros_like(ranks))
        found: list[tuple[Tensor, Tensor | None]] = []
        low = np.zeros_like(self.sizes[0])
        for band, high in enumerate(self.limits):
            firsts = np.cumsum(self.sizes[band]) - self.sizes[band]
            index = ranks + self._of(firsts - low, ids)
            last = band == len(self.limits) - 1
            inside = None
            if len(self.limits) > 1 or self.tail_apart:
                inside = ranks >= self._of(low, ids)
                if not last or self.tail_apart:
                    inside = inside & (ranks < self._of(high, ids))
                index = ops.where(inside, index, ops.zeros_like(index))
            if last and self.buckets:
                index = ops.where(kept, index, self._hashed(ids, index))
            found.append((index, inside))
            low = np.array(high)
        return found

    def beyond(self, ranks: Tensor) -> Tensor:
        """Booleans that are true for ids beyond the last band."""
        return ranks >= self._of(self.limits[-1], ranks)

    def _hashed(self, ids: Tensor, index: Tensor) -> Tensor:
        """The hashed rows of ids."""
        numbers: Any = self.numbers[0]
        if self.columns is not None:
            numbers = [self.numbers[column] for column in self.columns]
        hashed = hashing.starts(
            ids,
            self.buckets,
            seed=self.seed,
            table=numbers,
            family=self.family,
        )[..., 0]
        first = int(self.sizes[-1].sum())
        return ops.cast(hashed, index.dtype) + ops.cast(first, index.dtype)

    def _of(self, values: Any, ids: Tensor) -> Tensor:
        """A number for each table, as one for each column of the ids."""
        each = np.asarray(values, np.int64).astype(np.int32)
        if self.columns is None:
            return ops.cast(int(each[0]), ids.dtype)
        return ops.cast(
            ops.convert_to_tensor(each[list(self.columns)]), ids.dtype
        )
