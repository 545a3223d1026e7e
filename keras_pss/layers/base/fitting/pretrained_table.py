"""A trained table in the place of an initializer."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class PretrainedTable(keras.initializers.Initializer):
    """Starts a compressed embedding with the rows of a trained table.

    A layer with this `embeddings_initializer` calls `fit_table(table, counts)`
    when it is built, whatever its method. Its config does not include the
    table: a layer that is loaded has the stored weights. A frozen layer
    (`trainable=False`) is fitted as well, since its weights are new.

    Args:
        table: The trained rows, of shape `(input_dim, output_dim)`, as in
            `CompressedEmbedding.fit_table`. None in configs.
        counts: Array of the number of occurrences of each id, as there.
            Defaults to None.

    Raises:
        ValueError: When the layer is built, as `fit_table` does; also for a
            layer of several tables, for which `fit_tables` is.

    Example:

    ```python
    rows = np.random.normal(size=(1000, 16)).astype("float32")
    layer = keras_pss.MixedDimensionEmbedding(
        1000, 16, keras_pss.PretrainedTable(rows), inner_dim=4
    )
    layer(np.array([[3, 999]])).shape  # (1, 2, 16)
    ```
    """

    def __init__(self, table: Any = None, counts: Any = None) -> None:
        self.table = table
        self.counts = counts

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        raise ValueError(
            "A PretrainedTable is for a compressed embedding of one table, "
            "which is built before a step that is traced. Call `build()` of "
            "the layer first; use `fit_tables` of a layer of several tables. "
            f"Received: a call for a weight of shape {tuple(shape)}"
        )

    def warn_if_unknown(self) -> None:
        """Warns that a layer starts with zeros, for lack of the table."""
        if self.table is None:
            warnings.warn(
                "The config of a PretrainedTable does not include the table, "
                "so the layer starts with zeros until its weights are "
                "assigned.",
                stacklevel=3,
            )

    def get_config(self) -> dict[str, Any]:
        return {}
