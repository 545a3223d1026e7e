"""The ids that have a row, where they are not sorted by frequency."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import shown
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values.stored import are_fitted, are_stored
from keras_pss.ops import hot_ids
from keras_pss.ops.methods.kept_ids import KeptIds

Tensor = Any


class PopularIndex:
    """The index of a layer of one table or of several, and what fills it.

    Args:
        ids: For each table the ids that have a row, as in
            `PopularityEmbedding`, or None.
        limits, columns: As in `KeptIds`.
        input_dims: Rows of each table.
    """

    def __init__(
        self,
        ids: Sequence[Any],
        limits: tuple[tuple[int, ...], ...],
        columns: tuple[int, ...] | None,
        input_dims: Sequence[int],
    ) -> None:
        indexed = tuple(each is not None and each is not False for each in ids)
        self.kept = KeptIds(limits, columns, indexed)
        self._input_dims = tuple(input_dims)
        self.hold(ids)

    def hold(self, ids: Sequence[Any]) -> None:
        """Sets the ids that fill the index when it is built."""
        self._ids = [
            _checked(each, last - 1, rows)
            for each, last, rows in zip(
                ids, self.kept.limits[-1], self._input_dims, strict=True
            )
        ]

    def held(self, weight: Any) -> list[Any]:
        """For each table the ids that have a row, or None.

        Args:
            weight: The index of a built layer; None before it is built.
        """
        if weight is None:
            return list(self._ids)
        found = ops.convert_to_numpy(weight).astype(np.int64)
        return self.kept.kept(found)

    def unknown(self) -> list[bool]:
        """For each table whether it has an index that was not given ids."""
        pairs = zip(self._ids, self.kept.indexed, strict=True)
        return [own and ids is None for ids, own in pairs]

    def unwritten(self, weight: Any) -> list[list[int] | None] | None:
        """The ids of each table that no weight has yet, for a config.

        Args:
            weight: As in `held`.

        Returns:
            None if there are none: they are in the weight, or unknown.
        """
        if weight is not None or all(each is None for each in self._ids):
            return None
        return [None if each is None else each.tolist() for each in self._ids]

    @property
    def flags(self) -> tuple[bool, ...]:
        """What a config has instead of the ids, which are in the weight."""
        return self.kept.indexed

    def table(self) -> Table:
        return Table(
            self.kept.size,
            1,
            self._fill,
            dtype=hot_ids.index_dtype(),
        )

    def _fill(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        pairs = zip(self._ids, self.kept.indexed, strict=True)
        known = are_stored() or are_fitted()
        if not known and any(o and i is None for i, o in pairs):
            warnings.warn(
                "A config does not say which ids have a row: the weights do. "
                "Until they are assigned, the lowest ids have rows.",
                stacklevel=2,
            )
        found = self.kept.index(self._ids).reshape(shape)
        return ops.cast(ops.convert_to_tensor(found), dtype)


def _checked(ids: Any, size: int, input_dim: int) -> np.ndarray | None:
    """The ids of one table; None if they come from a file or are sorted."""
    if ids is None or isinstance(ids, bool):
        return None
    found = np.asarray(ids)
    # An empty list has the dtype of floats.
    whole = np.issubdtype(found.dtype, np.integer) or not found.size
    ok = found.ndim == 1 and whole
    ok = ok and len(found) == size == len(np.unique(found))
    if not ok or (size and not 0 < found.min() <= found.max() < input_dim):
        raise ValueError(
            "`ids` must be the different ids in [1, input_dim) that have a "
            "row, the most frequent ones first: one less than `num_rows`, "
            f"{size}, since id 0 always has one. "
            f"Received: ids={shown(ids)} for input_dim={input_dim}"
        )
    return found.astype(np.int64)
