"""What hot rows take of a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from keras_pss.layers.composite.hot.hot_table import default_capacity
from keras_pss.layers.composite.hot.id_counter import HITS
from keras_pss.ops.hot_ids import PADDING
from keras_pss.ops.sketches.slots import SLOTS

# By default, hot rows take at most one of this many equal parts of a budget.
BUDGET_PARTS = 4
# With slots they take this share of it, their slots included.
SLOTS_SHARE = 0.75


@dataclass(frozen=True)
class HotSizes:
    """Sizes of hot rows in a budget, in units of four bytes.

    A budget counts the rows and what a lookup reads to find them. It counts
    slots as well, since they are what an adaptive method cannot do without
    while it learns; the counters of the other kinds grow with the table or
    with a multiple of the rows, and are not counted.

    Attributes:
        row_dim: Integer, the length of a row in memory.
        output_dim: Integer d, the length of a row.
        slots: Boolean, whether ids are counted in slots.
        sketch_width: Integer, the number of buckets of slots; None for one of
            each row.
        wide: Boolean, whether ids have two words.
    """

    row_dim: int
    output_dim: int
    slots: bool = False
    sketch_width: int | None = None
    wide: bool = False

    @classmethod
    def of(
        cls,
        own: Mapping[str, Any],
        input_dims: Sequence[int | None],
        output_dim: int,
    ) -> Self:
        """The sizes for the arguments of `HotRows` and the rows of tables."""
        slots = own.get("counts") == "slots"
        width = own.get("sketch_width") if slots else None
        row_dim = own.get("row_dim") or output_dim
        wide = has_two_words(input_dims)
        return cls(row_dim, output_dim, slots, width, wide)

    @property
    def row(self) -> int:
        """Size of each hot row: its numbers, its id and its slot."""
        words = self.row_dim + 2 + self.wide
        if self.slots and self.sketch_width is None:
            words += self._bucket
        return words

    @property
    def _bucket(self) -> int:
        """Size of a bucket of slots: words of ids, and scores."""
        return SLOTS * (2 + self.wide)

    def total(self, capacity: int) -> int:
        """Size of a number of hot rows."""
        return capacity * self.row + self._fixed

    @property
    def _fixed(self) -> int:
        """What does not depend on the number of rows."""
        if not self.slots:
            return 0
        matrix = self.row_dim * self.output_dim
        return (
            HITS
            + (self.sketch_width or 0) * self._bucket
            + matrix * (self.row_dim < self.output_dim)
        )

    def capacity(
        self,
        given: int | None,
        input_dims: Sequence[int | None],
        size: int,
        least: int,
    ) -> int:
        """Number of hot rows within a size.

        Args:
            given: Integer that the user gave, or None for the default.
            input_dims: Rows of the tables that share the hot rows.
            size: Integer, the size of hot rows and all others together.
            least: Integer, the smallest size of the others.
        """
        share = int(SLOTS_SHARE * size) if self.slots else size // BUDGET_PARTS
        largest = (min(share, size - least) - self._fixed) // self.row
        return default_capacity(
            given, all_rows(input_dims), largest, 1 if self.slots else 1000
        )


def all_rows(input_dims: Sequence[int | None]) -> int | None:
    """Number of rows of several tables; None with an open vocabulary."""
    rows = [n for n in input_dims if n is not None]
    return sum(rows) if len(rows) == len(input_dims) else None


def has_two_words(input_dims: Sequence[int | None]) -> bool:
    """Whether a word is too short to tell the rows of all tables apart."""
    rows = all_rows(input_dims)
    return rows is None or rows > PADDING
