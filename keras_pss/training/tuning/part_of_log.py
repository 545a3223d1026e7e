"""A part of the training rows of a log, with its other rows unchanged."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.pipelines.shards import Shard, shard_batches

_SEED = 0


class PartOfLog(ClickLog):
    """A log with a random part of its training rows, which is kept in memory.

    Args:
        log: The whole log.
        rows: Largest number of training rows.
    """

    def __init__(self, log: ClickLog, rows: int) -> None:
        self.whole = log
        self.kind, self.name = log.kind, log.name
        self.num_dense: int = log.num_dense
        self.cardinalities: Sequence[int | None] = log.cardinalities
        self.schema = log.schema
        self.tables: Mapping[str, int | None] = log.tables
        self._rows = min(rows, log.rows("train"))

    @property
    def share(self) -> float:
        """Share of the training rows."""
        return self._rows / max(1, self.whole.rows("train"))

    def rows(self, split: str) -> int:
        return self._rows if split == "train" else self.whole.rows(split)

    def clicks(self, split: str) -> int:
        found = self.whole.clicks(split)
        return round(found * self.share) if split == "train" else found

    def counts(self, column: int) -> np.ndarray:
        return self.whole.counts(column)

    def counted_tables(self) -> tuple[str, ...]:
        return self.whole.counted_tables()

    def table_counts(self, table: str) -> np.ndarray:
        return self.whole.table_counts(table)

    def groups(self, split: str) -> np.ndarray | None:
        return self.whole.groups(split)

    def in_order(self, split: str, batch_size: int) -> tf.data.Dataset:
        return self.whole.in_order(split, batch_size)

    def stream(
        self, batch_size: int, seed: int, skip: int, shard: Shard | None = None
    ) -> tf.data.Dataset:
        if self.share == 1:
            return self.whole.stream(batch_size, seed, skip, shard)
        # The same rows in each run, in another order in each epoch.
        part = self.whole.stream(batch_size, _SEED, 0)
        part = part.take(-(-self._rows // batch_size)).unbatch().cache()
        rows = part.shuffle(1 << 16, seed).repeat().batch(batch_size)
        rows = rows.skip(skip)
        if shard is not None:
            rows = shard_batches(rows, shard)
        return rows.prefetch(2)

    def fingerprint(self) -> str:
        return f"{self.whole.fingerprint()}[{self._rows}]"

    def save_ids(self, path: Path) -> None:
        self.whole.save_ids(path)
