"""Ids of texts by a vocabulary that is known already."""

from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.encoders.counted_texts import CountedTexts
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.readers.block import Int32Array, UInt32Array

if TYPE_CHECKING:
    import polars as pl


class KnownTexts(CountedTexts):
    """A table of texts whose codes are its ids.

    Args:
        vocabulary: The texts in the order of their ids, and their counts.
    """

    def __init__(self, vocabulary: Vocabulary):
        super().__init__()
        self.vocabulary = vocabulary

    def codes(self, texts: "pl.Series") -> UInt32Array:
        assert self.vocabulary is not None
        return self.vocabulary(texts).view(np.uint32)

    def ids(self, codes: UInt32Array) -> Int32Array:
        return codes.view(np.int32)  # PADDING has the bits of -1
