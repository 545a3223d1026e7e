"""The storage of rows by popularity: float32, or packed with one scale."""

from typing import Any

from keras_pss.layers.base.budget import BYTES_A_PARAMETER, units
from keras_pss.layers.base.packable import one_scale_policy, packed_policy
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.popular.popular_strings import checked_storage
from keras_pss.ops.methods.one_scale import OneScale, Unpacked
from keras_pss.ops.packing import Packing

Tensor = Any


class StoredRows:
    """Tables that are rounded to the grid on which they are served.

    A class beside a `TableLayer`, whose constructor calls `_set_storage`.
    """

    dtype_policy: Any
    float_tables: Any
    gather_elements: Any
    gather_rows: Any
    packed_bytes: Any
    quantization_mode: Any
    storage: str
    tables: Any
    variable_dtype: str

    def _set_storage(self, storage: str) -> None:
        self.storage = checked_storage(storage)
        if storage != "float32" and self.variable_dtype != "float32":
            raise ValueError(
                f"storage={storage!r} rounds float32 weights. Use "
                "dtype='float32', 'mixed_bfloat16' or 'mixed_float16', or "
                "storage='float32'. "
                f"Received: dtype={self.dtype_policy.name}"
            )

    def stored_rows(self, name: str, index: Tensor) -> Tensor:
        """Rows of table `name` as they are served."""
        return self._on_grid(name, self.gather_rows(name, index))

    def stored_elements(self, name: str, index: Tensor) -> Tensor:
        """Elements of the flattened table `name` as they are served."""
        return self._on_grid(name, self.gather_elements(name, index))

    def _on_grid(self, name: str, values: Tensor) -> Tensor:
        if self.storage == "float32" or self.quantization_mode is not None:
            return values
        grid = OneScale(self.storage)
        return grid.rounded(values, grid.scale(getattr(self, f"{name}_table")))

    def packing(self, mode: str, size: int, whole: bool = False) -> Packing:
        if self.storage == "float32":
            return super().packing(mode, size, whole)  # type: ignore[misc]
        if whole:
            return Unpacked()
        return OneScale("int4" if mode == "int4" else self.storage)

    def packed_policy(self, mode: str, config: Any) -> Any:
        if self.storage == "float32":
            return packed_policy(self, mode, config)
        return one_scale_policy(self, mode, config, "one scale for each band")

    def budget_size(self) -> int:
        """Size of the served layer as a budget counts it, in parameters."""
        return units(sum(map(self._served_bytes, self.tables().values())))

    def _served_bytes(self, table: Table) -> int:
        if table.dtype is not None:
            return table.bytes
        if self.storage == "float32":
            return BYTES_A_PARAMETER * table.size
        return self.packed_bytes(table, "int8")
