"""The layer that a table of a checkpoint becomes, and its weights."""

import math
import re
from collections.abc import Sequence
from typing import Any

from keras_pss.convert.checkpoints.found_table import FoundTable
from keras_pss.convert.checkpoints.sources import Source
from keras_pss.layers.embedding.full_embedding import FullEmbedding
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.embedding.mixed_dimension_embedding import (
    MixedDimensionEmbedding,
)
from keras_pss.layers.embedding.qr_embedding import OPERATIONS, QREmbedding
from keras_pss.layers.embedding.tt_embedding import TTEmbedding
from keras_pss.messages import shown
from keras_pss.ops import gather

# Numbers that are read at once.
BLOCK = 1 << 24


def new_layer(
    found: FoundTable, operation: str | None, column_shape: Any
) -> Any:
    """Creates the layer of a table, which is not yet built.

    Args:
        found: The table.
        operation: How quotients and remainders are combined.
        column_shape: Factors of the columns of cores that do not say them.
    """
    name = re.sub(r"\W+", "_", found.name).strip("_") or None
    rows = found.input_dim
    if found.kind == "full":
        width = found.shapes["embeddings"][1]
        # The values are replaced, and zeros take the least memory.
        return FullEmbedding(rows, width, "zeros", name=name)
    if found.kind == "mixed_dimension":
        return _projected(found, rows, name)
    if found.kind == "qr":
        width = _combined_width(found, operation)
        buckets = found.shapes["remainder"][0]
        return QREmbedding(
            rows,
            width,
            num_buckets=buckets,
            operation=operation or "",
            name=name,
        )
    columns, ranks = _core_sizes(found, column_shape)
    return TTEmbedding(
        rows,
        math.prod(columns),
        rank=ranks,
        row_shape=found.row_shape,
        column_shape=columns,
        name=name,
    )


def fill(layer: Any, found: FoundTable, source: Source) -> None:
    """Builds a layer and reads its weights, a block of rows at a time.

    Raises:
        ValueError: If the layer is of another kind or shape, or is packed.
    """
    _check_layer(layer, found)
    layer.build()
    for name, (rows, width) in found.table_shapes.items():
        step = rows
        if found.kind == "full" or name == "narrow":
            step = max(1, BLOCK // width)
        for begin in range(0, rows, step):
            block = found.rows(source, name, begin, min(rows, begin + step))
            gather.write_rows(getattr(layer, f"{name}_table"), begin, block)


def _check_layer(layer: Any, found: FoundTable) -> None:
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
    if own != found.table_shapes:
        raise ValueError(
            f"The layer of table {found.name!r} must have weights of the "
            f"shapes {found.table_shapes}, those of the checkpoint. "
            f"Received: layer '{layer.name}' with {own}"
        )
    if found.kind == "tt" and found.column_shape not in (
        None,
        layer.column_shape,
    ):
        raise ValueError(
            f"The cores of table {found.name!r} have column_shape="
            f"{found.column_shape}. "
            f"Received: a layer with column_shape={layer.column_shape}"
        )


def _projected(found: FoundTable, rows: int, name: str | None) -> Any:
    width, inner = found.shapes["projection"]
    narrow = found.shapes["narrow"][1]
    if inner != narrow or inner >= width:
        raise ValueError(
            f"The rows of table {found.name!r} must be narrower than what they "
            f"are projected to. Received: rows of {narrow} columns and a "
            f"projection of shape {(width, inner)}"
        )
    return MixedDimensionEmbedding(rows, width, inner_dim=inner, name=name)


def _combined_width(found: FoundTable, operation: str | None) -> int:
    if operation not in OPERATIONS:
        raise ValueError(
            f"A checkpoint does not say how table {found.name!r} combines "
            "quotients and remainders. Give `operation`, 'mult' (the default "
            "of dlrm's --qr-operation), 'add' or 'concat'. "
            f"Received: operation={shown(operation)}"
        )
    widths = [shape[1] for shape in found.shapes.values()]
    if widths[0] != widths[1]:
        raise ValueError(
            "A QREmbedding has quotients and remainders of the same width. "
            "Import them as two tables, and concatenate their rows: "
            f"`layers={[*found.parts.values()]}`. "
            f"Received: widths {widths} in table {found.name!r}"
        )
    return sum(widths) if operation == "concat" else widths[0]


def _core_sizes(
    found: FoundTable, column_shape: Any
) -> tuple[tuple[int, ...], list[int]]:
    """Column factors of each core, and the ranks between cores."""
    shapes = list(found.shapes.values())
    if found.column_shape is not None:
        return found.column_shape, [shape[3] for shape in shapes[:-1]]
    if not isinstance(column_shape, list | tuple):
        raise ValueError(
            f"The cores of table {found.name!r} do not say how a row is "
            "divided. Give `column_shape`, the tt_q_shapes of FBTT, whose "
            "product is the length of a row. "
            f"Received: column_shape={shown(column_shape)}"
        )
    ranks = _ranks([shape[2] for shape in shapes], column_shape)
    if ranks is None:
        raise ValueError(
            f"`column_shape` must divide the cores of table {found.name!r}: "
            f"one factor for each of {len(shapes)} cores, with r q r' = "
            f"{tuple(shape[2] for shape in shapes)} and a last rank of 1. "
            f"Received: column_shape={shown(column_shape)}"
        )
    return tuple(column_shape), ranks


def _ranks(widths: Sequence[int], columns: Sequence[Any]) -> list[int] | None:
    """Ranks between cores of r q r' numbers; None if the q do not fit."""
    if len(columns) != len(widths):
        return None
    found = [1]
    for width, factor in zip(widths, columns, strict=True):
        if not isinstance(factor, int) or factor < 1:
            return None
        rank, left = divmod(width, found[-1] * factor)
        if left or not rank:
            return None
        found.append(rank)
    return found[1:-1] if found[-1] == 1 else None
