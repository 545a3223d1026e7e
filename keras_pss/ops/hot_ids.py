"""Which ids are hot, and the rows that are theirs.

Two tables of one column say so. `ids` holds the hot ids, increasing, and
padding behind them; `slots` the row of each, and the free rows behind them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import backend, ops

from keras_pss.native import tracing

Tensor = Any

# Fills the list up behind its ids; no table has so many rows.
PADDING = 2**31 - 1


def index_dtype() -> str:
    """Dtype of 32-bit index tables that training steps read and write.

    TensorFlow keeps int32 variables in the host's memory, out of reach of what
    XLA compiles for a GPU; it places uint32 ones on the device.
    """
    return "uint32" if backend.backend() == "tensorflow" else "int32"


def find(sorted_ids: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Places of ids in a sorted list, and whether they are in it.

    Args:
        sorted_ids: `(size,)` increasing int32, padded with `PADDING`.
        ids: `(n,)` int32 below `PADDING`.

    Returns:
        `(place, hit)`: int32 and boolean, `(n,)`. The place of an id that is
        not there is that of some other id.
    """
    place = ops.minimum(count_below(sorted_ids, ids), sorted_ids.shape[0] - 1)
    return place, ops.equal(ops.take(sorted_ids, place, axis=0), ids)


def count_below(sorted_ids: Tensor, ids: Tensor) -> Tensor:
    """How many entries of a sorted list are smaller than each id, int32.

    TensorFlow's kernel is the fastest in a graph and in eager execution, but
    XLA compares every id with every entry in its place: 10,000 entries take it
    30 times as long as the steps below, which in turn take 2 to 6 times as
    long as the kernel where each is an operation of its own.
    """
    if backend.backend() == "tensorflow" and tracing.under_xla():
        return _halving(sorted_ids, ids)
    return ops.searchsorted(sorted_ids, ids)


def _halving(sorted_ids: Tensor, ids: Tensor) -> Tensor:
    """Binary search in steps of powers of two, the largest first."""
    size = sorted_ids.shape[0]
    below = ops.zeros_like(ids)
    step = 1 << (size.bit_length() - 1)
    while step:
        last = below + (step - 1)
        entry = ops.take(sorted_ids, ops.minimum(last, size - 1), axis=0)
        smaller = ops.logical_and(last < size, entry < ids)
        below = ops.where(smaller, below + step, below)
        step //= 2
    return below


def no_ids(shape: Sequence[int], dtype: Any = None) -> Tensor:
    """An initializer of `ids`."""
    return ops.full(shape, PADDING, dtype=dtype)


def all_slots(shape: Sequence[int], dtype: Any = None) -> Tensor:
    """An initializer of `slots`: all are free."""
    free = np.arange(shape[0]).reshape(shape)
    return ops.cast(ops.convert_to_tensor(free.astype("int32")), dtype)


def held(ids: np.ndarray) -> np.ndarray:
    """The hot ids, without the padding."""
    return ids[ids < PADDING].astype(np.int32)


class Move(NamedTuple):
    """The tables of another set of hot ids, and what is to be done for it.

    Attributes:
        ids, slots: The tables.
        added: Ids that became hot.
        filled: The slots that they got.
        emptied: Slots that nobody has any more.
    """

    ids: np.ndarray
    slots: np.ndarray
    added: np.ndarray
    filled: np.ndarray
    emptied: np.ndarray


def moved(held: np.ndarray, slots: np.ndarray, wanted: np.ndarray) -> Move:
    """Makes other ids hot; those that stay keep their slots.

    Args:
        held: Hot ids, increasing.
        slots: `(capacity,)`, first those of the hot ids, then free ones.
        wanted: At most `capacity` different ids.
    """
    stays = np.isin(held, wanted)
    taken, left = slots[: len(held)][stays], slots[: len(held)][~stays]
    free = np.sort(np.append(left, slots[len(held) :]))
    added = np.setdiff1d(wanted, held)
    filled, free = free[: len(added)], free[len(added) :]
    found = np.append(held[stays], added)
    order = np.argsort(found)
    padding = np.full(len(free), PADDING)
    return Move(
        np.append(found[order], padding),
        np.append(np.append(taken, filled)[order], free),
        added,
        filled,
        np.intersect1d(left, free),
    )
