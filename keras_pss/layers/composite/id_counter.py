"""Counts the occurrences of each id, and the lookups of hot ids."""

from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import one_of, shown
from keras_pss.layers.base.tables import Table, TableLayer
from keras_pss.ops import counting
from keras_pss.ops.hot_ids import index_dtype

Tensor = Any
MODES = ("auto", "exact", "sketch")
# Up to this many ids, "auto" keeps one counter for each id: 4 MiB.
LARGEST_EXACT = 1 << 20
# Least number of counters in a row of the sketch for each hot id. With half as
# many, 2 to 5 % of the hits of a power law would be lost.
WIDTH_OF_AN_ID = 16
LARGEST_WIDTH = 1 << 28
# From this count on, all counts are halved, to prevent overflow.
LARGEST_COUNT = 1 << 30


class IdCounter(TableLayer):
    """Counts ids, by one counter for each id or in a count-min sketch.

    It is a sub-layer of `HotRows`, which checks the ids.

    Args:
        input_dim: Integer, the number of ids.
        capacity: Integer, the number of most frequent ids to find.
        counts: `"auto"`, `"exact"` or `"sketch"`; see `HotRows`.
        sketch_width: Integer, the number of counters in each row of the
            sketch.
        **kwargs: Further arguments of `TableLayer`.

    Memory: no parameters; 16 bytes, and `4 * input_dim` or
        `16 * sketch_width`.
    """

    def __init__(
        self,
        input_dim: int,
        capacity: int,
        counts: str = "auto",
        sketch_width: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.capacity = capacity
        width = _checked_width(counts, sketch_width, capacity)
        if counts == "auto":
            largest = max(LARGEST_EXACT, counting.DEPTH * width)
            counts = "exact" if input_dim <= largest else "sketch"
        self.counts = counts
        self.sketch_width = width if counts == "sketch" else None

    def tables(self) -> dict[str, Table]:
        size = self.input_dim
        if self.sketch_width is not None:
            size = counting.DEPTH * self.sketch_width
        word = index_dtype()
        return {
            "counts": Table(size, 1, "zeros", dtype=word, aggregation="sum"),
            # The low words of hits and lookups, then their high words.
            "hits": Table(4, 1, "zeros", dtype=word, aggregation="sum"),
        }

    def lookup_bytes(self) -> int:
        return 0  # a lookup reads no counter

    def add(self, ids: Tensor, amount: Tensor, hit: Tensor) -> None:
        """Counts `(n,)` int32 ids.

        Args:
            ids: Valid ids.
            amount: int32 `(n,)`, 1 for an id to count and 0 for another.
            hit: Booleans `(n,)`, True for hot ids.
        """
        hits = ops.where(hit, amount, 0)
        both = ops.stack([ops.sum(hits), ops.sum(amount)])
        counting.add_at(self.hits_table, ops.arange(2, dtype="int32"), both)
        if self.sketch_width is not None:
            ids = counting.cells(ids, self.sketch_width)
            amount = ops.repeat(amount, counting.DEPTH)
        counting.add_at(self.counts_table, ids, amount)

    def estimates(self, ids: np.ndarray) -> np.ndarray:
        """Counts of ids; exact without a sketch, else never too small."""
        counts = counting.read(self.counts_table)
        return counting.estimates(counts, ids, self.sketch_width)

    def most_counted(self, held: np.ndarray) -> np.ndarray:
        """The `capacity` most frequent ids, ascending.

        Args:
            held: Array of the hot ids, which win ties.
        """
        return counting.most_counted(
            counting.read(self.counts_table),
            self.input_dim,
            self.capacity,
            held,
            self.sketch_width,
        )

    def count_hits(self) -> tuple[int, int]:
        """Numbers of hits and of all lookups.

        They are exact if `prevent_overflow` is called at least every 2^31
        lookups.
        """
        hits, lookups = counting.total(counting.read(self.hits_table))
        return hits, lookups

    def prevent_overflow(self, decay: bool) -> None:
        """Keeps the counters below their limits; runs on the host.

        Args:
            decay: Boolean, whether to halve the counts of all ids even if no
                count is large.
        """
        hits = counting.read(self.hits_table)
        counting.write(self.hits_table, counting.carried(hits))
        counts = counting.read(self.counts_table)
        if decay or counts.max() >= LARGEST_COUNT:
            counting.write(self.counts_table, counts >> 1)


def _checked_width(counts: str, width: int | None, capacity: int) -> int:
    """Checks the width of the sketch, or computes the default."""
    one_of("counts", counts, MODES)
    if width is None:
        width = 1 << (WIDTH_OF_AN_ID * capacity - 1).bit_length()
        return min(width, LARGEST_WIDTH)
    if counts == "exact":
        raise ValueError(
            "`sketch_width` requires counts='sketch' or 'auto'. "
            f"Received: sketch_width={shown(width)}, counts={counts!r}"
        )
    ok = isinstance(width, int) and not isinstance(width, bool)
    if not ok or not 0 < width <= LARGEST_WIDTH or width & (width - 1):
        raise ValueError(
            f"`sketch_width` must be a power of two of at most "
            f"{LARGEST_WIDTH}. Leave it out to derive it from "
            f"`capacity`. Received: sketch_width={shown(width)}"
        )
    return width
