"""What ids without a row of their own read: one row, hashed rows or ROBE."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.robe_group import checked_block_size
from keras_pss.layers.fused.shared_scales import SharedScales
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops.methods import robe

Tensor = Any


@dataclass(frozen=True)
class RobeTail:
    """ROBE rows of the ids without a row, in one memory for all tables.

    Attributes:
        tables: Positions of the rows in the memory.
        memory: The weight.
    """

    tables: robe.Tables
    memory: Table

    @classmethod
    def of(
        cls,
        layer: Any,
        input_dims: Sequence[int],
        numbers: Sequence[int],
        columns: Sequence[int] | None,
    ) -> "RobeTail":
        """The tail of a layer with `memory_size`, `block_size` and a hash.

        Args:
            layer: The layer.
            input_dims, numbers, columns: As in `Bands`.
        """
        # The numbers before it are those of the rows and matrices.
        given = table_scale.with_seed_offset(
            layer.embeddings_initializer, 2 * len(layer.inner_dim)
        )
        rows, width, name = tuple(input_dims), layer.output_dim, layer.name
        if columns is None:
            fill = table_scale.entries(given, rows[0], width, name)
            scales = SharedScales(fill, ())
        else:
            scales = SharedScales.of(given, rows, width, name)
        places: Sequence[int] = [0] if columns is None else columns
        table: Any = [numbers[place] for place in places]
        return cls(
            robe.Tables(
                memory_size=layer.memory_size,
                output_dim=layer.output_dim,
                block_size=checked_block_size(
                    layer.block_size,
                    "block",
                    layer.output_dim,
                    layer.memory_size,
                ),
                table=table[0] if columns is None else tuple(table),
                seed=layer.seed,
                family=layer.hash,
                scales=scales.of_columns(places),
            ),
            Table(layer.memory_size, 1, scales.fill, by_row=False),
        )

    def rows(
        self, ids: Tensor, memory: Any, gather: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Rows of ids; see `robe.rows`."""
        return robe.rows(self.tables, ids, memory, gather)
