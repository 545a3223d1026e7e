"""The base class of tensor train and tensor ring embeddings."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base import tensor_core_shapes as core_shapes
from keras_pss.layers.base.checks import one_of
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import gather
from keras_pss.ops.methods import merged_cores, tensor_train

Tensor = Any

# Up to this many table rows for each id of a batch, it is at least three times
# faster on a CPU to build the whole table by a few large matrix products than
# to build each row by its own small products.
ROWS_OF_AN_ID = 4

CORE_INITIALIZERS = ("uniform", "sampled_gaussian")


@dataclass(frozen=True)
class MergedCores:
    """Cores some of which are products of a layer's cores.

    Keras does not see the variables, which belong to an export alone.

    Attributes:
        cores: Variables of shapes `(p, r q r')`.
        shapes: The shapes `(p, r, q, r')`.
    """

    cores: list[Any]
    shapes: list[core_shapes.Core]

    def rows(self, ids: Tensor) -> Tensor:
        """Rows of ids, `(n, prod(q))`."""
        return tensor_train.rows(
            self.shapes,
            ids,
            self.cores,
            lambda k, digits: gather.rows(self.cores[k], digits),
        )


class CoreEmbedding(CompressedEmbedding):
    """Base of the layers whose rows are products of slices of cores."""

    sized_by = "rank"
    # Whether the last core is connected to the first.
    ring = False
    # What lookups read in an export instead of the cores, or None.
    _merged: "MergedCores | None" = None

    def _set_cores(
        self,
        rank: int | Sequence[int],
        row_shape: str | Sequence[int],
        column_shape: Sequence[int] | None,
        num_cores: int | None,
        core_initializer: str,
    ) -> None:
        self._cores = core_shapes.cores(
            self.input_dim,
            self.output_dim,
            rank,
            row_shape,
            column_shape,
            num_cores,
            ring=self.ring,
        )
        self.row_shape = tuple(rows for rows, *_ in self._cores)
        self.column_shape = tuple(width for _, _, width, _ in self._cores)
        self.num_cores = len(self._cores)
        self.rank = rank if isinstance(rank, int) else tuple(rank)
        self.core_initializer = one_of(
            "core_initializer", core_initializer, CORE_INITIALIZERS
        )

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        cores = core_shapes.cores(
            input_dim, output_dim, 1, ring=cls.ring, **kwargs
        )
        return core_shapes.size(cores)

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        def shapes(rank: Any) -> list[core_shapes.Core]:
            return core_shapes.cores(
                input_dim, output_dim, rank, ring=cls.ring, **kwargs
            )

        # A train's useful ranks do not exceed the number of entries of the
        # table; each core of a ring has at least rank² parameters.
        largest = math.isqrt(size) if cls.ring else input_dim * output_dim
        rank = core_shapes.largest_ranks(shapes, largest, size, cls.ring)
        return {"rank": rank}

    def core_stds(self, std: float) -> list[float]:
        """Standard deviation of each core's entries such that the table's
        entries have standard deviation `std`.

        An entry of the table is a sum of Π r products of D core entries.

        Args:
            std: Float, the standard deviation of the table's entries.
        """
        raise NotImplementedError

    def mean_square(self, cores: Sequence[Tensor]) -> Tensor:
        """Mean square of the entries of the table that the cores represent."""
        raise NotImplementedError

    def tables(self) -> dict[str, Table]:
        sizes = [(p, left * q * right) for p, left, q, right in self._cores]
        scale = table_scale.TableScale.of(self)

        def std(core: int) -> float:
            return self.core_stds(scale.product_std)[core]

        fills = [
            self._core_fill(k, partial(std, k)) for k in range(self.num_cores)
        ]
        fills[-1] = self._normalized(fills, sizes, scale)
        return {
            f"core{k}": Table(*size, fill, by_row=False)
            for k, (size, fill) in enumerate(zip(sizes, fills, strict=True))
        }

    def _core_fill(
        self, index: int, std: Callable[[], float]
    ) -> Callable[..., Tensor]:
        given = self.embeddings_initializer
        if self.core_initializer == "sampled_gaussian":
            return draws.sampled_gaussian(given, std, index)
        return draws.spread(given, lambda: (0.0, std()), index)

    def _normalized(
        self,
        fills: list[Any],
        sizes: list[tuple[int, int]],
        scale: table_scale.TableScale,
    ) -> Callable[..., Tensor]:
        """Scales the last core so that the table has the intended variance.

        Few parameters determine many rows, so the variance of one table can
        be far from its expectation. Initializers here are deterministic, so
        the values of the other cores can be drawn again.
        """

        def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
            # Draw in the weights' dtype: another one would give other values.
            cores = [
                ops.cast(draw(size, dtype), "float32")
                for draw, size in zip(fills, sizes, strict=True)
            ]
            found = ops.sqrt(self.mean_square(cores))
            return ops.cast(cores[-1] * (scale.std / found), dtype or "float32")

        fills = list(fills)
        return fill

    def lookup_flops(self) -> int:
        return tensor_train.flops(self._cores)

    def computes_once(self, ids: Tensor) -> bool:
        if self._is_small_for(ids.shape[0]):
            return False
        # A kernel does so by itself.
        cores = [self.kernel_table(name) for name in self._names()]
        return tensor_train.kernels(self._cores, ids, cores) is None

    def _names(self) -> list[str]:
        return [f"core{k}" for k in range(self.num_cores)]

    def merge_cores(self, most: int) -> bool:
        """Lets lookups read products of cores, until `split_cores`.

        The layer must be built and not quantized. It is neither trained nor
        saved meanwhile.

        Args:
            most: Integer, the largest number of parameters of the products.

        Returns:
            Whether products within that size make lookups cheaper. Otherwise
            nothing changes.
        """
        split = merged_cores.best_split(self._cores, most)
        if not split.size:
            return False
        own = [getattr(self, f"{name}_table") for name in self._names()]
        products = merged_cores.merged(
            [ops.convert_to_numpy(ops.cast(c, "float32")) for c in own],
            self._cores,
            split,
        )
        cores, shapes = [], []
        for product, (begin, end) in zip(
            products, pairwise(split.ends), strict=True
        ):
            shapes.append(merged_cores.merged_shape(self._cores[begin:end]))
            if end - begin == 1:
                cores.append(own[begin])
                continue
            cores.append(
                keras.Variable(
                    product,
                    trainable=False,
                    dtype=self.variable_dtype,
                    autocast=False,
                    name=f"cores{begin}_to_{end - 1}_table",
                )
            )
        self._merged = MergedCores(cores, shapes)
        return True

    def split_cores(self) -> None:
        """Undoes `merge_cores`."""
        self._merged = None

    def lookup(self, ids: Tensor) -> Tensor:
        if self._merged is not None:
            return self._merged.rows(ids)
        names = self._names()
        if self._is_small_for(ids.shape[0]):
            cores = [self.whole_table(name) for name in names]
            return tensor_train.take_rows(cores, self._cores, ids)
        return tensor_train.rows(
            self._cores,
            ids,
            [self.kernel_table(name) for name in names],
            lambda k, digits: self.gather_rows(names[k], digits),
        )

    def rows_at(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        (own,) = ids
        last = self.row_shape[-1]
        heads, place = np.unique(own // last, return_inverse=True)
        if len(heads) * last > ROWS_OF_AN_ID * len(own):
            return super().rows_at(ids)
        # Neighbouring ids share all digits but the last: multiply the other
        # cores once for each, as rows of one core.
        *first, core = [f"core{k}" for k in range(self.num_cores)]
        digits = tensor_train.digits(
            ops.convert_to_tensor(heads.astype(np.int32)), self.row_shape[:-1]
        )
        slices = [
            self.gather_rows(name, digit)
            for name, digit in zip(first, digits, strict=True)
        ]
        product = tensor_train.leading(slices, self._cores[:-1])
        left = self._cores[0][1]
        shape = (len(heads), left, product.shape[1] // left, product.shape[2])
        rows = tensor_train.take_rows(
            [product, self.whole_table(core)],
            [shape, self._cores[-1]],
            ops.convert_to_tensor((place * last + own % last).astype(np.int32)),
        )
        return [ops.convert_to_numpy(ops.cast(rows, "float32"))]

    def _is_small_for(self, count: Any) -> bool:
        """Whether to build the whole table for a batch of `count` ids."""
        if self.quantization_mode is not None or self.gradient == "sparse":
            return False  # these must read only the rows of the batch
        rows = math.prod(self.row_shape)
        # In an export `count` may be symbolic, which cannot be compared.
        return isinstance(count, int) and rows <= ROWS_OF_AN_ID * count

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rank": self.rank,
            "row_shape": self.row_shape,
            "column_shape": self.column_shape,
            "num_cores": self.num_cores,
            "core_initializer": self.core_initializer,
        }
