"""Named weight tables of a layer: built, read, regularised and quantised."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import constraints, initializers, ops, regularizers

from keras_pss.ops import gather

Tensor = Any


@dataclass(frozen=True)
class Table:
    """One trainable weight of shape `(rows, width)`.

    All weights are 2-D, so that quantisation, sharding and export treat every
    method alike.

    Attributes:
        rows, width: The shape.
        initializer: Fills it; takes a shape and a dtype.
    """

    rows: int
    width: int
    initializer: Any

    @property
    def size(self) -> int:
        return self.rows * self.width


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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        # Ids are not to be cast, and neither are whole tables (the weights say
        # so as well): rows are, once they are gathered.
        self.autocast = False

    def tables(self) -> dict[str, Table]:
        """Names and shapes of the weights, in the order they are saved."""
        raise NotImplementedError

    def parts(self) -> list[Any]:
        """Sub-layers that hold further tables."""
        return []

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        for name, table in self.tables().items():
            if self.quantization_mode is None:
                weight = self.add_weight(
                    name=f"{name}_table",
                    shape=(table.rows, table.width),
                    initializer=table.initializer,
                    regularizer=self.embeddings_regularizer,
                    constraint=self.embeddings_constraint,
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
        groups = -(-table.rows // gather.int8_group(table.width))
        for suffix, shape, dtype in (
            ("table", (table.rows, table.width), "int8"),
            ("scale", (groups,), self.variable_dtype),
        ):
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
            return gather.rows(table, index)
        return gather.rows_int8(table, getattr(self, f"{name}_scale"), index)

    def gather_elements(self, name: str, index: Tensor) -> Tensor:
        """Elements of table `name` read as one array, `index.shape`, float."""
        table = getattr(self, f"{name}_table")
        if self.quantization_mode is None:
            return gather.elements(table, index)
        scale = getattr(self, f"{name}_scale")
        return gather.elements_int8(table, scale, index)

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
            name: gather.pack_int8(
                ops.convert_to_numpy(getattr(self, f"{name}_table"))
            )
            for name in self.tables()
        }
        # Keras would quantise again when it sees the new policy.
        self._is_quantized = True
        self.dtype_policy = policy
        for name, table in self.tables().items():
            delattr(self, f"{name}_table")
            self._build_int8(name, table)
            values, scales = packed[name]
            getattr(self, f"{name}_table").assign(values)
            getattr(self, f"{name}_scale").assign(scales)

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
        }


def cast_rows(rows: Tensor, valid: Tensor | None, dtype: str) -> Tensor:
    """Rows in the compute dtype, NaN where an id was not valid."""
    rows = ops.cast(rows, dtype)
    if valid is None:
        return rows
    return ops.where(ops.expand_dims(valid, -1), rows, np.nan)
