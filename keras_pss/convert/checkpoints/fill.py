"""Copies the weights of a checkpoint's table into a layer."""

from typing import Any

import numpy as np

from keras_pss.convert.checkpoints.found_table import FoundTable
from keras_pss.convert.checkpoints.sources import Checkpoint
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.initial_values.stored import weights_are_fitted
from keras_pss.messages import shown
from keras_pss.ops.fitting.variables import filling

# Numbers that are read at once.
BLOCK = 1 << 24


def fill(layer: Any, found: FoundTable, source: Checkpoint) -> None:
    """Builds a layer and reads its weights, a block of rows at a time.

    Raises:
        ValueError: If the layer is of another kind or shape, or is packed, or
            its dtype does not hold the numbers.
    """
    shapes = {part: found.table_shape(part) for part in found.parts}
    _check(layer, found, shapes)
    with weights_are_fitted():
        layer.build()
    for part, (rows, width) in shapes.items():
        table = getattr(layer, f"{part}_table")
        step = max(1, BLOCK // width)
        with filling(table) as write:
            for begin in range(0, rows, step):
                end = min(rows, begin + step)
                block = found.rows(source, part, begin, end)
                _check_finite(block, table.dtype, found)
                write(begin, block)


def _check_finite(rows: np.ndarray, dtype: str, found: FoundTable) -> None:
    ok = np.isfinite(rows).all()
    if dtype == "float16":
        ok &= (np.abs(rows) <= np.finfo(np.float16).max).all()
    if not ok:
        raise ValueError(
            f"Table {found.name!r} must have finite numbers that its layer "
            "holds. Give a layer of another dtype, or replace them in the "
            "checkpoint: a model that has diverged has such numbers. "
            f"Received: numbers that are not finite as {dtype}"
        )


def _check(
    layer: Any, found: FoundTable, shapes: dict[str, tuple[int, int]]
) -> None:
    wanted = method_class(found.kind)
    if not isinstance(layer, wanted):
        raise ValueError(
            f"Table {found.name!r} is of the kind {found.kind!r}, so its layer "
            f"must be a {wanted.__name__}. Received: {shown(layer)}"
        )
    if layer.quantization_mode is not None:
        raise ValueError(
            "A packed layer cannot hold the floats of a checkpoint. Create it "
            "with a float dtype, import the table, then call `quantize`. "
            f"Received: dtype={layer.dtype_policy.name} for {found.name!r}"
        )
    own = {n: (t.rows, t.width) for n, t in layer.float_tables().items()}
    if own != shapes:
        raise ValueError(
            f"The layer of table {found.name!r} must have weights of the "
            f"shapes {shapes}, those of the checkpoint. "
            f"Received: layer '{layer.name}' with {own}"
        )
    found.check_layer(layer)
