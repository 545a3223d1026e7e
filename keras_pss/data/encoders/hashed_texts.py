"""Hashed ids of texts, which need no vocabulary."""

from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.encoders.growing_codes import GrowingCodes
from keras_pss.data.encoders.text_table import TextTable
from keras_pss.data.readers.block import Int32Array, UInt32Array

if TYPE_CHECKING:
    import polars as pl

OPEN_SIZE = 2**31 - 1  # open ids lie below this

_MOST_KNOWN = 1 << 20  # distinct texts whose hashes are remembered
_HASHED = 1 << 18  # texts hashed together, which TensorFlow copies


class HashedTexts(TextTable):
    """Ids `Fingerprint64(text) mod buckets` of FarmHash.

    They equal those of `tf.strings.to_hash_bucket_fast` and
    `keras.layers.Hashing`. The codes of this table are its ids.

    Memory: at most about 150 MB for the hashes of recent distinct texts.

    Args:
        buckets: Number of ids in [1, 2^31 - 1], or None for open ids, which
            are taken modulo 2^31 - 1. Default: None.
    """

    def __init__(self, buckets: int | None = None):
        self._buckets = buckets
        self._lock = Lock()
        self._codes = GrowingCodes()
        self._known = np.zeros(0, np.int32)  # the id of each code

    @property
    def num_ids(self) -> int | None:
        return self._buckets

    def codes(self, texts: "pl.Series") -> UInt32Array:
        with self._lock:
            if len(self._known) > _MOST_KNOWN:
                self._codes = GrowingCodes()
                self._known = np.zeros(0, np.int32)
            codes = self._codes(texts)
            fresh = np.flatnonzero(codes >= len(self._known))
            # New codes are consecutive, so sorted ones extend the table.
            _, first = np.unique(codes[fresh], return_index=True)
            new = hash_texts(texts.gather(fresh[first]), self._buckets)
            self._known = np.concatenate([self._known, new])
            return self._known[codes].view(np.uint32)

    def count(self, blocks: Iterable[UInt32Array]) -> None:
        """Does nothing: hashes do not depend on counts."""

    def ids(self, codes: UInt32Array) -> Int32Array:
        return codes.view(np.int32)  # PADDING has the bits of -1


def hash_texts(texts: "pl.Series", buckets: int | None) -> Int32Array:
    """Hashed ids int32 (n,) of texts, String (n,)."""
    import tensorflow as tf

    size = OPEN_SIZE if buckets is None else buckets
    parts = [
        tf.strings.to_hash_bucket_fast(
            tf.constant(texts[start : start + _HASHED].to_numpy(), tf.string),
            size,
        ).numpy()
        for start in range(0, len(texts), _HASHED)
    ]
    return np.concatenate([np.zeros(0, np.int32), *parts]).astype(np.int32)
