"""The circular memory of ROBE, which several tables may share."""

from typing import Any

import keras

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.tables import Table, TableLayer
from keras_pss.layers.initial_values import table_scale


@keras.saving.register_keras_serializable("keras_pss")
class SharedMemory(TableLayer):
    """One array of parameters for any number of `ROBEEmbedding` tables.

    The memory assigns a number to each table, so that the same id reads
    different positions in different tables. The memory is built, counted,
    trained and saved once, regardless of the number and the shapes of the
    tables. A saved and loaded model, or a copy of a model, keeps sharing it.

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
        self._numbers: set[int] = set()

    def claim(self, table: int | None) -> int:
        """Reserves a table number.

        Args:
            table: Integer, the number to reserve; None for the next free one.

        Returns:
            The reserved number.

        Raises:
            ValueError: If another table has the number. Both would read the
                same positions for the same ids.
        """
        if table is None:
            table = max(self._numbers, default=-1) + 1
        if table in self._numbers:
            raise ValueError(
                f"Memory '{self.name}' already has a table {table}. Leave "
                f"`table` out to get the next number. Received: table={table}"
            )
        self._numbers.add(table)
        return table

    def tables(self) -> dict[str, Table]:
        given = self.embeddings_initializer
        fill = table_scale.entries(given, None, 1, self.name)
        if table_scale.gives_table(given):
            fill = table_scale.table(given, self.memory_size, 1)
        return {"memory": Table(self.memory_size, 1, fill)}

    def lookup_numbers(self) -> int:
        return 0  # each table reports what it reads

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_size": self.memory_size}
