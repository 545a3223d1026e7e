"""Named weight tables of a layer: built, read, regularised and quantised.

What a method may ask of its tables, floats or packed, stands in one class,
hence the length.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import constraints, initializers, ops, regularizers

from keras_pss import keras_internals
from keras_pss.layers.base import keras_arguments
from keras_pss.layers.base.checks import fetched, one_of
from keras_pss.layers.base.packable import (
    Packable,
    block_size,
    check_mode,
    keep_policy,
    packed_policy,
    policy_of,
)
from keras_pss.layers.initial_values.stored import forgiving
from keras_pss.ops import gather, sparse_gradient
from keras_pss.ops.dtypes import itemsize
from keras_pss.ops.packing import Int4, Int8, Packing

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
            matrix of a network; else its rows are gathered. It is packed to
            int8 where tables of rows are to int4.
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
        """Bytes of an index table, whose dtype does not follow the policy."""
        return self.size * itemsize(str(self.dtype))


class TableLayer(Packable, keras.layers.Layer):
    """A layer whose weights are the tables that `tables()` declares.

    Table `x` is the attribute and the variable `x_table`; once the layer is
    quantised it holds bytes, and `x_scale` their scales.
    """

    built: bool

    def __init__(
        self,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        gradient: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**keras_arguments.checked(type(self), kwargs))
        check_mode(self.quantization_mode, self.name)
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

    def packing(self, mode: str, size: int, whole: bool = False) -> Packing:
        """How a table is packed.

        Args:
            mode: `"int8"` or `"int4"`.
            size: Block size of int4; see `packing.Int4`.
            whole: Whether the table is one that lookups read whole.
        """
        if mode == "int8" or whole:
            return Int8()
        return Int4(size)

    def _own_packing(self, whole: bool = False) -> Packing:
        """How the layer's tables are packed now."""
        size = block_size(policy_of(self))
        return self.packing(self.quantization_mode, size, whole)

    def packed_bytes(self, table: Table, mode: str) -> int:
        """Bytes of a trained table after `quantize(mode)`."""
        how = self.packing(mode, block_size(policy_of(self)), table.whole)
        form = how.form(table.rows, table.width, self.variable_dtype)
        return sum(
            math.prod(shape) * itemsize(dtype) for shape, dtype in form.values()
        )

    def lookup_numbers(self) -> int:
        """Numbers that one id reads from tables whose rows are gathered."""
        return sum(
            table.width
            for table in self.float_tables().values()
            if not table.whole
        )

    def lookup_bytes(self) -> int:
        """Bytes that one id reads from tables, packed ones without scales."""
        size: float = itemsize(self.variable_dtype)
        if self.quantization_mode is not None:
            size = self._own_packing().number_bytes
        index = [t for t in self.tables().values() if t.dtype is not None]
        return math.ceil(self.lookup_numbers() * size) + sum(
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
                    initializer=forgiving(table.initializer),
                    regularizer=self.embeddings_regularizer,
                    constraint=table.constraint or self.embeddings_constraint,
                    autocast=False,
                )
                setattr(self, f"{name}_table", weight)
            else:
                self._build_packed(name, table)
        # Not a dict, which Keras would track.
        self._forms = tuple(
            (name, table.width, table.whole)
            for name, table in self.float_tables().items()
        )
        keras_internals.mark_quantized(self, self.quantization_mode is not None)
        self.built = True

    def _build_packed(self, name: str, table: Table) -> None:
        form = self._own_packing(table.whole).form(
            table.rows, table.width, self.variable_dtype
        )
        for suffix, (shape, dtype) in form.items():
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
        how, width = self._read_as(name)
        return how.rows(self._held(name), width, index)

    def gather_elements(self, name: str, index: Tensor) -> Tensor:
        """Elements of table `name` read as one array, `index.shape`, float."""
        table = getattr(self, f"{name}_table")
        if self.quantization_mode is None:
            return gather.elements(table, index, self._sparse(table))
        how, width = self._read_as(name)
        return how.elements(self._held(name), width, index)

    def _read_as(self, name: str) -> tuple[Packing, int]:
        """How a packed table is read, and the columns that it stands for."""
        width, whole = next(form[1:] for form in self._forms if form[0] == name)
        return self._own_packing(whole), width

    def _held(self, name: str) -> dict[str, Any]:
        """What a packed table is kept in, by suffix."""
        return {
            suffix: getattr(self, f"{name}_{suffix}", None)
            for suffix in ("table", "scale")
        }

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
        how, width = self._read_as(name)
        return how.whole(self._held(name), width)

    def _sparse(self, table: Any) -> bool:
        if self.gradient == "auto":
            return sparse_gradient.pays(table)
        return self.gradient == "sparse"

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Packs every table, and those of the layer's parts.

        `"int8"` has a scale for each row, or for each 64 numbers of shorter
        rows. `"int4"` has two numbers a byte and a scale for each
        `config.block_size` numbers of a row, 128 by default (rows together
        where they are shorter than 64), or for each row where it is None;
        matrices that every lookup reads whole are packed to int8.

        Args:
            mode: `"int8"` or `"int4"`.
            type_check: As in Keras.
            config: A `keras.quantizers.Int8QuantizationConfig` or
                `Int4QuantizationConfig`. Its quantizer of activations has
                nothing to act on: ids are integers.

        Raises:
            NotImplementedError: For another mode, or a config with a quantizer
                of the weights; Keras' `model.quantize` turns it into a warning.
            ValueError: If the layer is not built, is packed already, or
                computes in float16, which Keras excludes with int8.
        """
        self.check_quantization(mode, config)
        policy = self.packed_policy(mode, config)
        packed = {
            name: self.packing(mode, block_size(policy), table.whole).pack(
                ops.convert_to_numpy(getattr(self, f"{name}_table"))
            )
            for name, table in self.float_tables().items()
        }
        keep_policy(self, policy)
        for name, table in self.float_tables().items():
            delattr(self, f"{name}_table")
            self._build_packed(name, table)
            for suffix, values in packed[name].items():
                getattr(self, f"{name}_{suffix}").assign(values)
        for part in self.parts():
            if part.quantization_mode is None:
                part.quantize(mode, config=config)

    def check_quantization(self, mode: Any, config: Any) -> None:
        """Raises what `quantize` would, before anything is changed."""
        check_mode(mode, self.name)
        self.packed_policy(mode, config)
        for part in self.parts():
            if part.quantization_mode is None:
                part.check_quantization(mode, config)

    def packed_policy(self, mode: str, config: Any) -> Any:
        """The dtype policy after `quantize(mode, config=config)`."""
        return packed_policy(self, mode, config)

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
