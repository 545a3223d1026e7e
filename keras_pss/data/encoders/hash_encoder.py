"""Hashed ids, which need neither a vocabulary nor other state."""

from typing import Any

import numpy as np

from keras_pss.data.criteo import schema
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.readers.block import Int32Array, UInt32Array
from keras_pss.ops.hash_families import pss1

OPEN_SIZE = 2**31 - 1  # open ids lie below this


class HashEncoder(IdEncoder):
    """Ids `pss1.starts(value, size, seed=seed, table=column)`.

    Without `buckets`, the ids are open: they spread over [0, 2^31 - 1), and
    each of 10 million values of a column shares its id with another one with
    a probability of about 0.5 %. Layers with an open vocabulary
    (`input_dim=None`) take such ids.

    Args:
        seed: Seed of the hash function, in [0, 2^64). Default: 0.
        buckets: Number of ids of each column, in [1, 2^31 - 1], or None for
            open ids. Default: None.

    Raises:
        ValueError: `seed` or `buckets` is out of range.
    """

    def __init__(self, seed: int = 0, buckets: int | None = None):
        if not 0 <= seed < 2**64:
            raise ValueError(
                f"`seed` must lie in [0, 2^64). Received: seed={seed}."
            )
        if buckets is not None and not 1 <= buckets <= OPEN_SIZE:
            raise ValueError(
                "`hash_buckets` must lie in [1, 2147483647]. Received: "
                f"hash_buckets={buckets}. Pass None for open ids."
            )
        self.seed = seed
        self.buckets = buckets

    @property
    def cardinalities(self) -> list[int] | None:
        """`buckets` for each column, or None for open ids."""
        if self.buckets is None:
            return None
        return [self.buckets] * schema.NUM_CATEGORIES

    def config(self) -> dict[str, Any]:
        """The policy and its parameters as JSON values."""
        return {
            "policy": "hash",
            "hash": "pss1",
            "seed": self.seed,
            "buckets": self.buckets,
        }

    def arrays(self) -> dict[str, Any]:
        """An empty dict: the hash function has no state."""
        return {}

    def encode(self, categories: UInt32Array) -> Int32Array:
        """Encodes raw values uint32 (n, 26) as ids int32 (n, 26)."""
        size = OPEN_SIZE if self.buckets is None else self.buckets
        ids = np.empty(categories.shape, np.int32)
        for column in range(schema.NUM_CATEGORIES):
            values = np.ascontiguousarray(categories[:, column])
            starts = pss1.starts(values, size, self.seed, table=column)
            ids[:, column] = starts[:, 0]
        return ids
