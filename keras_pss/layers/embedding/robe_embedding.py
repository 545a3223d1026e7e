"""Random Offset Block Embedding (ROBE).

The file is long because half of its lines document and check arguments.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import keras

from keras_pss.layers.base.checks import (
    boolean,
    non_negative_int,
    number,
    one_of,
    positive_int,
    shown,
)
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.sharing import Holder
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.robe_group import ROBEGroup, checked_block_size
from keras_pss.layers.fused.shared_memory import SharedMemory
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops import hashing
from keras_pss.ops import ids as ids_ops
from keras_pss.ops.fitting import robe_memory
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.methods import robe

Tensor = Any
LARGEST_MEMORY = 2**31 - 1


@keras.saving.register_keras_serializable("keras_pss")
class ROBEEmbedding(Holder, CompressedEmbedding):
    """Rows consist of blocks that are hashed into a circular parameter array.

        E[i][c Z + t] = g(e, i, c Z + t) M[(h(e, i, c) + t) mod m]

    with `Z = block_size`, block `c` of the row, offset `t < Z` in the block,
    `e` the table's number in a shared memory, and `g = 1` unless `sign=True`.

    Args:
        input_dim: Integer n, the number of ids; None for an open vocabulary,
            in which every non-negative 63-bit id is valid.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of the memory.
        embeddings_constraint: Constraint of the memory.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        memory_size: Integer m, the number of parameters; at least
            `max(block_size, output_dim)`. Mutually exclusive with `memory`.
        block_size: Integer Z. If Z is at most `output_dim`, a row is split
            into blocks of Z elements, of which the last may be shorter. A
            larger Z must be a multiple of `output_dim`, and consecutive ids
            share a block. `Z = 1` is HashedNet. Defaults to
            `ceil(output_dim / 4)`, so that ids that collide in one of the four
            blocks differ in the others.
        sign: Boolean, whether an independent hash selects the sign of each
            element. Defaults to False.
        mapping: `"block"` (the default), or `"fold"` (Z = m), in which `m / d`
            consecutive ids fill the memory evenly, and the next `m / d` ids do
            so at another offset. `"fold"` works best if ids are sorted by
            frequency; m must be a multiple of d.
        hash: Hash family, `"pss1"` (the default) or `"universal"`, which is
            the family used in the papers.
        seed: Integer seed of the hash function. It does not affect
            initialization. Defaults to 0.
        memory: A `SharedMemory` that other tables may use as well. Defaults
            to None, which creates a separate memory of `memory_size`.
        table: Integer, the number of this table in the shared memory, which
            the hash depends on. Defaults to the next number of the memory. Give
            it if you use `load_weights`; see `SharedMemory`.
        output_scale: Float, a constant factor of the rows, for tables whose
            scale differs from that of the others in a shared memory. Defaults
            to 1.
        **kwargs: Further arguments of the layer, such as `name`, `dtype` and
            `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `memory_size` parameters, regardless of n and d.

    Raises:
        ValueError: If `memory_size`, `block_size` and `output_dim` do not
            match, and unless exactly one of `memory_size` and `memory` is
            given.

    Example:

    ```python
    layer = keras_pss.ROBEEmbedding(10_000_000, 16, memory_size=160_000)
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References:
        Desai et al., "Random Offset Block Embedding (ROBE) for compressed
        embedding tables in deep learning recommendation systems", section 3;
        fold: Desai and Shrivastava, "In defense of parameter sharing for
        model-compression" (RandomFold).
    """

    nested = ("memory",)
    open_vocabulary = True
    one_memory = True
    sized_by = "memory_size"

    def __init__(
        self,
        input_dim: int | None,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        memory_size: int | None = None,
        block_size: int | None = None,
        sign: bool = False,
        mapping: str = "block",
        hash: str = "pss1",
        seed: int = 0,
        memory: SharedMemory | None = None,
        table: int | None = None,
        output_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        if (memory is None) == (memory_size is None):
            raise ValueError(
                "Give either `memory_size`, for a separate memory, or "
                "`memory`, a `SharedMemory`. Received: "
                f"memory_size={shown(memory_size)}, memory={shown(memory)}"
            )
        if memory is not None and not isinstance(memory, SharedMemory):
            raise ValueError(
                "`memory` must be a `keras_pss.SharedMemory`. "
                f"Received: memory={shown(memory)}"
            )
        self.memory = memory
        self.memory_size = (
            positive_int("memory_size", memory_size, LARGEST_MEMORY)
            if memory is None
            else memory.memory_size
        )
        self.mapping = mapping
        self.block_size = checked_block_size(
            block_size, mapping, output_dim, self.memory_size
        )
        self.sign = boolean("sign", sign)
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)
        self.output_scale = number("output_scale", output_scale, 0)
        self.table = 0 if table is None else non_negative_int("table", table)
        # A constructor that fails must not take a number.
        if memory is not None:
            self.table = memory.claim(table, self)
        self.hold_nested()

    @classmethod
    def smallest_size(
        cls,
        input_dim: int | None,
        output_dim: int,
        *,
        block_size: int | None = None,
        **kwargs: Any,
    ) -> int:
        if block_size is None:
            return output_dim
        return max(output_dim, positive_int("block_size", block_size))

    @classmethod
    def arguments_within(
        cls,
        size: int,
        input_dim: int | None,
        output_dim: int,
        *,
        mapping: str = "block",
        **kwargs: Any,
    ) -> dict[str, Any]:
        size = min(size, LARGEST_MEMORY)
        folded = size - size % output_dim
        return {"memory_size": folded if mapping == "fold" else size}

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[int | None],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> ROBEGroup:
        if size is not None:
            kwargs["memory_size"] = size
        return ROBEGroup(
            input_dims, output_dim, table_numbers=numbers, **kwargs
        )

    def tables(self) -> dict[str, Table]:
        if self.memory is not None:
            return {}
        fill = table_scale.entries(
            self.embeddings_initializer,
            self.input_dim,
            self.output_dim,
            self.name,
            centered=self.sign,
        )
        return {"memory": Table(self.memory_size, 1, fill, by_row=False)}

    def parts(self) -> list[Any]:
        return [] if self.memory is None else [self.memory]

    def build(self, input_shape: Any = None) -> None:
        if self.memory is not None:
            self.memory.build()
            given = self.memory.embeddings_initializer
            if self.sign and not table_scale.gives_table(given):
                table_scale.TableScale(
                    given, None, 1, self.name
                ).check_centered()
        super().build(input_shape)

    def lookup_numbers(self) -> int:
        return self.output_dim

    def lookup_flops(self) -> int:
        return self.output_dim * (self.sign + (self.output_scale != 1))

    @cached_property
    def _tables(self) -> robe.Tables:
        scaled = self.output_scale != 1
        return robe.Tables(
            memory_size=self.memory_size,
            output_dim=self.output_dim,
            block_size=self.block_size,
            table=self.table,
            seed=self.seed,
            family=self.hash,
            sign=self.sign,
            scales=(self.output_scale,) if scaled else (),
        )

    def positions(self, ids: Tensor) -> Tensor:
        """Int32 positions in the memory: `(n,)` ids to `(n, output_dim)`."""
        return robe.positions(self._tables, ids)

    def lookup(self, ids: Tensor) -> Tensor:
        owner = self if self.memory is None else self.memory
        return robe.rows(
            self._tables,
            ids,
            owner.kernel_table("memory"),
            partial(owner.gather_elements, "memory"),
        )

    def robe_tables(self) -> robe.Tables:
        """How the table reads the memory."""
        return self._tables

    def check_fits(self) -> None:
        if self.memory is not None:
            raise ValueError(
                f"Layer '{self.name}' shares its memory, which a fit to one "
                "table would change for the others. Use "
                "`memory.fit_tables(tables)` with the tables of all layers. "
                f"Received: memory={shown(self.memory)}"
            )
        super().check_fits()

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        found = robe_memory.memory(self.memory_size, [(self._tables, table)])
        self.memory_table.assign(found)

    def latent_sums(
        self,
        ids: Tensor,
        splits: Callable[[], Tensor | None],
        weights: Tensor | None,
    ) -> Tensor | None:
        owner = self if self.memory is None else self.memory
        memory = owner.kernel_table("memory")
        if memory is None or not robe.sums_at_once(self._tables, ids, memory):
            return None
        begins = splits()
        if begins is None:
            return None
        ids, _ = ids_ops.checked(ids, self.input_dim, self.name)
        return robe.sums(self._tables, ids, memory, begins, weights)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "memory_size": None if self.memory else self.memory_size,
            "block_size": None if self.mapping == "fold" else self.block_size,
            "sign": self.sign,
            "mapping": self.mapping,
            "hash": self.hash,
            "seed": self.seed,
            "table": self.table,
            "output_scale": self.output_scale,
        }
