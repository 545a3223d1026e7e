"""Several ROBE tables of one width in one memory, read by one lookup."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    boolean,
    non_negative_int,
    one_of,
    positive_int,
    shown,
)
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.shared_scales import SharedScales
from keras_pss.layers.fused.table_group import TableGroup
from keras_pss.ops import hashing
from keras_pss.ops.fitting import robe_memory
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.methods import robe

Tensor = Any


class ROBEGroup(TableGroup):
    """ROBE tables that share one memory and one fused lookup.

    The rows are those of one `ROBEEmbedding` for each table in a
    `SharedMemory`.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer d, the columns of all tables.
        memory_size: Integer m, the number of parameters of all tables
            together.
        table_numbers: Numbers of the tables, which the hash depends on.
        block_size, sign, mapping, hash, seed: As in `ROBEEmbedding`.
        columns: As in `TableGroup`.
        **kwargs: Further arguments of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.

    Memory: `memory_size` parameters.
    """

    def __init__(
        self,
        input_dims: Sequence[int | None],
        output_dim: int,
        memory_size: int,
        table_numbers: Sequence[int],
        block_size: int | None = None,
        sign: bool = False,
        mapping: str = "block",
        hash: str = "pss1",
        seed: int = 0,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dims, output_dim, columns, **kwargs)
        if mapping == "fold":
            memory_size -= memory_size % output_dim
        self.memory_size = positive_int("memory_size", memory_size, 2**31 - 1)
        self.table_numbers = tuple(table_numbers)
        self.block_size = checked_block_size(
            block_size, mapping, output_dim, memory_size
        )
        self.sign = boolean("sign", sign)
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)
        self._scales = SharedScales.of(
            self.embeddings_initializer,
            self.input_dims,
            output_dim,
            self.name,
            centered=sign,
        )
        self._tables = robe.Tables(
            memory_size=self.memory_size,
            output_dim=output_dim,
            block_size=self.block_size,
            table=tuple(self.table_numbers[c] for c in self.columns),
            seed=self.seed,
            family=self.hash,
            sign=sign,
            scales=self._scales.of_columns(self.columns),
        )

    def tables(self) -> dict[str, Table]:
        fill = self._scales.fill
        return {"memory": Table(self.memory_size, 1, fill, by_row=False)}

    def lookup_flops(self) -> int:
        return self.lookup_numbers() * (self.sign + bool(self._scales.factors))

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        pairs = [
            (robe_memory.one_table(self._tables, self.columns.index(k)), table)
            for k, table in enumerate(tables)
        ]
        self.memory_table.assign(robe_memory.memory(self.memory_size, pairs))

    def call(self, ids: Tensor) -> Tensor:
        return robe.rows(
            self._tables,
            ids,
            self.kernel_table("memory"),
            partial(self.gather_elements, "memory"),
        )


MAPPINGS = ("block", "fold")


def checked_block_size(
    block_size: int | None, mapping: str, output_dim: int, memory_size: int
) -> int:
    """Checks the block size Z, or computes the default for a mapping.

    Raises:
        ValueError: If Z does not match `output_dim` and `memory_size`.
    """
    one_of("mapping", mapping, MAPPINGS)
    if memory_size < output_dim:
        raise ValueError(
            "`memory_size` must be at least `output_dim`, or a row would use "
            f"a parameter twice. Received: memory_size={memory_size}, "
            f"output_dim={output_dim}"
        )
    if mapping == "fold":
        if block_size is not None or memory_size % output_dim:
            raise ValueError(
                "mapping='fold' takes no `block_size` and requires a "
                "`memory_size` that is a multiple of `output_dim`, such as "
                f"{max(1, memory_size // output_dim) * output_dim}. Received: "
                f"block_size={shown(block_size)}, "
                f"memory_size={memory_size}, output_dim={output_dim}"
            )
        return memory_size
    if block_size is None:
        block_size = -(-output_dim // 4)
    positive_int("block_size", block_size, LARGEST_DIM)
    if block_size > memory_size:
        raise ValueError(
            "`block_size` must not exceed `memory_size`. Received: "
            f"block_size={block_size}, memory_size={memory_size}"
        )
    if block_size > output_dim and block_size % output_dim:
        raise ValueError(
            "If `block_size` exceeds `output_dim`, it must be a multiple, such "
            f"as {block_size // output_dim * output_dim}. Received: "
            f"block_size={block_size}, output_dim={output_dim}"
        )
    return block_size
