"""Named weight tables of a layer: built, read, regularised and quantised."""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import constraints, initializers, ops, regularizers

from keras_pss.layers.base.checks import fetched, one_of
from keras_pss.layers.base.memory import itemsize
from keras_pss.ops import gather, sparse_gradient

Tensor = Any


@dataclass(frozen=True)
class Table:
    """One weight of shape `(rows, width)`.

    All weights are 2-D, so that quantisation, sharding and export treat every
    method alike.

    Attributes:
        rows, width: The shape.
        initializer: Fills it; takes a shape and a dtype.
        whole: Whether every lookup multiplies with all of it, as with a
            matrix of a network; else its rows are gathered.
        dtype: None for trained floats; an integer type for an index table,
            which is kept beside them and neither trained nor packed.
        constraint: Applied after each step in place of the layer's own.
        aggregation: How replicas of TensorFlow's strategies join what each
            writes while training: `"sum"` for counters that are added to.
    """

    rows: int
    width: int
    initializer: Any
    whole: bool = False
    dtype: str | None = None
    constraint: Any = None
    aggregation: str = "none"

    @property
    def size(self) -> int:
        return self.rows * self.width

    @property
    def bytes(self) -> int:
        """Of an index table, whose dtype does not follow the policy."""
        return self.size * itemsize(str(self.dtype))


class TableLayer(keras.layers.Layer):
    """A layer whose weights are the tables that `tables()` declares.

    Table `x` is the attribute and the variable `x_table`; once the layer is
    quantised to int8 it holds bytes, and `x_scale` their scales.
    """

    built: bool
    dtype_policy: Any

    def __init__(
        self,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        gradient: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gradient = one_of("gradient", gradient, sparse_gradient.MODES)
        self.embeddings_initializer = fetched(
            "embeddings_initializer", initializers.get, embeddings_initializer
        )
        self.embeddings_regularizer = fetched(
            "embeddings_regularizer", regularizers.get, embeddings_regularizer
        )
        self.embeddings_constraint = fetched(
            "embeddings_constraint", constraints.get, embeddings_constraint
        )
        # Ids are not to be cast, and neither are whole tables (the weights say
        # so as well): rows are, once they are gathered.
        self.autocast = False

    def tables(self) -> dict[str, Table]:
        """Names and shapes of the weights, in the order they are saved."""
        raise NotImplementedError

    def float_tables(self) -> dict[str, Table]:
        """Those that are trained, and packed by `quantize`."""
        return {k: t for k, t in self.tables().items() if t.dtype is None}

    def parts(self) -> list[Any]:
        """Sub-layers that hold further tables."""
        return []

    def packed_bytes(self, table: Table) -> int:
        """Bytes of a trained table after `quantize("int8")`."""
        return sum(
            math.prod(shape) * itemsize(dtype)
            for shape, dtype in self.packed_form(table).values()
        )

    def packed_form(
        self, table: Table
    ) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shapes and dtypes of what a packed table is kept in, by suffix."""
        groups = -(-table.rows // gather.int8_group(table.width))
        return {
            "table": ((table.rows, table.width), "int8"),
            "scale": ((groups,), self.variable_dtype),
        }

    def pack(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """A trained table's numbers in the packed form, by suffix."""
        packed, scales = gather.pack_int8(values)
        return {"table": packed, "scale": scales}

    def lookup_numbers(self) -> int:
        """Numbers that one id reads from tables whose rows are gathered."""
        return sum(
            table.width
            for table in self.float_tables().values()
            if not table.whole
        )

    def lookup_bytes(self) -> int:
        """Bytes that one id reads from tables, packed ones without scales."""
        packed = self.quantization_mode is not None
        size = 1 if packed else itemsize(self.variable_dtype)
        index = [t for t in self.tables().values() if t.dtype is not None]
        return self.lookup_numbers() * size + sum(
            table.bytes // table.rows for table in index if not table.whole
        )

    def lookup_flops(self) -> int:
        """Additions and multiplications of one lookup."""
        return 0

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        # Index tables first: a layer that is packed later has them before its
        # packed tables, and files name weights by their order.
        for name, table in self.tables().items():
            if table.dtype is None:
                continue
            weight = self.add_weight(
                name=f"{name}_table",
                shape=(table.rows, table.width),
                initializer=table.initializer,
                dtype=table.dtype,
                trainable=False,
                autocast=False,
                aggregation=table.aggregation,
            )
            setattr(self, f"{name}_table", weight)
        for name, table in self.float_tables().items():
            if self.quantization_mode is None:
                weight = self.add_weight(
                    name=f"{name}_table",
                    shape=(table.rows, table.width),
                    initializer=table.initializer,
                    regularizer=self.embeddings_regularizer,
                    constraint=table.constraint or self.embeddings_constraint,
                    autocast=False,
                )
                setattr(self, f"{name}_table", weight)
            else:
                self._build_int8(name, table)
        self._is_quantized = self.quantization_mode is not None
        self.built = True

    def _build_int8(self, name: str, table: Table) -> None:
        if self.quantization_mode != "int8":
            raise self._quantization_mode_error(self.quantization_mode)
        for suffix, (shape, dtype) in self.packed_form(table).items():
            weight = self.add_weight(
                name=f"{name}_{suffix}",
                shape=shape,
                initializer="zeros",
                dtype=dtype,
                trainable=False,
                autocast=False,
            )
            setattr(self, f"{name}_{suffix}", weight)

    def gather_rows(self, name: str, index: Tensor) -> Tensor:
        """Rows of table `name`, shape `index.shape + (width,)`, float."""
        table = getattr(self, f"{name}_table")
        if self.quantization_mode is None:
            return gather.rows(table, index, self._sparse(table))
        return gather.rows_int8(table, getattr(self, f"{name}_scale"), index)

    def gather_elements(self, name: str, index: Tensor) -> Tensor:
        """Elements of table `name` read as one array, `index.shape`, float."""
        table = getattr(self, f"{name}_table")
        if self.quantization_mode is None:
            return gather.elements(table, index, self._sparse(table))
        scale = getattr(self, f"{name}_scale")
        return gather.elements_int8(table, scale, index)

    def dense_table(self, name: str) -> Any:
        """Table `name` where kernels may read it, or None.

        None for one that is packed, or whose gradient is sparse.
        """
        table = getattr(self, f"{name}_table", None)
        if self.quantization_mode is not None or self._sparse(table):
            return None
        return table

    def gather_index(self, name: str, index: Tensor) -> Tensor:
        """Rows of index table `name`, int32, `index.shape + (width,)`."""
        table = getattr(self, f"{name}_table")
        return ops.cast(ops.take(table, index, axis=0), "int32")

    def whole_table(self, name: str) -> Tensor:
        """All of a table that every lookup needs all of, float."""
        table = getattr(self, f"{name}_table")
        if self.quantization_mode is None:
            return ops.convert_to_tensor(table)
        return gather.all_int8(table, getattr(self, f"{name}_scale"))

    def _sparse(self, table: Any) -> bool:
        if self.gradient == "auto":
            return sparse_gradient.pays(table)
        return self.gradient == "sparse"

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Packs every table to int8 with a scale for each 64 numbers.

        Raises:
            NotImplementedError: For a mode other than `"int8"`; Keras'
                `model.quantize` turns it into a warning.
            ValueError: If the layer is not built, is packed already, or
                computes in float16, which Keras excludes.
        """
        if mode != "int8":
            raise self._quantization_mode_error(mode)
        policy = keras.dtype_policies.get(f"int8_from_{self.dtype_policy.name}")
        packed = {
            name: self.pack(
                ops.convert_to_numpy(getattr(self, f"{name}_table"))
            )
            for name in self.float_tables()
        }
        # Keras would quantise again when it sees the new policy.
        self._is_quantized = True
        self.dtype_policy = policy
        for name, table in self.float_tables().items():
            delattr(self, f"{name}_table")
            self._build_int8(name, table)
            for suffix, values in packed[name].items():
                getattr(self, f"{name}_{suffix}").assign(values)

    def _int8_call(self, *args: Any, **kwargs: Any) -> Any:
        # Keras calls this in place of `call` under an int8 policy.
        return self.call(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "embeddings_initializer": initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": regularizers.serialize(
                self.embeddings_regularizer
            ),
            "embeddings_constraint": constraints.serialize(
                self.embeddings_constraint
            ),
            "gradient": self.gradient,
        }


def cast_rows(rows: Tensor, valid: Tensor | None, dtype: str) -> Tensor:
    """Rows in the compute dtype, NaN where an id was not valid."""
    rows = ops.cast(rows, dtype)
    if valid is None:
        return rows
    return ops.where(ops.expand_dims(valid, -1), rows, np.nan)
