"""A click log in a prepared folder."""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_pss.data import criteo
from keras_pss.data.criteo.schema import NUM_CATEGORIES, NUM_INTEGERS
from keras_pss.data.pipelines.click_log import ClickLog


class PreparedLog(ClickLog):
    """The rows of a prepared folder."""

    kind = "criteo"
    num_dense = NUM_INTEGERS

    def __init__(self, prepared: criteo.Prepared) -> None:
        self.prepared = prepared
        self.name = str(prepared.directory)
        self._in_order = cache(self._made_in_order)
        open_ids: list[int | None] = [None] * NUM_CATEGORIES
        self.cardinalities = prepared.cardinalities or open_ids

    def rows(self, split: str) -> int:
        return self.prepared.rows(split)

    def clicks(self, split: str) -> int:
        return self.prepared.clicks(split)

    def counts(self, column: int) -> np.ndarray:
        return self.prepared.counts(column)

    def in_order(self, split: str, batch_size: int) -> tf.data.Dataset:
        return self._in_order(split, batch_size)

    def _made_in_order(self, split: str, batch_size: int) -> tf.data.Dataset:
        # Created once, because a run reads its validation rows many times.
        return criteo.dataset(
            self.prepared, split, batch_size=batch_size, shuffle=False
        )

    def stream(self, batch_size: int, seed: int, skip: int) -> tf.data.Dataset:
        return criteo.dataset(
            self.prepared,
            "train",
            batch_size=batch_size,
            seed=seed,
            repeat=True,
            skip=skip,
        )

    def fingerprint(self) -> str:
        # The metadata includes the checksums of all records.
        text = json.dumps(self.prepared.metadata, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def verify(self) -> None:
        self.prepared.verify()

    def sources(self) -> list[dict[str, str]]:
        return [
            {"name": source["name"], "sha256": source["sha256"]}
            for source in self.prepared.metadata.get("sources", [])
        ]

    def save_ids(self, path: Path) -> None:
        self.prepared.encoder().save(path)
