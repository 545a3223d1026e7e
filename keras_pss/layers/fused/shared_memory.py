"""The circular memory of ROBE, which several tables may share."""

import gc
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import keras
import numpy as np

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.fitting.fits_tables import FitsSeveralTables
from keras_pss.layers.base.tables import Table, TableLayer
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops.fitting import robe_memory
from keras_pss.ops.fitting.trained_table import TrainedTable


@keras.saving.register_keras_serializable("keras_pss")
class SharedMemory(FitsSeveralTables, TableLayer):
    """One array of parameters for any number of `ROBEEmbedding` tables.

    The memory assigns a number to each table, so that the same id reads
    different positions in different tables. The memory is built, counted,
    trained and saved once, regardless of the number and the shapes of the
    tables. A `.keras` file and `copy.deepcopy(model)` keep sharing it;
    `clone_model`, JSON and HDF5 raise an error.

    A file of `save_weights` does not contain the numbers. Give each table its
    number by `table=` if you use `load_weights`: otherwise the numbers follow
    from the order in which tables were created on this memory, including
    tables that are deleted since, as when a notebook cell runs again.

    Args:
        memory_size: Integer m, the number of parameters; below 2^31.
        embeddings_initializer: Initializer of the memory. A table that needs
            another scale has the argument `output_scale`. Defaults to
            `"uniform"`.
        embeddings_regularizer: Regularizer of the memory. Defaults to None.
        embeddings_constraint: Constraint of the memory. Defaults to None.
        **kwargs: `name`, `dtype` and `trainable`.

    Memory: `memory_size` parameters.

    Raises:
        ValueError: If `memory_size` is not a positive integer below 2^31.

    Example:

    ```python
    memory = keras_pss.SharedMemory(100_000)
    users = keras_pss.ROBEEmbedding(5_000_000, 32, memory=memory)
    items = keras_pss.ROBEEmbedding(2_000_000, 16, memory=memory)
    ```

    References: Desai et al., "Random Offset Block Embedding (ROBE)",
    section 3 (one array for all tables).
    """

    def __init__(
        self,
        memory_size: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            **kwargs,
        )
        self.memory_size = positive_int("memory_size", memory_size, 2**31 - 1)
        self._tables: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._next = 0

    def claim(self, table: int | None, layer: Any) -> int:
        """Reserves a table number as long as a layer exists.

        Args:
            table: Integer, the number to reserve; None for the number after
                the largest one that was ever reserved, so that it does not
                depend on when Python deletes unused layers.
            layer: The layer that the number is for.

        Returns:
            The reserved number.

        Raises:
            ValueError: If another layer has the number. Both would read the
                same positions for the same ids.
        """
        if table is None:
            table = self._next
        if table in self._tables:
            # Keras' layers form reference cycles, so an unused layer may be
            # alive until the next garbage collection.
            gc.collect()
        if table in self._tables:
            raise ValueError(
                f"Memory '{self.name}' already has a table {table}, layer "
                f"'{self._tables[table].name}'. Leave `table` out to get the "
                "next number. To create the same layers again, delete the old "
                "ones first or create a new `SharedMemory`. "
                f"Received: table={table}"
            )
        self._tables[table] = layer
        self._next = max(self._next, table + 1)
        return table

    def tables(self) -> dict[str, Table]:
        given = self.embeddings_initializer
        fill = table_scale.entries(given, None, 1, self.name)
        if table_scale.gives_table(given):
            fill = table_scale.table(given, self.memory_size, 1)
        return {"memory": Table(self.memory_size, 1, fill, by_row=False)}

    def readers(self) -> dict[int, Any]:
        """The layers that read the memory, by their table numbers."""
        gc.collect()  # unused layers may be alive until then
        return dict(sorted(self._tables.items()))

    def fitted_shapes(self) -> dict[Any, tuple[int | None, int]]:
        return {
            number: (layer.input_dim, layer.output_dim)
            for number, layer in self.readers().items()
        }

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        layers = self.readers().values()
        pairs = [
            (layer.robe_tables(), table)
            for layer, table in zip(layers, tables, strict=True)
        ]
        self.memory_table.assign(robe_memory.memory(self.memory_size, pairs))

    def rows_at(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [
            layer.rows_at([own])[0]
            for layer, own in zip(self.readers().values(), ids, strict=True)
        ]

    def lookup_numbers(self) -> int:
        return 0  # each table reports what it reads

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_size": self.memory_size}
