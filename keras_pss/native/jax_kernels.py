"""The kernels as FFI calls of JAX.

The file is long because each call stands with its derivatives of both orders.
"""

import ctypes
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from keras import distribution

from keras_pss.native import switch
from keras_pss.native.packed_table import PackedTable

Tensor = Any
Shapes = tuple[tuple[int, int, int, int], ...]

_CALLS = (
    "robe_lookup",
    "robe_gradient",
    "tensor_train_lookup",
    "tensor_train_gradient",
)
_CPU_CALLS = (
    "packed_robe_lookup",
    "packed_tensor_train_lookup",
    "pair_sums",
    "pair_sums_gradient",
    "distinct_ids",
)
_platforms: set[str] = set()


def version() -> str:
    return jaxlib.version.__version__


def load(path: Path, cuda: bool) -> None:
    library = ctypes.CDLL(str(path))
    platforms = {"cpu": "cpu", **({"cuda": "CUDA"} if cuda else {})}
    for suffix, platform in platforms.items():
        for name in _CALLS + (_CPU_CALLS if suffix == "cpu" else ()):
            symbol = getattr(library, f"keras_pss_{name}_{suffix}")
            jax.ffi.register_ffi_target(
                f"keras_pss_{name}",
                jax.ffi.pycapsule(symbol),
                platform=platform,
            )
        _platforms.add({"cpu": "cpu", "cuda": "gpu"}[suffix])


@dataclass(frozen=True)
class Parts:
    """How the devices of a `keras.distribution` share the ids of a lookup."""

    mesh: Mesh
    axis: str

    @property
    def count(self) -> int:
        return int(self.mesh.shape[self.axis])


def usable(*values: Any) -> bool:
    """Whether the devices of the current trace have kernels.

    They run on CPUs, or on GPUs where they are enabled. XLA cannot partition
    an FFI call, so under a `keras.distribution` each device calls it for its
    own part of the ids. They must divide evenly, and all devices have the
    whole memory.

    Args:
        *values: The memory and the ids; nothing for another kernel.
    """
    platform = jax.default_backend()
    if platform not in _platforms or not (platform == "cpu" or switch.on_gpu()):
        return False
    if distribution.distribution() is None:
        return True
    parts = _parts()
    if parts is None or len(values) != 2:
        return False
    memory, ids = values
    # Outside of a trace, arrays are where they are.
    traced = isinstance(getattr(memory, "value", memory), jax.core.Tracer)
    return traced and ids.size % parts.count == 0 and _is_copied(memory)


def _parts() -> Parts | None:
    """The mesh of the current distribution, and its axis of the batch."""
    current = distribution.distribution()
    axis = getattr(current, "batch_dim_name", None)
    if current is None or axis is None:
        return None
    return Parts(current.device_mesh.backend_mesh, axis)


def _is_copied(memory: Any) -> bool:
    """Whether each device has the whole memory, a Keras variable."""
    current = distribution.distribution()
    if not hasattr(memory, "path"):
        return isinstance(current, distribution.DataParallel)
    layout = current.get_variable_layout(memory)
    axes = getattr(layout, "axes", None)
    return axes is not None and all(axis is None for axis in axes)


def on_gpu() -> bool:
    """Whether the current device lacks some of the kernels."""
    return jax.default_backend() != "cpu"


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
    """Rows of ROBE tables; see `tensorflow_kernels.robe_lookup`."""
    none = jnp.zeros(0, jnp.int32)
    whole = splits is not None or weights is not None
    return _robe_lookup(
        output_dim,
        block_size,
        None if whole else _parts(),
        jnp.reshape(memory, -1),
        ids,
        jnp.asarray(keys),
        jnp.asarray(np.asarray(scales, np.float32)),
        none if splits is None else splits,
        none.astype("float32") if weights is None else weights,
    )


def tensor_train_lookup(
    ids: Tensor,
    cores: Sequence[Tensor],
    shapes: Sequence[tuple[int, int, int, int]],
) -> Tensor:
    """Rows of a tensor train; see `tensorflow_kernels.tensor_train_lookup`."""
    return _tensor_train(tuple(shapes), ids, *cores)


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
    """See `tensorflow_kernels.packed_robe_lookup`; without a gradient."""
    codes, scale = _arrays(memory)
    none = jnp.zeros(0, jnp.int32)
    rows = ids.size if splits is None else splits.size - 1
    return jax.ffi.ffi_call(
        "keras_pss_packed_robe_lookup",
        jax.ShapeDtypeStruct((rows, output_dim), scale.dtype),
        vmap_method="sequential",
    )(
        codes,
        scale,
        ids,
        jnp.asarray(keys),
        jnp.asarray(np.asarray(scales, np.float32)),
        none if splits is None else splits,
        none.astype("float32") if weights is None else weights,
        layout=np.array(memory.layout, np.int64),
        memory_size=np.int64(memory_size),
        **_attributes(output_dim, block_size),
    )


def packed_tensor_train_lookup(
    ids: Tensor,
    cores: Sequence[PackedTable],
    shapes: Sequence[tuple[int, int, int, int]],
) -> Tensor:
    """See `tensorflow_kernels.packed_tensor_train_lookup`."""
    codes, scales = zip(*map(_arrays, cores), strict=True)
    columns = math.prod(width for _, _, width, _ in shapes)
    return jax.ffi.ffi_call(
        "keras_pss_packed_tensor_train_lookup",
        jax.ShapeDtypeStruct((ids.size, columns), "float32"),
        vmap_method="sequential",
    )(
        ids,
        *codes,
        *(scale.astype("float32") for scale in scales),
        layout=np.array([core.layout for core in cores], np.int64).ravel(),
        shapes=np.array(shapes, np.int64).ravel(),
    )


def _arrays(table: PackedTable) -> tuple[Tensor, Tensor]:
    """Codes and scales, which are not trained."""
    codes, scale = (jnp.asarray(x) for x in (table.codes, table.scale))
    return codes, jax.lax.stop_gradient(scale)


def pair_sums(ids: Tensor, first: Tensor, second: Tensor, terms: int) -> Tensor:
    """Sums of products of rows; see `tensorflow_kernels.pair_sums`."""
    return _pair_sums(terms, ids, first, second)


def distinct_ids(
    ids: Tensor, sample: int, most: float, chunks: int, least: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct ids in chunks; see `tensorflow_kernels.distinct_ids`."""
    # The same as custom_ops/tensorflow/chunks.h.
    count = max(1, min(chunks, ids.size // least))
    shapes = (count, -(-ids.size // count)), (ids.size,), ()
    distinct, place, found = jax.ffi.ffi_call(
        "keras_pss_distinct_ids",
        [
            jax.ShapeDtypeStruct(shape, dtype)
            for shape, dtype in zip(
                shapes, (ids.dtype, jnp.int32, jnp.int32), strict=True
            )
        ],
        vmap_method="sequential",
    )(ids, sample=np.int64(sample), most=np.float32(most))
    return distinct, place, found


def _call(name: str, shape: tuple[int, ...], first: Tensor, *rest: Any) -> Any:
    *inputs, attributes = rest
    return jax.ffi.ffi_call(
        f"keras_pss_{name}",
        jax.ShapeDtypeStruct(shape, first.dtype),
        vmap_method="sequential",
    )(first, *inputs, **attributes)


def _attributes(output_dim: int, block_size: int) -> dict[str, Any]:
    return {
        "output_dim": np.int64(output_dim),
        "block_size": np.int64(block_size),
    }


# A lookup and its gradient are linear in the memory and transposes of each
# other, so each is the derivative of the other.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _robe_lookup(
    output_dim: int,
    block_size: int,
    parts: Parts | None,
    memory: Tensor,
    ids: Tensor,
    keys: Tensor,
    scales: Tensor,
    splits: Tensor,
    weights: Tensor,
) -> Tensor:
    rows = splits.size - 1 if splits.size else ids.size
    attributes = _attributes(output_dim, block_size)
    args = (memory, ids, keys, scales, splits, weights)
    if parts is None:
        return _call("robe_lookup", (rows, output_dim), *args, attributes)

    def own(*args: Tensor) -> Tensor:
        shape = rows // parts.count, output_dim
        return _call("robe_lookup", shape, *args, attributes)

    ids_alone = (P(), P(parts.axis), P(), P(), P(), P())
    return jax.shard_map(
        own,
        mesh=parts.mesh,
        in_specs=ids_alone,
        out_specs=P(parts.axis),
        check_vma=False,
    )(*args)


def _robe_lookup_forward(
    output_dim: int, block_size: int, parts: Parts | None, *args: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    return _robe_lookup(output_dim, block_size, parts, *args), args


def _robe_lookup_backward(
    output_dim: int,
    block_size: int,
    parts: Parts | None,
    args: tuple[Tensor, ...],
    upstream: Tensor,
) -> tuple[Tensor | None, ...]:
    memory, ids, keys, scales, splits, weights = args
    gradient = _robe_gradient(
        output_dim, block_size, parts, memory.size, upstream, *args[1:]
    )
    by_weight = None
    if weights.size:
        # d/dw_i Σ_j w_j E[x_j] · u = E[x_i] · u
        rows = _robe_lookup(
            output_dim, block_size, parts, memory, ids, keys, scales,
            splits[:0], weights[:0],
        )  # fmt: skip
        if splits.size:
            upstream = upstream[_rows_of_ids(splits, ids.size)]
        by_weight = jnp.sum((rows * upstream).astype("float32"), axis=1)
    return gradient, None, None, None, None, by_weight


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _robe_gradient(
    output_dim: int,
    block_size: int,
    parts: Parts | None,
    memory_size: int,
    upstream: Tensor,
    *where: Tensor,
) -> Tensor:
    attributes = _attributes(output_dim, block_size)

    def own(*args: Tensor) -> Tensor:
        return _call("robe_gradient", (memory_size,), *args, attributes)

    if parts is None:
        return own(upstream, *where)

    def summed(*args: Tensor) -> Tensor:
        return jax.lax.psum(own(*args), parts.axis)

    rows_and_ids = (P(parts.axis), P(parts.axis), P(), P(), P(), P())
    return jax.shard_map(
        summed,
        mesh=parts.mesh,
        in_specs=rows_and_ids,
        out_specs=P(),
        check_vma=False,
    )(upstream, *where)


def _robe_gradient_forward(
    output_dim: int,
    block_size: int,
    parts: Parts | None,
    memory_size: int,
    upstream: Tensor,
    *where: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    found = _robe_gradient(
        output_dim, block_size, parts, memory_size, upstream, *where
    )
    return found, where


def _robe_gradient_backward(
    output_dim: int,
    block_size: int,
    parts: Parts | None,
    memory_size: int,
    where: tuple[Tensor, ...],
    upstream: Tensor,
) -> tuple[Tensor | None, ...]:
    rows = _robe_lookup(output_dim, block_size, parts, upstream, *where)
    return rows, *[None] * len(where)


def _rows_of_ids(splits: Tensor, size: int) -> Tensor:
    """The row (bag) of each id, by the row splits: `(n,)`."""
    steps = jnp.zeros(size + 1, jnp.int32).at[splits[1:-1]].add(1)
    return jnp.cumsum(steps)[:size]


_robe_lookup.defvjp(_robe_lookup_forward, _robe_lookup_backward)
_robe_gradient.defvjp(_robe_gradient_forward, _robe_gradient_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _tensor_train(shapes: Shapes, ids: Tensor, *cores: Tensor) -> Tensor:
    columns = math.prod(width for _, _, width, _ in shapes)
    return jax.ffi.ffi_call(
        "keras_pss_tensor_train_lookup",
        jax.ShapeDtypeStruct((ids.size, columns), "float32"),
        vmap_method="sequential",
    )(ids, *cores, shapes=np.array(shapes, np.int64).ravel())


def _tensor_train_forward(
    shapes: Shapes, ids: Tensor, *cores: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    return _tensor_train(shapes, ids, *cores), (ids, *cores)


def _tensor_train_backward(
    shapes: Shapes, args: tuple[Tensor, ...], upstream: Tensor
) -> tuple[Tensor | None, ...]:
    return None, *_tensor_train_gradient(shapes, upstream, *args)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _tensor_train_gradient(
    shapes: Shapes, upstream: Tensor, ids: Tensor, *cores: Tensor
) -> tuple[Tensor, ...]:
    found = jax.ffi.ffi_call(
        "keras_pss_tensor_train_gradient",
        [jax.ShapeDtypeStruct(core.shape, "float32") for core in cores],
        vmap_method="sequential",
    )(upstream, ids, *cores, shapes=np.array(shapes, np.int64).ravel())
    return tuple(found)


def _tensor_train_gradient_forward(
    shapes: Shapes, *args: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return _tensor_train_gradient(shapes, *args), args


def _tensor_train_gradient_backward(
    shapes: Shapes, args: tuple[Tensor, ...], weights: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    # A row is linear in each core: its derivative along the weights is the sum
    # of the rows with one core replaced by its weights.
    upstream, ids, *cores = args
    rows, slopes = [], []
    for k, weight in enumerate(weights):
        replaced = (*cores[:k], weight, *cores[k + 1 :])
        rows.append(_tensor_train(shapes, ids, *replaced))
        slopes.append(_tensor_train_gradient(shapes, upstream, ids, *replaced))
    by_core = [
        sum(slope[j] for k, slope in enumerate(slopes) if k != j)
        for j in range(len(cores))
    ]
    return sum(rows), None, *by_core


_tensor_train.defvjp(_tensor_train_forward, _tensor_train_backward)
_tensor_train_gradient.defvjp(
    _tensor_train_gradient_forward, _tensor_train_gradient_backward
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pair_sums(
    terms: int, ids: Tensor, first: Tensor, second: Tensor
) -> Tensor:
    return jax.ffi.ffi_call(
        "keras_pss_pair_sums",
        jax.ShapeDtypeStruct((ids.size, first.shape[1] // terms), "float32"),
        vmap_method="sequential",
    )(ids, first, second, terms=np.int64(terms))


def _pair_sums_forward(terms: int, *args: Tensor) -> tuple[Tensor, Any]:
    return _pair_sums(terms, *args), args


def _pair_sums_backward(
    terms: int, args: tuple[Tensor, ...], upstream: Tensor
) -> tuple[Tensor | None, ...]:
    return None, *_pair_sums_gradient(terms, upstream, *args)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pair_sums_gradient(
    terms: int, upstream: Tensor, ids: Tensor, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    by_first, by_second = jax.ffi.ffi_call(
        "keras_pss_pair_sums_gradient",
        [jax.ShapeDtypeStruct(x.shape, "float32") for x in (first, second)],
        vmap_method="sequential",
    )(upstream, ids, first, second, terms=np.int64(terms))
    return by_first, by_second


def _pair_sums_gradient_forward(
    terms: int, *args: Tensor
) -> tuple[tuple[Tensor, Tensor], Any]:
    return _pair_sums_gradient(terms, *args), args


def _pair_sums_gradient_backward(
    terms: int, args: tuple[Tensor, ...], along: tuple[Tensor, Tensor]
) -> tuple[Tensor | None, ...]:
    # The sums are linear in each table: the derivative along (a, b) is that of
    # Σ (a V + U b), and a table's gradient depends on the other table alone.
    upstream, ids, first, second = args
    rows = _pair_sums(terms, ids, along[0], second)
    rows += _pair_sums(terms, ids, first, along[1])
    return rows, None, *_pair_sums_gradient(terms, upstream, ids, *along)


_pair_sums.defvjp(_pair_sums_forward, _pair_sums_backward)
_pair_sums_gradient.defvjp(
    _pair_sums_gradient_forward, _pair_sums_gradient_backward
)
