"""Initial scales of tables that share one memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.layers.initial_values import draws, table_scale


@dataclass(frozen=True)
class SharedScales:
    """How a memory is drawn for tables of different initial scales.

    It is drawn with the largest scale, and rows of the other tables are
    scaled down.

    Attributes:
        fill: Initializer of the memory.
        factors: Factor of the rows of each table; empty for ones.
    """

    fill: Any
    factors: tuple[float, ...]

    @classmethod
    def of(
        cls,
        initializer: Any,
        input_dims: Sequence[int | None],
        output_dim: int,
        name: str,
        centered: bool = False,
    ) -> "SharedScales":
        """Measures the scales of the uncompressed tables.

        Args:
            initializer: Initializer of each table.
            input_dims: Rows of each table.
            output_dim: Columns of all tables.
            name: Name of the layer, for error messages.
            centered: Whether the tables must have a mean of zero.
        """
        each = table_scale.TableScale.several(
            initializer, input_dims, output_dim, name
        )
        std = max(scale.std for scale in each)
        by_rows = std > 0 and any(s.moments.by_rows for s in each)
        factors = [scale.std / std if by_rows else 1.0 for scale in each]
        kept = tuple(factors) if min(factors) < 1 else ()
        if kept or centered:
            for scale in each:
                scale.check_centered()
        if kept:
            return cls(draws.scaled(initializer, std), kept)
        return cls(
            table_scale.entries(initializer, input_dims[0], output_dim, name),
            kept,
        )

    def of_columns(self, columns: Sequence[int]) -> tuple[float, ...]:
        """Factors of the columns of the ids, given the table of each."""
        if not self.factors:
            return ()
        return tuple(self.factors[column] for column in columns)
