"""The kernels as TensorFlow operations, also under XLA.

The file is long because each operation stands with its gradient.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_pss.native import switch, tracing
from keras_pss.native.packed_table import PackedTable

Tensor = Any

_library: Any = None
_cuda = False


def version() -> str:
    return tf.__version__


def load(path: Path, cuda: bool) -> None:
    global _library, _cuda
    _library, _cuda = tf.load_op_library(str(path)), cuda


def usable(*_values: Any) -> bool:
    """Whether the current device has kernels.

    The CPU does, and GPUs outside of XLA where they are enabled.
    """
    if not on_gpu():
        return True
    return _cuda and switch.on_gpu() and not tracing.under_xla()


def on_gpu() -> bool:
    """Whether graphs run on a GPU, which lacks some of the kernels."""
    return bool(tf.config.get_visible_devices("GPU"))


def check_ids(ids: Tensor, limits: Sequence[int], message: str) -> Tensor:
    """Returns the ids, or raises an `InvalidArgumentError`; not under XLA.

    Args:
        ids: int32 or int64 ids of any shape.
        limits: One `input_dim` for all ids, or one for each index of the last
            axis; -1 for no limit.
        message: Start of the error message, which then names the first
            out-of-range id.
    """
    return _library.keras_pss_check_ids(ids, limits=limits, message=message)


def robe_lookup(
    memory: Tensor,
    ids: Tensor,
    keys: np.ndarray,
    scales: Sequence[float],
    splits: Tensor | None = None,
    weights: Tensor | None = None,
    *,
    output_dim: int,
    block_size: int,
) -> Tensor:
    """Rows of ROBE tables, `(rows, output_dim)`.

    Args:
        memory: The memory, floats of any shape.
        ids: Ids `(n,)`; output row r belongs to table r mod F.
        keys: Hash keys, int32 `(F, words, 3)`; see `robe.Tables.keys`.
        scales: The factor of each table's rows; empty for ones.
        splits: Row splits of bags, int32 `(rows + 1,)`: the output is the sum
            of each bag. Default: None, one row per id.
        weights: Weights of the ids, float32 `(n,)`. Default: None, for ones.
        output_dim: The length of a row.
        block_size: Z, the length of a block.
    """
    none = np.zeros(0, np.int32)
    return _library.keras_pss_robe_lookup(
        memory,
        ids,
        keys,
        np.asarray(scales, np.float32),
        none if splits is None else splits,
        none.astype(np.float32) if weights is None else weights,
        output_dim=output_dim,
        block_size=block_size,
    )


def tensor_train_lookup(
    ids: Tensor,
    cores: Sequence[Tensor],
    shapes: Sequence[tuple[int, int, int, int]],
) -> Tensor:
    """Rows of a tensor train or tensor ring, `(n, prod(q))`.

    Args:
        ids: Ids `(n,)`; an id outside of the table has its first or last row.
        cores: The cores, float32 of any shapes.
        shapes: The shapes `(p, r, q, r')` of the cores.
    """
    return _library.keras_pss_tensor_train_lookup(
        ids, cores, shapes=[size for shape in shapes for size in shape]
    )


def packed_robe_lookup(
    memory: PackedTable,
    ids: Tensor,
    keys: np.ndarray,
    scales: Sequence[float],
    splits: Tensor | None = None,
    weights: Tensor | None = None,
    *,
    memory_size: int,
    output_dim: int,
    block_size: int,
) -> Tensor:
    """`robe_lookup` in a packed memory of `memory_size` numbers."""
    none = np.zeros(0, np.int32)
    return _library.keras_pss_packed_robe_lookup(
        memory.codes,
        memory.scale,
        ids,
        keys,
        np.asarray(scales, np.float32),
        none if splits is None else splits,
        none.astype(np.float32) if weights is None else weights,
        layout=memory.layout,
        memory_size=memory_size,
        output_dim=output_dim,
        block_size=block_size,
    )


def packed_tensor_train_lookup(
    ids: Tensor,
    cores: Sequence[PackedTable],
    shapes: Sequence[tuple[int, int, int, int]],
) -> Tensor:
    """`tensor_train_lookup` with packed cores, float32 `(n, prod(q))`."""
    return _library.keras_pss_packed_tensor_train_lookup(
        ids,
        [core.codes for core in cores],
        [tf.cast(core.scale, tf.float32) for core in cores],
        layout=[number for core in cores for number in core.layout],
        shapes=[size for shape in shapes for size in shape],
    )


def unpack_rows(table: PackedTable, index: Tensor, width: int) -> Tensor:
    """Rows of `width` consecutive numbers of a packed table, `(n, width)`."""
    return _library.keras_pss_unpack_rows(
        table.codes, table.scale, index, layout=table.layout, width=width
    )


def pair_sums(ids: Tensor, first: Tensor, second: Tensor, terms: int) -> Tensor:
    """Sums of products of rows of two tables, `(n, r)`.

    Args:
        ids: Ids `(n,)`; an id outside of the tables has their first or last
            rows.
        first: U, float32 `(n1, terms r)`.
        second: V, float32 `(n2, terms r)`.
        terms: The number of products in a sum.
    """
    return _library.keras_pss_pair_sums(ids, first, second, terms=terms)


def distinct_ids(
    ids: Tensor, sample: int, most: float, chunks: int, least: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct ids in the order in which they appear, in chunks.

    Args:
        ids: Ids `(n,)`.
        sample: How many of the first ids decide whether many repeat.
        most: If at least this share of them is distinct, all ids are returned.
        chunks: The largest number of chunks.
        least: The least number of ids in a chunk, if there are several.

    Returns:
        The distinct ids `(chunks, rows)`, filled up with the first id; the
        index of each id among them, int32 `(n,)`; and their number, int32.
    """
    return _library.keras_pss_distinct_ids(
        ids, sample=sample, most=most, most_chunks=chunks, least_rows=least
    )


def gather_rows(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]` for `(n,)` indices in range, with a dense gradient."""
    return _library.keras_pss_gather_rows(table, index)


def sum_equal(values: Tensor, index: Tensor) -> Tensor:
    """Sums rows `(n, width)` of equal index at the first; others become 0."""
    return _library.keras_pss_sum_equal(values, index)


def split_columns(
    columns: Tensor, chosen: Sequence[int], width: int
) -> tuple[Tensor, Tensor]:
    """The chosen columns (increasing) of `(n, width, d)`, and the others."""
    return _library.keras_pss_split_columns(columns, chosen=chosen, width=width)


def join_columns(
    first: Tensor, second: Tensor, chosen: Sequence[int], width: int
) -> Tensor:
    """The inverse of `split_columns`, `(n, width, d)`."""
    return _library.keras_pss_join_columns(
        first, second, chosen=chosen, width=width
    )


@tf.RegisterGradient("KerasPss>SplitColumns")
def _split_columns_gradient(op: Any, first: Tensor, second: Tensor) -> Tensor:
    chosen, width = op.get_attr("chosen"), op.get_attr("width")
    return join_columns(first, second, chosen, width)


@tf.RegisterGradient("KerasPss>JoinColumns")
def _join_columns_gradient(op: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
    chosen, width = op.get_attr("chosen"), op.get_attr("width")
    return split_columns(upstream, chosen, width)


@tf.RegisterGradient("KerasPss>RobeLookup")
def _robe_lookup_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    memory, ids, keys, scales, splits, weights = op.inputs
    sizes = {
        "output_dim": op.get_attr("output_dim"),
        "block_size": op.get_attr("block_size"),
    }
    gradient = _library.keras_pss_robe_gradient(
        upstream,
        *op.inputs[1:],
        memory_size=memory.shape.num_elements(),
        **sizes,
    )
    by_weight = None
    if weights.shape.num_elements() != 0:
        rows = _library.keras_pss_robe_lookup(
            memory, ids, keys, scales, splits[:0], weights[:0], **sizes
        )
        by_weight = _gradient_by_weight(rows, upstream, splits, ids)
    return [
        tf.reshape(gradient, tf.shape(memory)),
        *[None] * 4,
        by_weight,
    ]


@tf.RegisterGradient("KerasPss>RobeGradient")
def _robe_gradient_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    rows = _library.keras_pss_robe_lookup(
        upstream,
        *op.inputs[1:],
        output_dim=op.get_attr("output_dim"),
        block_size=op.get_attr("block_size"),
    )
    return [rows, *[None] * 5]


@tf.RegisterGradient("KerasPss>PackedRobeLookup")
def _packed_robe_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    # Packed tables are not trained, but the weights of bags may be.
    *memory, ids, keys, scales, splits, weights = op.inputs
    by_weight = None
    if weights.shape.num_elements() != 0:
        names = "layout", "memory_size", "output_dim", "block_size"
        rows = _library.keras_pss_packed_robe_lookup(
            *memory, ids, keys, scales, splits[:0], weights[:0],
            **{name: op.get_attr(name) for name in names},
        )  # fmt: skip
        by_weight = _gradient_by_weight(rows, upstream, splits, ids)
    return [*[None] * 6, by_weight]


tf.no_gradient("KerasPss>PackedTensorTrainLookup")
tf.no_gradient("KerasPss>UnpackRows")


def _gradient_by_weight(
    rows: Tensor, upstream: Tensor, splits: Tensor, ids: Tensor
) -> Tensor:
    """d/dw_i Σ_j w_j E[x_j] · u = E[x_i] · u, float32 `(n,)`."""
    if splits.shape.num_elements() != 0:
        upstream = tf.gather(upstream, _rows_of_ids(splits, tf.size(ids)))
    return tf.reduce_sum(tf.cast(rows * upstream, tf.float32), axis=1)


@tf.RegisterGradient("KerasPss>TensorTrainLookup")
def _tensor_train_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    ids, *cores = op.inputs
    gradients = _library.keras_pss_tensor_train_gradient(
        upstream, ids, cores, shapes=op.get_attr("shapes")
    )
    return [None, *gradients]


@tf.RegisterGradient("KerasPss>TensorTrainGradient")
def _tensor_train_second(op: Any, *weights: Tensor) -> list[Tensor | None]:
    # A row is linear in each core: its derivative along the weights is the sum
    # of the rows with one core replaced by its weights.
    upstream, ids, *cores = op.inputs
    shapes = op.get_attr("shapes")
    rows, slopes = [], []
    for k, weight in enumerate(weights):
        replaced = [*cores[:k], weight, *cores[k + 1 :]]
        rows.append(
            _library.keras_pss_tensor_train_lookup(ids, replaced, shapes=shapes)
        )
        slopes.append(
            _library.keras_pss_tensor_train_gradient(
                upstream, ids, replaced, shapes=shapes
            )
        )
    by_core = [
        tf.add_n([slope[j] for k, slope in enumerate(slopes) if k != j])
        for j in range(len(cores))
    ]
    return [tf.add_n(rows), None, *by_core]


@tf.RegisterGradient("KerasPss>PairSums")
def _pair_sums_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    terms = op.get_attr("terms")
    return [
        None,
        *_library.keras_pss_pair_sums_gradient(
            upstream, *op.inputs, terms=terms
        ),
    ]


@tf.RegisterGradient("KerasPss>PairSumsGradient")
def _pair_sums_second(
    op: Any, by_first: Tensor, by_second: Tensor
) -> list[Tensor | None]:
    # The sums are linear in each table: the derivative along (a, b) is that of
    # Σ (a V + U b), and a table's gradient depends on the other table alone.
    upstream, ids, first, second = op.inputs
    terms = op.get_attr("terms")
    rows = pair_sums(ids, by_first, second, terms)
    rows += pair_sums(ids, first, by_second, terms)
    slopes = _library.keras_pss_pair_sums_gradient(
        upstream, ids, by_first, by_second, terms=terms
    )
    return [rows, None, *slopes]


@tf.RegisterGradient("KerasPss>GatherRows")
def _gather_rows_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    table, index = op.inputs
    gradient = _library.keras_pss_scatter_rows(
        upstream, index, rows=table.shape[0]
    )
    return [gradient, None]


@tf.RegisterGradient("KerasPss>ScatterRows")
def _scatter_rows_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    return [_library.keras_pss_gather_rows(upstream, op.inputs[1]), None]


@tf.RegisterGradient("KerasPss>SumEqual")
def _sum_equal_gradient(op: Any, upstream: Tensor) -> list[Tensor | None]:
    # Each row was added at the first row of its index: its gradient is there.
    index = op.inputs[1]
    unique, group = tf.unique(index)
    place = tf.range(tf.size(index))
    first = tf.math.unsorted_segment_min(place, group, tf.size(unique))
    return [tf.gather(upstream, tf.gather(first, group)), None]


@tf.RegisterGradient("KerasPss>CheckIds")
def _check_ids_gradient(op: Any, upstream: Tensor) -> list[None]:
    return [None]


def _rows_of_ids(splits: Tensor, size: Tensor) -> Tensor:
    """The row (bag) of each id, by the row splits: `(n,)`."""
    ends = tf.ones_like(splits[1:-1])
    steps = tf.scatter_nd(splits[1:-1, None], ends, [size + 1])
    return tf.cumsum(steps)[:size]
