"""The set of hot ids, and the row (slot) of each.

It is stored in two tables of one column. `ids` holds the hot ids in increasing
order, then padding; `slots` holds their rows in the same order, then the free
rows. Ids of 63 bits, and ids of several tables with open vocabularies, have an
upper word in a third table.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import backend, ops

from keras_pss.native import tracing
from keras_pss.ops.gather import take
from keras_pss.ops.sketches import replicas

Tensor = Any

# Padding of `ids` and of the upper words. It is no valid id: no table has that
# many rows.
PADDING = 2**31 - 1
# Padding of ids with two words, on the host.
WIDE_PADDING = (PADDING << 32) + PADDING
# Ids of two words from here on, the last of 2^31 parts of them, are never hot:
# their upper word is that of the padding.
WIDE_LIMIT = PADDING << 32
# Added to a lower word, it makes the order of signed words that of unsigned
# ones.
_SIGN = -(2**31)


def index_dtype() -> str:
    """Dtype of 32-bit index tables that training steps read and write.

    TensorFlow keeps int32 variables in host memory, where code compiled by XLA
    for a GPU cannot read them; it places uint32 variables on the device. Its
    workers exchange int32 but no uint32, and Keras compiles nothing for them.
    """
    if backend.backend() != "tensorflow":
        return "int32"
    return "int32" if replicas.many_workers() else "uint32"


def find(sorted_ids: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of ids in a sorted list, and whether they are in it.

    Args:
        sorted_ids: `(size,)` increasing int32, padded with `PADDING`.
        ids: `(n,)` int32 below `PADDING`.

    Returns:
        `(place, hit)`: int32 and boolean, `(n,)`. If an id is not in the
        list, its position is valid but that of another entry.
    """
    place = ops.minimum(count_below(sorted_ids, ids), sorted_ids.shape[0] - 1)
    return place, ops.equal(take(sorted_ids, place), ids)


def find_wide(
    sorted_ids: tuple[Tensor, Tensor], ids: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """`find` for ids of two words, `(low, high)`.

    Ids from `WIDE_LIMIT` on are in no list.

    Args:
        sorted_ids: Lower and upper words of increasing ids, int32 `(size,)`.
        ids: Lower and upper words of the ids to find, int32 `(n,)`.
    """
    low, high = ids
    size = sorted_ids[0].shape[0]

    def smaller(entry: Tensor) -> Tensor:
        own_low, own_high = (take(x, entry) for x in sorted_ids)
        return ops.logical_or(
            own_high < high,
            ops.logical_and(
                ops.equal(own_high, high), own_low + _SIGN < low + _SIGN
            ),
        )

    place = ops.minimum(_search(smaller, size, low), size - 1)
    found = (
        ops.equal(take(x, place), word)
        for x, word in zip(sorted_ids, ids, strict=True)
    )
    hit = ops.logical_and(*found)
    return place, ops.logical_and(hit, high < PADDING)


def count_below(sorted_ids: Tensor, ids: Tensor) -> Tensor:
    """Number of entries of a sorted list smaller than each id, int32.

    TensorFlow's `searchsorted` kernel is the fastest choice in a graph and in
    eager execution. Under XLA it compares every id with every entry: for
    10,000 entries it takes 30 times as long as `_binary_search`. Outside of
    XLA, `_binary_search` takes 2 to 6 times as long as the kernel.
    """
    if backend.backend() == "tensorflow" and tracing.under_xla():
        return _binary_search(sorted_ids, ids)
    return ops.searchsorted(sorted_ids, ids)


def _binary_search(sorted_ids: Tensor, ids: Tensor) -> Tensor:
    size = sorted_ids.shape[0]
    return _search(lambda entry: take(sorted_ids, entry) < ids, size, ids)


def _search(
    smaller: Callable[[Tensor], Tensor], size: int, ids: Tensor
) -> Tensor:
    """Binary search in steps of powers of two, the largest first.

    Args:
        smaller: Function of the index of an entry for each id, which returns
            whether that entry is smaller than the id.
        size: Integer, the number of entries.
        ids: int32 `(n,)`; only its shape matters.
    """
    below = ops.zeros_like(ids)
    step = 1 << (size.bit_length() - 1)
    while step:
        last = below + (step - 1)
        found = ops.logical_and(
            last < size, smaller(ops.minimum(last, size - 1))
        )
        below = ops.where(found, below + step, below)
        step //= 2
    return below


def no_ids(shape: Sequence[int], dtype: Any = None) -> Tensor:
    """Initializer of `ids`: no id is hot."""
    return ops.full(shape, PADDING, dtype=dtype)


def all_slots(shape: Sequence[int], dtype: Any = None) -> Tensor:
    """Initializer of `slots`: all are free."""
    free = np.arange(shape[0]).reshape(shape)
    return ops.cast(ops.convert_to_tensor(free.astype("int32")), dtype)


def held(ids: np.ndarray) -> np.ndarray:
    """The hot ids, without the padding."""
    return ids[ids < PADDING].astype(np.int32)


class Move(NamedTuple):
    """New tables after a change of the hot ids, and the slots to update.

    Attributes:
        ids, slots: The new tables.
        added: Ids that became hot.
        filled: Slots of the ids in `added`.
        emptied: Slots that were in use and are now free.
    """

    ids: np.ndarray
    slots: np.ndarray
    added: np.ndarray
    filled: np.ndarray
    emptied: np.ndarray


def moved(
    held: np.ndarray,
    slots: np.ndarray,
    wanted: np.ndarray,
    padding: int = PADDING,
) -> Move:
    """Replaces the hot ids; ids that stay hot keep their slots.

    Args:
        held: The current hot ids, increasing.
        slots: `(capacity,)`, the slots of the hot ids, then the free slots.
        wanted: The new hot ids: at most `capacity`, without duplicates.
        padding: Id of the free slots. Defaults to `PADDING`.
    """
    stays = np.isin(held, wanted)
    taken, left = slots[: len(held)][stays], slots[: len(held)][~stays]
    free = np.sort(np.append(left, slots[len(held) :]))
    added = np.setdiff1d(wanted, held)
    filled, free = free[: len(added)], free[len(added) :]
    found = np.append(held[stays], added)
    order = np.argsort(found)
    return Move(
        np.append(found[order], np.full(len(free), padding)),
        np.append(np.append(taken, filled)[order], free),
        added,
        filled,
        np.intersect1d(left, free),
    )
