"""The papers' universal hash: `((A e + B x + C c + D) mod P) mod m`.

It serves to reproduce published results. Ids that collide in one chunk c
collide in nearly all of them, which is why `pss1` is the default. `P` and the
way the constants are drawn are those of the ROBE reference implementation; the
table number `e` has a separate constant, as in the paper.

Reference: Desai et al., "Random Offset Block Embedding (ROBE) for compressed
embedding tables in deep learning recommendation systems", section 3.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PRIME = 2_038_074_743
PAPER_SEED = 1024


class Constants(NamedTuple):
    """Multipliers A, B, C of table, id and chunk, and the addend D."""

    table: int
    id: int
    chunk: int
    add: int


@lru_cache
def constants(seed: int, purpose: int = 0) -> Constants:
    """Draws the constants of a hash function.

    Args:
        seed: Non-negative integer; the generator is seeded with
            `1024 + seed`. Seed 0 gives the papers' constants.
        purpose: 0 for start offsets, 1 for signs.
    """
    if not 0 <= seed < 2**32 - PAPER_SEED:
        raise ValueError(
            "`seed` of the universal hash must be in [0, 2^32 - 1024). "
            f"Received: seed={seed}"
        )
    generator = np.random.RandomState(PAPER_SEED + seed)
    drawn = generator.randint(0, PRIME, 50)
    add, chunk, id_, table = (int(v) for v in drawn[4 * purpose :][:4])
    return Constants(table, id_, chunk, add)


def offset(seed: int, table: int, chunk: int, purpose: int = 0) -> int:
    """`(A e + C c + D) mod P`, the part that does not depend on the id."""
    c = constants(seed, purpose)
    return (c.table * table + c.chunk * chunk + c.add) % PRIME


def byte_products(
    seed: int, num_bytes: int, purpose: int = 0
) -> npt.NDArray[np.int32]:
    """`(B · b · 256^k) mod P` for byte k and value b, shape (num_bytes, 256).

    With it, the product of two 31-bit numbers takes a few table lookups and
    32-bit additions, so that no backend needs 64-bit integers.
    """
    multiplier = constants(seed, purpose).id
    return np.array(
        [
            [multiplier * (b << (8 * k)) % PRIME for b in range(256)]
            for k in range(num_bytes)
        ],
        np.int32,
    )


def starts(
    ids: npt.ArrayLike, size: int, seed: int = 0, table: int = 0, chunk: int = 0
) -> npt.NDArray[np.int64]:
    """Offsets in [0, size) of non-negative ids, by exact Python integers."""
    multiplier = constants(seed).id
    constant = offset(seed, table, chunk)
    flat = [
        (multiplier * int(i) + constant) % PRIME % size for i in np.ravel(ids)
    ]
    return np.array(flat, np.int64).reshape(np.shape(ids))
