"""How often each id was seen, and how many lookups were hits."""

from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import one_of, shown
from keras_pss.layers.base.tables import Table, TableLayer
from keras_pss.ops import counting
from keras_pss.ops.hot_ids import index_dtype

Tensor = Any
MODES = ("auto", "exact", "sketch")
# Rows up to which "auto" counts each id by itself: 4 MiB of counters.
LARGEST_EXACT = 1 << 20
# Counters in a row of the sketch for each id that is to be found, at least.
# Half of them would cost 2 to 5 % of the hits of a power law.
WIDTH_OF_AN_ID = 16
LARGEST_WIDTH = 1 << 28
# Counts are halved before they could wrap around.
LARGEST_COUNT = 1 << 30


class IdCounter(TableLayer):
    """Counts of ids, each by itself or in a count-min sketch.

    A part of `HotRows`, which checks the ids.

    Args:
        input_dim: Number of ids.
        capacity: How many of the most counted ids are to be found.
        counts: `"auto"`, `"exact"` or `"sketch"`; see `HotRows`.
        sketch_width: Counters in each row of the sketch.
        **kwargs: Of `TableLayer`.

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
            # Hits and lookups, then their upper words.
            "hits": Table(4, 1, "zeros", dtype=word, aggregation="sum"),
        }

    def lookup_bytes(self) -> int:
        return 0  # a lookup reads no counter

    def add(self, ids: Tensor, amount: Tensor, hit: Tensor) -> None:
        """Counts `(n,)` int32 ids.

        Args:
            ids: Valid ids.
            amount: int32 `(n,)`: 1 for an id that counts, 0 for another.
            hit: Booleans `(n,)`: which ids are hot.
        """
        hits = ops.where(hit, amount, 0)
        both = ops.stack([ops.sum(hits), ops.sum(amount)])
        counting.add_at(self.hits_table, ops.arange(2, dtype="int32"), both)
        if self.sketch_width is not None:
            ids = counting.cells(ids, self.sketch_width)
            amount = ops.repeat(amount, counting.DEPTH)
        counting.add_at(self.counts_table, ids, amount)

    def estimates(self, ids: np.ndarray) -> np.ndarray:
        """Counts of ids; never too small, and exact without a sketch."""
        counts = counting.read(self.counts_table)
        return counting.estimates(counts, ids, self.sketch_width)

    def most_counted(self, held: np.ndarray) -> np.ndarray:
        """The `capacity` most counted ids, increasing; `held` win ties."""
        return counting.most_counted(
            counting.read(self.counts_table),
            self.input_dim,
            self.capacity,
            held,
            self.sketch_width,
        )

    def count_hits(self) -> tuple[int, int]:
        """Hits, and all lookups; exact if `settle` comes every 2^31 of them."""
        hits, lookups = counting.total(counting.read(self.hits_table))
        return hits, lookups

    def settle(self, decay: bool) -> None:
        """Makes room in the counters, on the host.

        Args:
            decay: Whether the counts of ids are halved even if none of them
                has grown large.
        """
        hits = counting.read(self.hits_table)
        counting.write(self.hits_table, counting.carried(hits))
        counts = counting.read(self.counts_table)
        if decay or counts.max() >= LARGEST_COUNT:
            counting.write(self.counts_table, counts >> 1)


def _checked_width(counts: str, width: int | None, capacity: int) -> int:
    """Width of the sketch, as given or by default."""
    one_of("counts", counts, MODES)
    if width is None:
        width = 1 << (WIDTH_OF_AN_ID * capacity - 1).bit_length()
        return min(width, LARGEST_WIDTH)
    if counts == "exact":
        raise ValueError(
            "`sketch_width` needs counts='sketch' or 'auto'. "
            f"Received: sketch_width={shown(width)}, counts={counts!r}"
        )
    ok = isinstance(width, int) and not isinstance(width, bool)
    if not ok or not 0 < width <= LARGEST_WIDTH or width & (width - 1):
        raise ValueError(
            f"`sketch_width` must be a power of two of at most "
            f"{LARGEST_WIDTH}. Leave it out to have one that fits "
            f"`capacity`. Received: sketch_width={shown(width)}"
        )
    return width
