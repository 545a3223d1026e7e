"""What ids without a row of their own read: one row, hashed rows or ROBE."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    non_negative_int,
    one_of,
    shown,
)
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.robe_group import checked_block_size
from keras_pss.layers.fused.shared_scales import SharedScales
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops.methods import robe

Tensor = Any
TAILS = ("oov", "hash", "robe")
# The argument that sets the size of each tail.
_SIZED_BY = {"hash": "buckets", "robe": "memory_size"}
_WHAT = {
    "buckets": "the number of hashed rows",
    "memory_size": "the number of parameters of ROBE's memory",
}


def check_tail(tail: str, buckets: int, memory_size: int) -> None:
    """Checks that the size of the tail is given, and no other one.

    Raises:
        ValueError: If the sizes do not match `tail`.
    """
    one_of("tail", tail, TAILS)
    sizes = {"buckets": buckets, "memory_size": memory_size}
    for name, size in sizes.items():
        non_negative_int(name, size, LARGEST_DIM)
        wanted = next(t for t, given in _SIZED_BY.items() if given == name)
        if (tail == wanted) != bool(size):
            raise ValueError(
                f"`{name}` is {_WHAT[name]}: at least 1 with "
                f"tail={wanted!r}, and 0 with another tail. "
                f"Received: {name}={shown(size)}, tail={tail!r}"
            )


def checked_tail(options: Mapping[str, Any]) -> str:
    """The tail of options in which its size may be missing."""
    tail = options.get("tail") or ("hash" if options.get("buckets") else "oov")
    return one_of("tail", tail, TAILS)


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
