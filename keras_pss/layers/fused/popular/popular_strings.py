"""The tails and storages of rows by popularity, by name.

They are apart from what computes with them, so that a plan of tables needs no
layer.
"""

from collections.abc import Mapping
from typing import Any

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    non_negative_int,
    one_of,
    shown,
)

STORAGES = ("float32", "int8", "int4")
TAILS = ("oov", "hash", "robe")
# The argument that sets the size of each tail.
_SIZED_BY = {"hash": "buckets", "robe": "memory_size"}
_WHAT = {
    "buckets": "the number of hashed rows",
    "memory_size": "the number of parameters of ROBE's memory",
}


def check_tail(tail: str, buckets: int, memory_size: int) -> None:
    """Checks that the size of the tail is given, and no other one.

    Raises:
        ValueError: If the sizes do not match `tail`.
    """
    one_of("tail", tail, TAILS)
    sizes = {"buckets": buckets, "memory_size": memory_size}
    for name, size in sizes.items():
        non_negative_int(name, size, LARGEST_DIM)
        wanted = next(t for t, given in _SIZED_BY.items() if given == name)
        if (tail == wanted) != bool(size):
            raise ValueError(
                f"`{name}` is {_WHAT[name]}: at least 1 with "
                f"tail={wanted!r}, and 0 with another tail. "
                f"Received: {name}={shown(size)}, tail={tail!r}"
            )


def checked_tail(options: Mapping[str, Any]) -> str:
    """The tail of options in which its size may be missing."""
    tail = options.get("tail") or ("hash" if options.get("buckets") else "oov")
    return one_of("tail", tail, TAILS)


def checked_storage(storage: str) -> str:
    return one_of("storage", storage, STORAGES)
