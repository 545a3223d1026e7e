"""The texts of a table in the order of their ids."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers.block import Int32Array

if TYPE_CHECKING:
    import polars as pl

_Hashes = npt.NDArray[np.uint64]


class Vocabulary:
    """Maps texts to ids; unknown texts have id 0.

    Memory: the texts, and 12 bytes per text once it has encoded.

    Args:
        values: Distinct texts, String (n,). The text at position i has the
            id i + 1.
        counts: Count of each id, int64 (n + 1,); `counts[0]` is the number of
            texts without an id of their own.
    """

    def __init__(self, values: "pl.Series", counts: npt.NDArray[np.int64]):
        self.values = values
        self.counts = counts

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.values) + 1

    def __call__(self, texts: "pl.Series") -> Int32Array:
        """Encodes texts, String (n,), as ids int32 (n,).

        Raises:
            ValueError: If a text is in the vocabulary twice.
        """
        if not len(self.values):
            return np.zeros(len(texts), np.int32)
        seed, hashes, ids = self._index
        at = np.searchsorted(hashes, texts.hash(seed).to_numpy())
        found = ids[np.minimum(at, len(hashes) - 1)]
        same = self.values.gather(found - 1) == texts
        return found * same.to_numpy()

    @cached_property
    def _index(self) -> tuple[int, _Hashes, Int32Array]:
        """A seed, the sorted hashes of the texts with it, and their ids.

        A join would hash all texts again for each block that is encoded.
        """
        seed = 0
        while True:
            hashes = self.values.hash(seed).to_numpy()
            order = np.argsort(hashes)
            hashes = hashes[order]
            if (hashes[1:] != hashes[:-1]).all():
                return seed, hashes, (order + 1).astype(np.int32)
            if self.values.n_unique() < len(self.values):
                raise ValueError(
                    "A vocabulary must hold each text once. Prepare the data "
                    f"again. Received: {len(self.values)} texts, of which "
                    f"{self.values.n_unique()} differ"
                )
            seed += 1
