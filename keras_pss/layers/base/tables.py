"""The weight tables of a layer: how they are built, read and quantized.

The file is long because one class has all operations on tables, both float
and packed.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import keras
from keras import constraints, initializers, ops, regularizers

from keras_pss import keras_internals
from keras_pss.layers.base import keras_arguments
from keras_pss.layers.base.checks import LARGEST_DIM, fetched, one_of
from keras_pss.layers.base.packable import (
    Packable,
    block_size,
    check_mode,
    keep_policy,
    packed_policy,
    policy_of,
)
from keras_pss.layers.initial_values.stored import zeros_if_refused
from keras_pss.ops import gather, packing, sparse_gradient
from keras_pss.ops.dtypes import itemsize
from keras_pss.ops.ids import nan_where_invalid
from keras_pss.ops.packing import Int4, Int8, Packing

Tensor = Any


@dataclass(frozen=True)
class Table:
    """The declaration of one weight of shape `(rows, width)`.

    All weights are 2-D, so that quantization, sharding and export can treat
    all methods alike.

    Attributes:
        rows, width: Integers, the shape.
        initializer: Function of a shape and a dtype that returns the initial
            values.
        whole: Boolean, whether every lookup reads the whole table, such as
            the kernel of a dense layer. Otherwise rows are gathered. Quantizing
            to int4 packs such a table to int8.
        dtype: None for a trained float table; an integer dtype for an index
            table, which is neither trained nor packed.
        constraint: Constraint of this weight that replaces the layer's own.
        aggregation: How TensorFlow's distribution strategies combine the
            replicas' updates of an index table: `"sum"` for counters.
        training: Boolean, whether only training steps read the table, as they
            do counters. An exported model does not contain it.
        by_row: Boolean, whether a row belongs to an id or to a bucket of ids,
            so that a batch trains few rows. It is False for memories that are
            read by elements and for factors whose rows most ids share.
    """

    rows: int
    width: int
    initializer: Any
    whole: bool = False
    dtype: str | None = None
    constraint: Any = None
    aggregation: str = "none"
    training: bool = False
    by_row: bool = True

    @property
    def size(self) -> int:
        return self.rows * self.width

    @property
    def trains_rows(self) -> bool:
        """Whether an optimizer may update the rows of a batch alone."""
        return self.by_row and not self.whole and self.dtype is None

    @property
    def bytes(self) -> int:
        """Bytes of an index table, whose dtype the policy does not affect."""
        return self.size * itemsize(str(self.dtype))


_built: ContextVar[Table | None] = ContextVar(
    "keras_pss_table_being_built", default=None
)


def table_being_built() -> Table | None:
    """The table whose weight is being created, or None.

    A `keras.distribution` that lays out weights reads it.
    """
    return _built.get()


@contextmanager
def _being_built(table: Table) -> Iterator[None]:
    token = _built.set(table)
    try:
        yield
    finally:
        _built.reset(token)


class _Initializer:
    """A function of a shape and a dtype, as an object with a method.

    Keras on JAX compiles the method for large weights that devices divide.
    """

    def __init__(self, fill: Any) -> None:
        self.fill = fill

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return self.fill(shape, dtype=dtype)


def _as_object(initializer: Any) -> Any:
    known = str, dict, initializers.Initializer
    if isinstance(initializer, known) or not callable(initializer):
        return initializer
    return _Initializer(initializer)


class TableLayer(Packable, keras.layers.Layer):
    """A layer whose weights are the tables that `tables()` declares.

    Table `x` is stored in the attribute and variable `x_table`. In a quantized
    layer that variable holds bytes, and `x_scale` holds their scales.
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
        # Ids must not be cast. Tables are not cast either (their weights have
        # autocast=False): only the gathered rows are.
        self.autocast = False

    def tables(self) -> dict[str, Table]:
        """Declares the weights by name, in the order of saved files."""
        raise NotImplementedError

    def float_tables(self) -> dict[str, Table]:
        """The tables that are trained and that `quantize` packs."""
        return {k: t for k, t in self.tables().items() if t.dtype is None}

    def parts(self) -> list[Any]:
        """The sub-layers that hold further tables."""
        return []

    def packing(self, mode: str, size: int, whole: bool = False) -> Packing:
        """The packing of a table in a quantization mode.

        Args:
            mode: `"int8"` or `"int4"`.
            size: Block size of int4; see `packing.Int4`.
            whole: Whether every lookup reads the whole table.
        """
        if mode == "int8" or whole:
            return Int8()
        return Int4(size)

    def _own_packing(self, whole: bool = False) -> Packing:
        """The packing of the layer's tables in its current mode."""
        size = block_size(policy_of(self))
        return self.packing(self.quantization_mode, size, whole)

    def packed_bytes(self, table: Table, mode: str) -> int:
        """Bytes that a trained table takes after `quantize(mode)`."""
        how = self.packing(mode, block_size(policy_of(self)), table.whole)
        form = how.form(table.rows, table.width, self.variable_dtype)
        return sum(
            math.prod(shape) * itemsize(dtype) for shape, dtype in form.values()
        )

    def lookup_numbers(self) -> int:
        """Number of parameters that the lookup of one id gathers."""
        return sum(
            table.width
            for table in self.float_tables().values()
            if not table.whole
        )

    def lookup_bytes(self) -> int:
        """Bytes that the lookup of one id gathers, without scales."""
        size: float = itemsize(self.variable_dtype)
        if self.quantization_mode is not None:
            size = self._own_packing().number_bytes
        index = [t for t in self.tables().values() if t.dtype is not None]
        return math.ceil(self.lookup_numbers() * size) + sum(
            table.bytes // table.rows for table in index if not table.whole
        )

    def lookup_flops(self) -> int:
        """Floating-point additions and multiplications of one lookup."""
        return 0

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self._check_addresses()
        # Index tables come first: `quantize` replaces the float tables by new
        # variables at the end, and files identify weights by their order.
        for name, table in self.tables().items():
            if table.dtype is None:
                continue
            with _being_built(table):
                weight = self.add_weight(
                    name=f"{name}_table",
                    shape=(table.rows, table.width),
                    initializer=_as_object(table.initializer),
                    dtype=table.dtype,
                    trainable=False,
                    autocast=False,
                    aggregation=table.aggregation,
                )
            setattr(self, f"{name}_table", weight)
        for name, table in self.float_tables().items():
            if self.quantization_mode is None:
                constraint = table.constraint or self.embeddings_constraint
                with _being_built(table):
                    weight = self.add_weight(
                        name=f"{name}_table",
                        shape=(table.rows, table.width),
                        initializer=_as_object(
                            zeros_if_refused(table.initializer)
                        ),
                        regularizer=self.embeddings_regularizer,
                        constraint=constraint,
                        autocast=False,
                    )
                if table.trains_rows:
                    sparse_gradient.mark_rows(weight)
                setattr(self, f"{name}_table", weight)
            else:
                self._build_packed(name, table)
        # A tuple, since Keras would track a dict.
        self._forms = tuple(
            (name, table.width, table.whole)
            for name, table in self.float_tables().items()
        )
        keras_internals.mark_quantized(self, self.quantization_mode is not None)
        self.built = True

    def _check_addresses(self) -> None:
        """Raises a ValueError if places in a table are no int32 numbers."""
        for name, table in self.tables().items():
            if table.rows > LARGEST_DIM:
                raise ValueError(
                    f"The tables that layer '{self.name}' stacks must have at "
                    f"most {LARGEST_DIM} rows together. Give a smaller budget, "
                    "or divide the tables among several collections. "
                    f"Received: {table.rows} rows in '{name}'"
                )

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
        """Float rows of table `name`, of shape `index.shape + (width,)`."""
        table = getattr(self, f"{name}_table")
        if self.quantization_mode is None:
            return gather.rows(table, index, self._sparse(table))
        how, width = self._read_as(name)
        return packing.rows(how, self._held(name), width, index)

    def gather_elements(self, name: str, index: Tensor) -> Tensor:
        """Float elements of the flattened table `name`, of `index.shape`."""
        table = getattr(self, f"{name}_table")
        if self.quantization_mode is None:
            return gather.elements(table, index, self._sparse(table))
        how, width = self._read_as(name)
        return packing.elements(how, self._held(name), width, index)

    def _read_as(self, name: str) -> tuple[Packing, int]:
        """The packing of a table, and its width before it was packed."""
        width, whole = next(form[1:] for form in self._forms if form[0] == name)
        return self._own_packing(whole), width

    def _held(self, name: str) -> dict[str, Any]:
        """The variables of a packed table, keyed by the suffix of the name."""
        return {
            suffix: getattr(self, f"{name}_{suffix}", None)
            for suffix in ("table", "scale")
        }

    def kernel_table(self, name: str) -> Any:
        """Table `name` if kernels may read it, else None.

        They read the variable of a table with a dense gradient, and packed
        tables of integers, as a `PackedTable`.
        """
        if self.quantization_mode is not None:
            how, width = self._read_as(name)
            return packing.table_of(how, self._held(name), width)
        table = getattr(self, f"{name}_table", None)
        return None if self._sparse(table) else table

    def gather_index(self, name: str, index: Tensor) -> Tensor:
        """Int32 rows of index table `name`, `index.shape + (width,)`."""
        table = getattr(self, f"{name}_table")
        return ops.cast(gather.take(table, index), "int32")

    def whole_table(self, name: str) -> Tensor:
        """The whole table `name` as floats."""
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
        """Packs the tables of the layer and of its sub-layers.

        `"int8"` keeps one scale for each row, or for each 64 numbers if rows
        are shorter. `"int4"` packs two numbers into a byte and keeps one scale
        for each `config.block_size` numbers of a row (128 by default; rows
        shorter than 64 are grouped), or one scale for each row if
        `config.block_size` is None. Matrices that every lookup reads whole are
        packed to int8 in both modes.

        Args:
            mode: `"int8"` or `"int4"`.
            type_check: As in `keras.layers.Layer.quantize`.
            config: A `keras.quantizers.Int8QuantizationConfig` or
                `Int4QuantizationConfig`. Its activation quantizer is ignored,
                since the inputs are integer ids.

        Raises:
            NotImplementedError: For another mode, or for a config with a
                weight quantizer. Keras' `model.quantize` turns this error into
                a warning.
            ValueError: If the layer is not built, if it is already packed, or
                if it computes in float16, which Keras does not combine with
                int8.
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
        """Raises the errors of `quantize` without changing anything."""
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
    """Casts rows to a dtype, with NaN in the rows of out-of-range ids."""
    rows = ops.cast(rows, dtype)
    return rows if valid is None else nan_where_invalid(rows, valid)
