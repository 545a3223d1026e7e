"""Places batches on all devices of a mesh."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from keras_pss.ops.wide_ids import truncates

# Of the index of a part of each batch, and their number.
Source = Callable[[int, int], Any]


class Batches:
    """Makes global arrays of the rows that a process has read.

    A batch of as many rows as the parts of the mesh can share equally is
    divided among them. Another one, such as the last of an epoch, is copied to
    all: nothing is padded, so that no made-up row is counted.

    Args:
        distribution: The `keras.distribution` with the mesh.
        own: Whether the process reads its own rows of batches, not whole ones.

    Attributes:
        shard: Index of the part of each batch that this process needs.
        shards: Number of such parts. Processes that share tables need the
            same one.
    """

    def __init__(self, distribution: Any, own: bool) -> None:
        self.mesh = distribution.device_mesh.backend_mesh
        self.axis = distribution.batch_dim_name
        self.parts = distribution.num_model_replicas
        self.own = own
        self.workers = jax.process_count()
        self.shards = min(self.parts, self.workers)
        self.shard = jax.process_index() * self.shards // self.workers

    def __call__(self, batch: Any) -> Any:
        """The features and labels of a batch as global arrays.

        Args:
            batch: Features and labels of a global batch; or of its rows
                `n s // S` to `n (s + 1) // S` for shard s of S, and then n.

        Raises:
            ValueError: If the batch is another one.
        """
        wanted = 3 if self.own else 2
        if not isinstance(batch, tuple | list) or len(batch) != wanted:
            names = "features, labels, rows" if self.own else "features, labels"
            raise ValueError(
                f"Each batch must be ({names}) to be divided among devices. "
                f"Received: {_described(batch)}"
            )
        data = keras.tree.map_structure(_array, tuple(batch[:2]))
        if self.own:
            rows = int(np.asarray(batch[2]))
        else:
            rows = len(keras.tree.flatten(data)[-1])
        divided = rows % self.parts == 0
        if divided and not self.own:
            data = keras.tree.map_structure(self._part, data)
        if not divided and self.own:
            data = self._gathered(data, rows)
        spec = PartitionSpec(self.axis) if divided else PartitionSpec()
        sharding = NamedSharding(self.mesh, spec)
        return keras.tree.map_structure(
            lambda value: jax.make_array_from_process_local_data(
                sharding, value, (rows, *value.shape[1:])
            ),
            data,
        )

    def _part(self, value: np.ndarray) -> np.ndarray:
        begin, end = self._borders(len(value), self.shard)
        return value[begin:end]

    def _borders(self, rows: int, shard: int) -> tuple[int, int]:
        return rows * shard // self.shards, rows * (shard + 1) // self.shards

    def _gathered(self, data: Any, rows: int) -> Any:
        """The whole batch, of which each process has its own rows."""
        if self.shards == 1:
            return data
        longest = -(-rows // self.shards)

        def gathered(value: np.ndarray) -> np.ndarray:
            missing = [(0, longest - len(value))] + [(0, 0)] * (value.ndim - 1)
            all_of_it = multihost_utils.process_allgather(
                np.pad(value, missing)
            )
            parts = []
            for shard in range(self.shards):
                begin, end = self._borders(rows, shard)
                first = shard * (self.workers // self.shards)
                parts.append(all_of_it[first, : end - begin])
            return np.concatenate(parts)

        return keras.tree.map_structure(gathered, data)


def shapes(batch: Any) -> Any:
    """What a model is built from: features and labels, without their rows."""
    return tuple(batch[:2]) if isinstance(batch, tuple | list) else batch


def _array(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray | jax.Array):
        raise ValueError(
            "Features and labels must be dense arrays to be divided among "
            f"devices. Received: {type(value).__name__}"
        )
    # Keras puts batches on the first GPU; JAX divides what is on the host.
    found = np.asarray(value)
    if found.dtype.kind in "iu" and found.dtype.itemsize > 4 and truncates():
        info = np.iinfo(np.int32)
        if found.size and not (
            info.min <= found.min() and found.max() <= info.max
        ):
            raise ValueError(
                "JAX would truncate these numbers to 32 bits. Hash ids into "
                "[0, 2^31) in the input pipeline, or set JAX_ENABLE_X64=1. "
                f"Received: numbers from {found.min()} to {found.max()}"
            )
        found = found.astype("int32")
    return found


def _described(batch: Any) -> str:
    if isinstance(batch, tuple | list):
        return f"{len(batch)} parts"
    return type(batch).__name__
