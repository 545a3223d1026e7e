"""Ids of texts by frequency."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from keras_pss.data.encoders.growing_codes import GrowingCodes
from keras_pss.data.encoders.text_table import PADDING, TextTable
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.readers.block import Int32Array, UInt32Array

if TYPE_CHECKING:
    import polars as pl


class CountedTexts(TextTable):
    """Ids by descending count, ties by ascending text.

    Id 0 is the out-of-vocabulary (OOV) id of all other texts.

    Memory: about 100 bytes per distinct text.

    Args:
        min_count: Minimum count of a text with its own id. Default: 1.
        max_values: Maximum number of texts with their own id, or None for no
            maximum. Default: None.
    """

    def __init__(self, min_count: int = 1, max_values: int | None = None):
        self._min_count = min_count
        self.max_values = max_values
        self._codes = GrowingCodes()
        self._ids = np.zeros(0, np.int32)
        self.vocabulary: Vocabulary | None = None

    @property
    def num_ids(self) -> int:
        assert self.vocabulary is not None
        return len(self.vocabulary)

    def codes(self, texts: "pl.Series") -> UInt32Array:
        return self._codes(texts)

    def count(self, blocks: Iterable[UInt32Array]) -> None:
        texts = self._codes.texts()
        counts = np.zeros(len(texts), np.int64)
        for block in blocks:
            if block.ndim > 1:
                block = block[block != PADDING]
            counts += np.bincount(block, minlength=len(texts))
        self.vocabulary, self._ids = by_frequency(
            texts, counts, self._min_count, self.max_values
        )
        # The texts with ids are in the vocabulary; the others are not needed.
        self._codes = GrowingCodes()

    def chosen(
        self, texts: "pl.Series", counts: npt.NDArray[np.int64]
    ) -> Vocabulary:
        """The texts with ids of their own among some, in their order.

        If the texts of a table are divided, the texts of the table are found
        among those that were chosen in each part.

        Args:
            texts: Distinct texts, String (n,).
            counts: The count of each, int64 (n,).
        """
        return by_frequency(texts, counts, self._min_count, self.max_values)[0]

    def ids(self, codes: UInt32Array) -> Int32Array:
        if codes.ndim == 1:
            return self._ids[codes]
        held = codes != PADDING
        ids = np.full(codes.shape, -1, np.int32)
        ids[held] = self._ids[codes[held]]
        return ids


def by_frequency(
    texts: "pl.Series",
    counts: npt.NDArray[np.int64],
    min_count: int,
    max_values: int | None,
) -> tuple[Vocabulary, Int32Array]:
    """Chooses the texts with an id of their own.

    Args:
        texts: The text of each code, String (n,).
        counts: The count of each code, int64 (n,).
        min_count: Minimum count of a text with its own id.
        max_values: Maximum number of such texts, or None.

    Returns:
        The vocabulary, and the id of each code, int32 (n,).
    """
    import polars as pl

    kept = (
        pl.DataFrame({"value": texts, "count": counts})
        .with_row_index("code")
        .filter(pl.col("count") >= min_count)
        .sort("count", "value", descending=[True, False])
    )
    if max_values is not None:
        kept = kept.head(max_values)
    ids = np.zeros(len(texts), np.int32)
    ids[kept["code"].to_numpy()] = np.arange(1, len(kept) + 1, dtype=np.int32)
    often = kept["count"].to_numpy()
    rest = counts.sum() - often.sum()
    vocabulary = Vocabulary(kept["value"], np.concatenate([[rest], often]))
    return vocabulary, ids
