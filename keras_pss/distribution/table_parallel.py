"""A distribution of Keras that divides large tables among devices."""

import logging
from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base.tables import Table, table_being_built

logger = logging.getLogger(__name__)

BATCH, MODEL = "batch", "model"
# Parameters from which on a table is divided: what a smaller one saves in
# memory does not outweigh the exchange of its rows.
SMALLEST = 1 << 16


class TableParallel(keras.distribution.ModelParallel):
    """Divides the tables of this package's layers, and copies other weights.

    Devices form a mesh of `batch` times `model`. Along `batch`, each device
    has another part of each batch; along `model`, another part of each table.
    A table of at least 65,536 parameters is divided by rows if the number of
    rows is a multiple of `model_parallel`, else by columns if their number is;
    otherwise each device has a copy, and a message is logged. So it is with
    the memories of ROBE, stacked tables, hashed rows, index tables and
    counters alike; matrices that each lookup reads whole are copied. The
    optimizer's slots of a table are divided as the table is.

    Args:
        model_parallel: Integer, the number of parts of a table.
        devices: Names of devices, as `keras.distribution.list_devices` returns
            them. Consecutive devices share tables. Default: None, all devices.

    Raises:
        ValueError: If the devices cannot form such a mesh.

    Example:

    ```python
    keras.distribution.set_distribution(TableParallel(4))
    model = ...  # and then `compile` and `fit` as on one device
    ```
    """

    def __init__(
        self, model_parallel: int, devices: Sequence[str] | None = None
    ) -> None:
        names = list(devices or keras.distribution.list_devices())
        if model_parallel < 1 or len(names) % model_parallel:
            raise ValueError(
                "`model_parallel` must divide the number of devices. "
                f"Received: model_parallel={model_parallel} for "
                f"{len(names)} devices"
            )
        shape = (len(names) // model_parallel, model_parallel)
        mesh = keras.distribution.DeviceMesh(shape, (BATCH, MODEL), names)
        super().__init__(
            layout_map=keras.distribution.LayoutMap(mesh),
            batch_dim_name=BATCH,
            auto_shard_dataset=False,
        )
        self.model_parallel = model_parallel

    def get_variable_layout(self, variable: Any) -> Any:
        table = table_being_built()
        if getattr(variable, "_layout", None) is not None or table is None:
            return super().get_variable_layout(variable)
        axes = self._axes(table)
        if axes is None:
            return super().get_variable_layout(variable)
        return keras.distribution.TensorLayout(axes, self.device_mesh)

    def _axes(self, table: Table) -> tuple[str | None, str | None] | None:
        parts = self.model_parallel
        if parts == 1 or table.whole or table.size < SMALLEST:
            return None
        if table.rows % parts == 0:
            return MODEL, None
        if table.width % parts == 0:
            return None, MODEL
        logger.warning(
            "A table of %d rows and %d columns stays whole on each device: "
            "neither number is a multiple of model_parallel=%d.",
            table.rows,
            table.width,
            parts,
        )
        return None
