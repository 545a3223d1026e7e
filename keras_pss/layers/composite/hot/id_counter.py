"""Counts the occurrences of each id, and the lookups of hot ids."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import LARGEST_DIM, one_of, shown
from keras_pss.layers.base.tables import Table, TableLayer
from keras_pss.ops import counting
from keras_pss.ops.hot_ids import index_dtype
from keras_pss.ops.sketches import replicas, slots

Tensor = Any
MODES = ("auto", "exact", "sketch", "slots")
# Up to this many ids, "auto" keeps one counter for each id: 4 MiB.
LARGEST_EXACT = 1 << 20
# Least number of counters in a row of the sketch for each hot id. With half as
# many, 2 to 5 % of the hits of a power law would be lost.
WIDTH_OF_AN_ID = 16
LARGEST_WIDTH = 1 << 28
# From this count on, all counts are halved, to prevent overflow.
LARGEST_COUNT = 1 << 30
# Words that count hits and lookups.
HITS = 4


class IdCounter(TableLayer):
    """Counts ids: one counter for each id, a count-min sketch, or slots.

    It is a sub-layer of `HotRows` and `HotGroup`, which check the ids.

    Args:
        input_dim: Integer, the number of ids; None for an open vocabulary,
            with slots.
        capacity: Integer, the number of most frequent ids to find.
        counts: `"auto"`, `"exact"`, `"sketch"` or `"slots"`; see `HotRows`.
        sketch_width: Integer, the number of counters in each row of the
            sketch, or the number of buckets of slots.
        wide: Boolean, whether ids have two words, with slots. Defaults to
            False.
        **kwargs: Further arguments of `TableLayer`.

    Memory: no parameters; 16 bytes, and `4 * input_dim`, `16 * sketch_width`
        or, with slots, `32 * sketch_width` (`48 * sketch_width` if ids have
        two words).
    """

    def __init__(
        self,
        input_dim: int | None,
        capacity: int,
        counts: str = "auto",
        sketch_width: int | None = None,
        wide: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.capacity = capacity
        self.wide = wide
        width = _checked_width(counts, sketch_width, capacity)
        if counts == "auto":
            largest = max(LARGEST_EXACT, counting.DEPTH * width)
            rows = LARGEST_DIM if input_dim is None else input_dim
            counts = "exact" if rows <= largest else "sketch"
        self.counts = counts
        self.sketch_width = None if counts == "exact" else width

    def tables(self) -> dict[str, Table]:
        word = index_dtype()
        # The low words of hits and lookups, then their high words.
        hits = _counters(HITS, word)
        if self.counts == "slots":
            return {**self._slots(), "hits": hits}
        size = self.input_dim or 0
        if self.sketch_width is not None:
            size = counting.DEPTH * self.sketch_width
        return {
            "counts": _counters(size, word),
            "hits": hits,
        }

    def _slots(self) -> dict[str, Table]:
        # Slots of several replicas cannot be added up: each replica adds the
        # ids of all of them, and gets the same slots.
        names = ["counts", "keys", *(["upper"] if self.wide else [])]
        fills: list[Any] = ["zeros", *(["zeros"] * self.wide), _empty]
        return {
            name: Table(
                self.sketch_width or 0,
                slots.SLOTS,
                fill,
                dtype=index_dtype(),
                aggregation="only_first_replica",
                training=True,
            )
            for name, fill in zip(names, fills, strict=True)
        }

    def lookup_bytes(self) -> int:
        return 0  # a lookup reads no counter

    def add(
        self,
        ids: Tensor,
        amount: Tensor,
        hit: Tensor,
        high: Tensor | None = None,
    ) -> None:
        """Counts `(n,)` int32 ids.

        Args:
            ids: Valid ids, or their lower words.
            amount: int32 `(n,)`, 1 for an id to count and 0 for another.
            hit: Booleans `(n,)`, True for hot ids.
            high: Upper words of the ids, if they have two.
        """
        hits = ops.where(hit, amount, 0)
        both = ops.stack([ops.sum(hits), ops.sum(amount)])
        counting.add_at(self.hits_table, ops.arange(2, dtype="int32"), both)
        if self.counts == "slots":
            self._add_to_slots((ids,) if high is None else (ids, high), amount)
            return
        if self.sketch_width is not None:
            ids = counting.cells(ids, self.sketch_width)
            amount = ops.repeat(amount, counting.DEPTH)
        counting.add_at(self.counts_table, ids, amount)

    def start(self, counts: Iterable[tuple[int, np.ndarray]]) -> None:
        """Replaces the counts by known ones; not with slots.

        Args:
            counts: The first of consecutive keys, and their counts `(n,)`. If
                the sum of all is large, shares of them.
        """
        given = [
            (first, np.asarray(each, np.float64)) for first, each in counts
        ]
        total = sum(float(each.sum()) for _, each in given)
        share = min(1.0, LARGEST_COUNT / total) if total else 0.0
        hits = counting.read(self.hits_table)
        counting.write(self.counts_table, 0 * counting.read(self.counts_table))
        for first, each in given:
            for begin in range(0, len(each), counting.BLOCK):
                amount = each[begin : begin + counting.BLOCK] * share
                keys = first + begin + np.arange(len(amount))
                self.add(
                    ops.convert_to_tensor(keys.astype(np.int32)),
                    ops.convert_to_tensor(amount.astype(np.int32)),
                    ops.zeros((len(amount),), "bool"),
                )
        counting.write(self.hits_table, hits)

    def _add_to_slots(self, keys: tuple[Tensor, ...], amount: Tensor) -> None:
        tables = self._key_tables()
        amount, *parts = replicas.gathered(amount, *keys)
        keys = tuple(parts)
        words, scores = slots.added(
            [counting.signed(table) for table in tables],
            counting.signed(self.counts_table),
            keys,
            amount * slots.UNIT,
        )
        counting.replace(self.counts_table, scores)
        for table, own in zip(tables, words, strict=True):
            counting.replace(table, own)

    def _key_tables(self) -> list[Any]:
        return [self.keys_table, *([self.upper_table] if self.wide else [])]

    def _in_slots(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys in all slots and their scores; empty slots have score 0."""
        words = [counting.read(table) for table in self._key_tables()]
        scores = counting.read(self.counts_table).astype(np.int64)
        return counting.joined(*words), scores & ~slots.HOT

    def mark(self, hot: np.ndarray) -> None:
        """Tells which ids have a row, which slots do not give up.

        Args:
            hot: The hot ids.
        """
        if self.counts == "slots":
            found = slots.marked(*self._in_slots(), hot)
            counting.write(self.counts_table, found)

    def estimates(self, ids: np.ndarray) -> np.ndarray:
        """Counts of ids; exact without a sketch.

        A count-min sketch never gives too few, and slots give 0 for an id that
        they do not hold.
        """
        if self.counts == "slots":
            wanted = np.asarray(ids, np.int64)
            return slots.found(*self._in_slots(), wanted) // slots.UNIT
        counts = counting.read(self.counts_table)
        return counting.estimates(counts, ids, self.sketch_width)

    def most_counted(self, held: np.ndarray) -> np.ndarray:
        """The `capacity` most frequent ids, ascending.

        Args:
            held: Array of the hot ids, which win ties and, with slots, more.
        """
        if self.counts == "slots":
            return slots.most_counted(*self._in_slots(), self.capacity, held)
        return counting.most_counted(
            counting.read(self.counts_table),
            self.input_dim or 0,
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
                count is large. Slots then need to be marked again.
        """
        hits = counting.read(self.hits_table)
        counting.write(self.hits_table, counting.carried(hits))
        counts = counting.read(self.counts_table)
        if self.counts == "slots":
            counts &= ~np.uint32(slots.HOT)
        if decay or counts.max() >= LARGEST_COUNT:
            counting.write(self.counts_table, counts >> 1)


def _counters(size: int, word: str) -> Table:
    """A table of counters, which replicas add up."""
    return Table(size, 1, "zeros", dtype=word, aggregation="sum", training=True)


def _empty(shape: Any, dtype: Any = None) -> Tensor:
    """Initializer of the last words of keys: all slots are empty."""
    words = np.full(tuple(shape), slots.EMPTY, np.int32)
    return ops.convert_to_tensor(words.view(np.dtype(str(dtype))))


def default_width(counts: str, capacity: int) -> int:
    """Width of the sketch, or number of buckets, for a number of hot ids."""
    if counts == "slots":
        return capacity
    width = 1 << (WIDTH_OF_AN_ID * capacity - 1).bit_length()
    return min(width, LARGEST_WIDTH)


def _checked_width(counts: str, width: int | None, capacity: int) -> int:
    """Checks the width of the sketch, or computes the default."""
    one_of("counts", counts, MODES)
    if width is None:
        return default_width(counts, capacity)
    if counts == "exact":
        raise ValueError(
            "`sketch_width` requires counts='sketch', 'slots' or 'auto'. "
            f"Received: sketch_width={shown(width)}, counts={counts!r}"
        )
    ok = isinstance(width, int) and not isinstance(width, bool)
    ok = ok and 0 < width <= LARGEST_WIDTH
    if counts == "slots":
        if not ok:
            raise ValueError(
                "`sketch_width`, the number of buckets of four slots, must be "
                f"an integer in [1, {LARGEST_WIDTH}]. Leave it out to have one "
                f"for each hot row. Received: sketch_width={shown(width)}"
            )
    elif not ok or width & (width - 1):
        raise ValueError(
            f"`sketch_width` must be a power of two of at most "
            f"{LARGEST_WIDTH}. Leave it out to derive it from "
            f"`capacity`. Received: sketch_width={shown(width)}"
        )
    return width
