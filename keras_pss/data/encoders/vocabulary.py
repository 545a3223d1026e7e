"""The texts of a table in the order of their ids."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers.block import Int32Array

if TYPE_CHECKING:
    import polars as pl


class Vocabulary:
    """Maps texts to ids; unknown texts have id 0.

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
        """Encodes texts, String (n,), as ids int32 (n,)."""
        import polars as pl

        known = pl.DataFrame({"text": self.values}).with_row_index("id", 1)
        found = pl.DataFrame({"text": texts}).join(
            known, on="text", how="left", maintain_order="left"
        )
        return found["id"].fill_null(0).cast(pl.Int32).to_numpy()
