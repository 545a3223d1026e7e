"""What a table and a collection with hot rows have in common."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import boolean
from keras_pss.layers.base.updates import Replaced
from keras_pss.layers.composite.hot.hot_table import HotRowsChange, HotTable
from keras_pss.layers.composite.hot.id_counter import IdCounter
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.hot_ids import WIDE_LIMIT

Tensor = Any

# Number of refreshes in an epoch. The first comes after a tenth of the epoch,
# as TT-Rec's warm-up; TT-Rec's refreshes are hundreds to thousands of steps
# apart.
REFRESHES = 10


class HotCache:
    """Rows of the most frequent ids, which it counts, finds and replaces.

    A class beside a `TableLayer`, whose constructor calls `_set_cache` and
    which defines `_cold_rows`. An id is known here by its key: an integer, in
    a step one or two int32 words.
    """

    name: str
    built: bool
    trainable: bool
    build: Callable[..., None]
    hot: HotTable
    counter: IdCounter
    output_dim: int
    embeddings_regularizer: Any
    embeddings_constraint: Any
    gradient: str
    dtype_policy: Any

    def _set_cache(
        self,
        rows: int | None,
        capacity: int,
        counts: str,
        sketch_width: int | None,
        decay: bool | None,
        wide: bool,
        columns: int = 1,
        row_dim: int | None = None,
    ) -> None:
        """Creates the table of hot rows and the counter.

        Args:
            rows: Integer, the number of keys; None if they are open.
            capacity, counts, sketch_width, decay: As in `HotRows`.
            wide: Boolean, whether keys have two words.
            columns: Integer, the number of ids that a lookup reads together.
            row_dim: Integer, the length of a hot row. Defaults to the layer's
                `output_dim`.
        """
        self.capacity = capacity
        # These are separate layers, so that Keras quantizes each of them.
        self.hot = HotTable(
            capacity,
            row_dim or self.output_dim,
            wide=wide,
            columns=columns,
            embeddings_regularizer=self.embeddings_regularizer,
            embeddings_constraint=self.embeddings_constraint,
            gradient=self.gradient,
            dtype=self.dtype_policy,
            name="hot",
        )
        self.counter = IdCounter(
            rows,
            capacity,
            counts,
            sketch_width,
            wide=wide,
            dtype=self.dtype_policy,
            name="counter",
        )
        self.counts = self.counter.counts
        self.sketch_width = self.counter.sketch_width
        if decay is None:
            decay = self.counts == "slots"
        self.decay = boolean("decay", decay)

    def _cold_rows(self, keys: np.ndarray) -> np.ndarray:
        """Rows that the layer has in memory for keys without hot rows."""
        raise NotImplementedError

    def _count(
        self,
        keys: tuple[Tensor, ...],
        amount: Tensor,
        hit: Tensor,
    ) -> None:
        """Counts the keys of a training step.

        Args:
            keys: Words of the keys, `(n,)`.
            amount: int32 `(n,)`, 0 for keys that do not count.
            hit: Booleans `(n,)`, True for hot keys.
        """
        low, *high = keys
        self.counter.add(ops.cast(low, "int32"), amount, hit, *high)

    def count_hits(self) -> tuple[int, int]:
        """Numbers of lookups of hot ids and of all lookups in training.

        They are exact if there is a refresh at least every 2^31 lookups.
        """
        self._ensure_built()
        return self.counter.count_hits()

    def learns(self) -> bool:
        """Whether training steps count ids and train hot rows."""
        return self.trainable and self.hot.trainable

    def _refresh(
        self, wanted: np.ndarray | None, decay: bool | None
    ) -> HotRowsChange:
        """Makes keys hot; by default the most frequent ones."""
        self._ensure_built()
        if self.hot.quantization_mode is not None:
            raise ValueError(
                f"Layer '{self.name}' is quantized, so its hot rows cannot "
                "change. Refresh them before `quantize`. "
                f"Received: dtype={self.hot.dtype_policy.name}"
            )
        if wanted is None:
            wanted = self.counter.most_counted(self.hot.ids())
            wanted = wanted[wanted < WIDE_LIMIT]
        if not self.hot.wide:
            wanted = wanted.astype(np.int32)
        change = self.hot.reassign(wanted, self._cold_rows)
        self.counter.prevent_overflow(self.decay if decay is None else decay)
        self.counter.mark(self.hot.ids())
        return change

    def refresh(
        self, ids: Any = None, decay: bool | None = None
    ) -> HotRowsChange:
        """See `HotRows.refresh`."""
        raise NotImplementedError

    def _fit_hot(
        self,
        tables: Sequence[TrainedTable],
        firsts: Sequence[int],
        rows: Callable[[np.ndarray], np.ndarray],
    ) -> list[TrainedTable]:
        """Gives the most frequent ids their trained rows.

        Without counts, the ids that are hot stay so.

        Args:
            tables: The trained tables.
            firsts: The key of id 0 of each table.
            rows: Function from keys `(n,)` to their rows.

        Returns:
            What is left for the layer below. Slots may evict a hot id soon,
            so that it is left there as well.
        """
        wanted = self.hot.ids()
        counts = [table.counts for table in tables]
        known = [each for each in counts if each is not None]
        if len(known) == len(tables):
            wanted = _most_frequent(known, firsts, self.capacity)
            if self.counts != "slots":
                self.counter.start(zip(firsts, known, strict=True))
        self.hot.replace(
            wanted if self.hot.wide else wanted.astype(np.int32), rows
        )
        self.counter.mark(self.hot.ids())
        if self.counts == "slots":
            return list(tables)
        found = []
        for table, first in zip(tables, firsts, strict=True):
            own = np.asarray(wanted, np.int64) - first
            own = own[(own >= 0) & (own < table.rows)]
            found.append(table.hiding(own))
        return found

    def _ensure_built(self) -> None:
        if not self.built:
            self.build()

    def after_step(self, step: int, steps_per_epoch: int) -> list[Replaced]:
        """Refreshes ten times an epoch, if the hot rows are trainable."""
        if not self.learns() or step % max(1, steps_per_epoch // REFRESHES):
            return []
        change = self.refresh()
        return [Replaced(self.hot.hot_table, change.slots)]


def _most_frequent(
    counts: Sequence[np.ndarray], firsts: Sequence[int], capacity: int
) -> np.ndarray:
    """The most frequent keys of all tables that occur at all, ascending."""
    keys, found = [], []
    for each, first in zip(counts, firsts, strict=True):
        order = np.argsort(-each.astype(np.float64), kind="stable")[:capacity]
        order = order[each[order] > 0]
        keys.append(order + first)
        found.append(each[order].astype(np.float64))
    every = np.concatenate(keys)
    best = np.argsort(-np.concatenate(found), kind="stable")[:capacity]
    return np.sort(every[best])
