"""Uncompressed rows for a few frequent ids of a large table."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import LARGEST_DIM, positive_int
from keras_pss.layers.base.tables import Table, TableLayer
from keras_pss.ops import counting, gather, hot_ids

Tensor = Any


class HotRowsChange(NamedTuple):
    """The result of a refresh of hot rows.

    Attributes:
        kept: Ids that were hot and stay hot; they keep their learned rows.
        added: Ids that became hot.
        evicted: Ids that are no longer hot; their learned rows are discarded.
        slots: Indices of the rows that were filled or emptied.
    """

    kept: np.ndarray
    added: np.ndarray
    evicted: np.ndarray
    slots: np.ndarray


class HotTable(TableLayer):
    """A small table of rows, and the id of each row.

    It is a sub-layer of `HotRows` and `HotGroup`, which check the ids. A row
    without an id is zero.

    Args:
        capacity: Integer, the number of rows.
        output_dim: Integer d, the length of a row.
        wide: Boolean, whether ids have two words. Defaults to False.
        columns: Integer, the number of ids that a lookup reads together.
            Defaults to 1.
        **kwargs: Further arguments of `TableLayer`.

    Memory: `capacity * output_dim` parameters, and `8 * capacity` bytes of
        index tables, or `12 * capacity` if ids have two words.
    """

    def __init__(
        self,
        capacity: int,
        output_dim: int,
        wide: bool = False,
        columns: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(embeddings_initializer="zeros", **kwargs)
        self.capacity = capacity
        self.output_dim = output_dim
        self.wide = wide
        self.columns = columns

    def tables(self) -> dict[str, Table]:
        size, word = self.capacity, hot_ids.index_dtype()
        found = {
            "hot": Table(size, self.output_dim, self.embeddings_initializer),
            "ids": Table(size, 1, hot_ids.no_ids, whole=True, dtype=word),
            "slots": Table(size, 1, hot_ids.all_slots, dtype=word),
        }
        if self.wide:
            found["upper"] = Table(
                size, 1, hot_ids.no_ids, whole=True, dtype=word
            )
        return found

    def lookup_bytes(self) -> int:
        # Add the ids that the binary search reads.
        searched = 4 * (1 + self.wide) * self.capacity.bit_length()
        return self.columns * (super().lookup_bytes() + searched)

    def find(
        self, ids: Tensor, high: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Slots of `(n,)` ids, and booleans that are True for hot ids.

        Args:
            ids: Ids, or int32 lower words.
            high: int32 upper words, if ids have two words.
        """
        slots = ops.reshape(counting.signed(self.slots_table), (-1,))
        held = ops.reshape(counting.signed(self.ids_table), (-1,))
        if high is None:
            # Ids of any dtype are below 2^31 here.
            place, hit = hot_ids.find(held, ops.cast(ids, "int32"))
        else:
            upper = ops.reshape(counting.signed(self.upper_table), (-1,))
            place, hit = hot_ids.find_wide((held, upper), (ids, high))
        return gather.take(slots, place), hit

    def lookup(self, slots: Tensor) -> Tensor:
        """Rows of shape `(n, output_dim)` for `(n,)` slots."""
        return self.gather_rows("hot", slots)

    def ids(self) -> np.ndarray:
        """The hot ids, in ascending order."""
        if not self.wide:
            return hot_ids.held(counting.read(self.ids_table))
        ids = counting.joined(
            *(counting.read(table) for table in self._id_tables())
        )
        return ids[ids < hot_ids.WIDE_PADDING]

    def _id_tables(self) -> list[Any]:
        return [self.ids_table, *([self.upper_table] if self.wide else [])]

    def reassign(
        self, wanted: np.ndarray, fill: Callable[[np.ndarray], np.ndarray]
    ) -> HotRowsChange:
        """Assigns the rows to a new set of ids.

        Ids that were hot before keep their rows.

        Args:
            wanted: Array of at most `capacity` distinct ids.
            fill: Function from `(n,)` ids to the `(n, output_dim)` initial
                rows of added ids.
        """
        held = self.ids()
        padding = hot_ids.WIDE_PADDING if self.wide else hot_ids.PADDING
        move = hot_ids.moved(
            held, counting.read(self.slots_table), wanted, padding
        )
        rows = np.array(ops.convert_to_numpy(self.hot_table))
        rows[move.emptied] = 0
        if len(move.added):
            # Pad to a power of two, since JAX compiles each operation again
            # for each number of ids.
            size = 1 << (len(move.added) - 1).bit_length()
            padded = np.resize(move.added, size)
            rows[move.filled] = fill(padded)[: len(move.added)]
        self.hot_table.assign(rows)
        words = counting.divided(move.ids, self.wide)
        for table, word in zip(self._id_tables(), words, strict=True):
            counting.write(table, word)
        counting.write(self.slots_table, move.slots)
        return HotRowsChange(
            kept=np.intersect1d(held, wanted),
            added=move.added,
            evicted=np.setdiff1d(held, wanted),
            slots=np.append(move.filled, move.emptied),
        )

    def replace(
        self, wanted: np.ndarray, fill: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        """Assigns all rows anew, also those of ids that were hot before.

        Args: See `reassign`.
        """
        self.reassign(wanted[:0], fill)
        self.reassign(wanted, fill)


def default_capacity(
    capacity: int | None,
    input_dim: int | None,
    largest: int,
    share: int = 1000,
) -> int:
    """Number of hot rows; by default a thousandth of all rows.

    Args:
        capacity: Integer, or None for the default.
        input_dim: Integer, the number of rows of the whole table; None for an
            open vocabulary.
        largest: Integer, the upper bound on the default.
        share: Integer; the default is at most one of so many rows.
    """
    if capacity is None:
        rows = LARGEST_DIM if input_dim is None else input_dim // share
        return max(1, min(rows, largest))
    return checked_capacity(capacity, input_dim)


def checked_capacity(capacity: int, input_dim: int | None) -> int:
    """Checks that the number of hot rows is at most that of all rows."""
    positive_int("capacity", capacity, LARGEST_DIM)
    if input_dim is not None and capacity > input_dim:
        raise ValueError(
            "`capacity` must be at most `input_dim`. To make all rows hot, "
            "use keras_pss.FullEmbedding. "
            f"Received: capacity={capacity}, input_dim={input_dim}"
        )
    return capacity


def checked_ids(ids: Any, capacity: int, input_dim: int | None) -> np.ndarray:
    """Checks distinct ids of a table, and sorts them in ascending order."""
    given = np.asarray(ids)
    ok = given.ndim == 1 and (given.dtype.kind in "iu" or not given.size)
    found = np.unique(given) if ok else given
    if not ok or len(found) < len(given) or len(found) > capacity:
        raise ValueError(
            "`ids` must be a list of distinct integers, at most `capacity` "
            "of them. Leave `ids` out to use the most frequent ids. Received: "
            f"{given.dtype} ids of shape {given.shape}, capacity={capacity}"
        )
    rows = hot_ids.WIDE_LIMIT if input_dim is None else input_dim
    if found.size and not 0 <= found[0] <= found[-1] < rows:
        raise ValueError(
            f"`ids` must be in [0, input_dim) = [0, {rows}). "
            f"Received: ids from {found[0]} to {found[-1]}"
        )
    return found.astype(np.int64 if input_dim is None else np.int32)
