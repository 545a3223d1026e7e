"""A trained table, which is read in blocks of rows, and the weights of rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

# Numbers of a block: 8 MiB of float64.
BLOCK_NUMBERS = 1 << 20
# Weight of an id that never occurs, as a share of the mean count. A bucket of
# such ids alone then has their mean, and no other fit changes.
_UNSEEN = 1e-6


class RowBlock(NamedTuple):
    """Consecutive rows of a table.

    Attributes:
        ids: Ids, int64 `(n,)`.
        rows: Floats `(n, width)`, zeros where they are hidden.
        weights: Their weights in a fit, float64 `(n,)`.
    """

    ids: np.ndarray
    rows: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class TrainedTable:
    """A table of which only a few rows are in memory at a time.

    Attributes:
        read: Function of the first id and of the id behind the last one that
            returns their rows, floats `(n, width)`.
        rows, width: The shape.
        counts: Numbers of occurrences of the ids, `(rows,)`; None if unknown.
        hidden: Ascending ids whose rows a fit ignores: they have no weight,
            and are zero except in `read`. What an id has of its own may come
            from there, in case that it is not ignored later.
        unseen: Weight of an id that never occurs. Defaults to a share of the
            mean count.
        start_pass: Function that returns what a pass over all blocks calls
            with the number of rows that it has read.
    """

    read: Callable[[int, int], np.ndarray]
    rows: int
    width: int
    counts: np.ndarray | None = None
    hidden: np.ndarray | None = None
    unseen: float | None = None
    start_pass: Callable[[int], Callable[[int], None]] | None = None

    @property
    def step(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK_NUMBERS // self.width)

    @cached_property
    def _unseen(self) -> float:
        if self.unseen is not None or self.counts is None:
            return self.unseen or 0.0
        return _UNSEEN * float(np.mean(self.counts, dtype=np.float64)) or 1.0

    def weights(self, begin: int, end: int) -> np.ndarray:
        """Weights of ids in a fit, float64."""
        if self.counts is None:
            found = np.ones(end - begin)
        else:
            found = self.counts[begin:end].astype(np.float64) + self._unseen
        found[self._hidden_places(begin, end)] = 0
        return found

    def _hidden_places(self, begin: int, end: int) -> np.ndarray:
        if self.hidden is None:
            return np.zeros(0, np.int64)
        low, high = np.searchsorted(self.hidden, [begin, end])
        return self.hidden[low:high] - begin

    def at(self, begin: int, end: int) -> np.ndarray:
        """Rows of consecutive ids, zeros where they are hidden."""
        rows = self.read(begin, end)
        places = self._hidden_places(begin, end)
        if len(places):
            rows = np.array(rows)
            rows[places] = 0
        return rows

    def blocks(self, step: int | None = None) -> Iterator[RowBlock]:
        """All rows, in blocks of ascending ids.

        Args:
            step: Rows of a block. Defaults to a few megabytes.
        """
        step = step or self.step
        report = None
        if self.start_pass is not None:
            report = self.start_pass(self.rows)
        for begin in range(0, self.rows, step):
            end = min(begin + step, self.rows)
            yield RowBlock(
                np.arange(begin, end),
                self.at(begin, end),
                self.weights(begin, end),
            )
            if report is not None:
                report(end)

    def take(self, ids: np.ndarray) -> np.ndarray:
        """Rows of any ids, float32 or wider, `(len(ids), width)`."""
        order = np.argsort(ids, kind="stable")
        ascending = np.asarray(ids)[order]
        found = None
        begin = 0
        while begin < len(ascending):
            first = int(ascending[begin])
            end = int(np.searchsorted(ascending, first + self.step))
            read = self.at(first, int(ascending[end - 1]) + 1)
            if found is None:
                found = np.zeros((len(ascending), self.width), read.dtype)
            found[order[begin:end]] = read[ascending[begin:end] - first]
            begin = end
        if found is None:
            return np.zeros((0, self.width), np.float32)
        return found

    def smoothed(self) -> "TrainedTable":
        """The same table, with the mean count added to each count."""
        if self.counts is None:
            return self
        mean = float(np.mean(self.counts, dtype=np.float64))
        return replace(self, unseen=mean or 1.0)

    def hiding(self, ids: np.ndarray) -> "TrainedTable":
        """The same table, without some ids."""
        every = np.asarray(ids, np.int64)
        if self.hidden is not None:
            every = np.union1d(self.hidden, every)
        return replace(self, hidden=np.sort(every))

    def between(self, begin: int, end: int) -> "TrainedTable":
        """The rows of the ids `[begin, end)`, as a table."""

        def read(first: int, last: int) -> np.ndarray:
            return self.read(begin + first, begin + last)

        counts = None if self.counts is None else self.counts[begin:end]
        hidden = self._hidden_places(begin, end)
        return replace(
            self,
            read=read,
            rows=end - begin,
            counts=counts,
            hidden=hidden,
            # The rare ids may be those that never occur.
            unseen=self._unseen,
        )

    def mapped(self, matrix: np.ndarray) -> "TrainedTable":
        """The table times a matrix, `(width, k)`."""

        def read(begin: int, end: int) -> np.ndarray:
            rows = self.read(begin, end)
            return np.asarray(rows @ matrix, rows.dtype)

        return replace(self, read=read, width=matrix.shape[1])

    def first_rows(self, limit: int, row: np.ndarray) -> "TrainedTable":
        """The first ids, where id 0 stands for all others.

        Args:
            limit: Integer, the number of ids.
            row: The row of id 0, which then has the counts of all others.
        """

        def read(begin: int, end: int) -> np.ndarray:
            rows = self.read(begin, end)
            if begin == 0:
                rows = np.array(rows)
                rows[0] = row
            return rows

        counts = self.counts
        if counts is not None:
            more = float(counts[limit:].sum(dtype=np.float64))
            counts = counts[:limit].astype(np.float64)
            counts[0] += more
        return replace(self, read=read, rows=limit, counts=counts)


def shared_row(table: TrainedTable, limit: int = 1) -> np.ndarray:
    """The best row, float64 `(width,)`, of id 0 and the ids from a limit on.

    It is their mean, weighted by counts.
    """
    total, mass = np.zeros(table.width), 0.0
    parts = [table.between(0, 1)]
    if limit < table.rows:
        parts.append(table.between(limit, table.rows))
    for part in parts:
        for block in part.blocks():
            total += block.weights @ block.rows
            mass += float(block.weights.sum())
    return total / mass if mass else total
