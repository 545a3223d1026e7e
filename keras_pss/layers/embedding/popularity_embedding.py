"""Rows by popularity: narrow rows of their own for the most frequent ids.

The file is long because half of its lines are documentation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import int_or_each, shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.fused.popular.converted_rows import converted_rows
from keras_pss.layers.fused.popular.popular_ids import popular_ids
from keras_pss.layers.fused.popular.popular_rows import PopularRows
from keras_pss.layers.fused.popular.popular_sizes import Sizes, rows_within
from keras_pss.layers.fused.popular.popular_strings import (
    checked_storage,
    checked_tail,
)
from keras_pss.layers.fused.popular.popular_widths import (
    checked_widths,
    narrowed,
)
from keras_pss.layers.fused.popular.popularity_group import PopularityGroup

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class PopularityEmbedding(PopularRows, CompressedEmbedding):
    """Frequent ids have narrow rows of their own; the others share rows.

        E[i] = W[i] P   if i < r,   else W[0] P

    with W of shape (r, k) and P of shape (k, d). The ids must be sorted by
    frequency, from id 1 on, with id 0 for out-of-vocabulary values, as the
    vocabularies of `keras_pss.data.prepare` are; otherwise `ids` are those
    with a row. With k = d there is no P, and the layer is a frequency filter.

    With several bands, the most frequent ids have wider rows than the next
    ones, and each band has a matrix of its own:

        E[i] = W_b[i - s_b] P_b   for the ids s_b <= i < s_(b+1) of band b

    With `storage="int8"` or `"int4"` the rows are trained on the grid on which
    they are served, one scale for each band:

        W = s Q,   s = max |W| / 127 (int8) or min(max |W|, 3 rms(W)) / 7 (int4)

    with integer codes Q. Training updates float32 masters, which are rounded
    where they are read, and the gradient passes the rounding unchanged; a
    regularizer and a constraint act on the masters. `quantize("int8")` packs
    the rows to their storage without loss, and `quantize("int4")` packs any
    storage to four bits, which is lossless with `storage="int4"`. The matrices
    stay float32. Four bits a number and rows twice as wide are about as good
    as eight bits. Training takes the memory of float32.

    In an `EmbeddingCollection` the ids of all tables are ranked together, and
    all tables share P. `EmbeddingCollection.from_counts` finds the rows of
    each table.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of W and P.
        embeddings_constraint: Constraint of W and P.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        num_rows: Integer r, the number of ids with a row of their own, id 0
            included; or a list of one number for each band.
        inner_dim: Integer k, the length of a row of W; or a list of falling
            numbers, one for each band. Defaults to 1.
        tail: What the other ids share: `"oov"`, the row of id 0 (the
            default); `"hash"`, hashed rows of the last band; or `"robe"`, a
            memory of ROBE, whose rows have d numbers. One row is better where
            rare ids say little, as in Criteo's log.
        buckets: Integer, the number of hashed rows. Defaults to 0; at least 1
            with `tail="hash"`.
        memory_size: Integer, the number of parameters of ROBE's memory.
            Defaults to 0; at least `output_dim` with `tail="robe"`.
        block_size: Integer, the block size of ROBE, as in `ROBEEmbedding`.
            Defaults to `ceil(output_dim / 4)`.
        hash: Hash family, `"pss1"` (the default) or `"universal"`.
        seed: Integer seed of the hash function. It does not affect
            initialization. Defaults to 0.
        storage: `"float32"` (the default), `"int8"` or `"int4"`: how the rows
            are served.
        ids: Integer array of the ids that have a row, the most frequent ones
            first, without id 0: `num_rows - 1` ids, over all bands. They are
            stored in an index of four bytes each, which is not trained.
            Defaults to None, for ids that are sorted by frequency. True is an
            index that a file of weights fills, as in configs.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `num_rows * inner_dim` parameters, `inner_dim * output_dim` for
    the matrix of each band that is narrower than `output_dim`, and
    `buckets * inner_dim` for hashed rows or `memory_size` for ROBE. A budget
    counts a byte (int8) or half a byte (int4) for each number of the rows and
    the memory, four bytes for each scale, and the index.

    Raises:
        ValueError: If the sizes do not match each other, or if the dtype of
            the weights is not float32 with another storage.
        NotImplementedError: For `quantize("int4")` with a block size and a
            storage other than float32.

    Example:

    ```python
    layer = keras_pss.PopularityEmbedding(
        1_000_000, 16, num_rows=50_000, inner_dim=2
    )
    layer(np.array([[3, 999_999]])).shape  # (1, 2, 16)
    layer.count_params()  # 100032
    ```

    References: Baevski and Auli, "Adaptive input representations for neural
    language modeling" (ICLR 2019), section 3 (bands); Ginart et al., "Mixed
    dimension embeddings with application to memory-efficient recommendation
    systems" (ISIT 2021). A single row for all rare ids is the frequency
    filter of Zhu et al., "Open benchmarking for click-through rate
    prediction" (CIKM 2021). Jacob et al., "Quantization and training of neural
    networks for efficient integer-arithmetic-only inference" (CVPR 2018),
    section 3 (rounding in the forward pass); Desai et al., "Random Offset
    Block Embedding (ROBE)" for `tail="robe"`.
    """

    one_memory = True
    sized_by = "num_rows"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        num_rows: int | Sequence[int],
        inner_dim: int | Sequence[int] = 1,
        tail: str = "oov",
        buckets: int = 0,
        memory_size: int = 0,
        block_size: int | None = None,
        hash: str = "pss1",
        seed: int = 0,
        storage: str = "float32",
        ids: Any = None,
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
        self.num_rows = int_or_each("num_rows", num_rows, "band")
        self._set_bands(
            [input_dim],
            [self.num_rows],
            [0],
            None,
            inner_dim=inner_dim,
            tail=tail,
            buckets=buckets,
            memory_size=memory_size,
            block_size=block_size,
            hash=hash,
            seed=seed,
            storage=storage,
            ids=[ids],
        )

    @classmethod
    def option_names(cls, options: Mapping[str, Any]) -> list[str]:
        # The ids are as many as the rows, which a budget does not determine.
        names = super().option_names(options)
        return [n for n in names if n != "ids" or "num_rows" in options]

    @classmethod
    def check_unsized(cls, arguments: dict[str, Any]) -> None:
        super().check_unsized(arguments)
        if arguments.get("ids") is not None:
            raise ValueError(
                "A budget determines how many ids have a row. Leave `ids` "
                "out, or give `num_rows` instead of a budget; or let "
                "EmbeddingCollection.from_counts choose both. "
                f"Received: ids={shown(arguments['ids'])}"
            )

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        return cls.smallest_together([input_dim], output_dim, **kwargs)

    @classmethod
    def smallest_together(
        cls, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> int:
        widths = checked_widths(kwargs.get("inner_dim") or 1, output_dim)
        sizes = Sizes(
            output_dim,
            checked_storage(kwargs.get("storage", "float32")),
            checked_tail(kwargs),
        )
        shared = sizes.given(kwargs, widths[-1])
        return sizes.smallest(len(input_dims), widths, shared)

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        found = rows_within(size, [input_dim], output_dim, **kwargs)
        return {**found, "num_rows": found["num_rows"][0]}

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[Any],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> PopularityGroup:
        if size is not None:
            kwargs |= rows_within(size, input_dims, output_dim, **kwargs)
        else:
            kwargs["num_rows"] = _each(kwargs["num_rows"], input_dims, numbers)
        if kwargs.get("ids") is not None:
            kwargs["ids"] = [kwargs["ids"][number] for number in numbers]
        return PopularityGroup(
            input_dims, output_dim, table_numbers=numbers, **kwargs
        )

    @classmethod
    def options_from_counts(
        cls,
        counts: Sequence[Any],
        output_dim: int,
        budget: Budget,
        options: Mapping[str, Any],
    ) -> dict[str, Any] | None:
        # Where the user sets a size, the others are found without counts.
        if {"num_rows", "buckets", "memory_size"} & set(options):
            return None
        given = {
            name: options[name]
            for name in ("inner_dim", "storage", "tail")
            if name in options
        }
        return popular_ids(counts, output_dim, budget, **given)

    @classmethod
    def options_to_convert(
        cls,
        counts: Sequence[Any],
        output_dim: int,
        budget: Budget,
        options: Mapping[str, Any],
    ) -> dict[str, Any] | None:
        if {"num_rows", "buckets", "memory_size"} & set(options):
            return None
        return converted_rows(counts, output_dim, budget, options)

    @classmethod
    def budget_options(cls, budget: Budget) -> dict[str, Any]:
        # Bytes are best spent on four bits a number.
        return {"storage": "int4"} if budget.is_bytes else {}

    @classmethod
    def options_of_width(
        cls, options: Mapping[str, Any], output_dim: int, before: int
    ) -> dict[str, Any] | None:
        return narrowed(options, output_dim, before)

    def lookup(self, ids: Tensor) -> Tensor:
        return self.project(self.latent(ids))

    def get_config(self) -> dict[str, Any]:
        ids: Any = self._index.flags[0] or None
        if unwritten := self._index.unwritten(self._index_weight()):
            (ids,) = unwritten
        return {
            **super().get_config(),
            "num_rows": self.num_rows,
            "inner_dim": self.inner_dim,
            "tail": self.tail,
            "buckets": self.buckets,
            "memory_size": self.memory_size,
            "block_size": self.block_size,
            "hash": self.hash,
            "seed": self.seed,
            "storage": self.storage,
            "ids": ids,
        }


def _each(
    num_rows: Any, input_dims: Sequence[int], numbers: Sequence[int]
) -> list[tuple[int, ...]]:
    """The rows of each band for each of some tables of a collection.

    Args:
        num_rows: An integer for all tables, or one entry for each table.
        input_dims: Rows of each of the tables.
        numbers: Their indices in the collection.
    """
    if isinstance(num_rows, int):
        return [(min(num_rows, rows),) for rows in input_dims]
    if len(num_rows) <= max(numbers):
        raise ValueError(
            "`num_rows` of a collection must be an integer, or have one entry "
            f"for each table. Received: {len(num_rows)} entries for at least "
            f"{max(numbers) + 1} tables"
        )
    return [
        int_or_each("num_rows", num_rows[number], "band") for number in numbers
    ]
