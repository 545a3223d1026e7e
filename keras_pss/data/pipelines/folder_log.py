"""A log of any schema in a prepared folder."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data.criteo.preset import is_criteo
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.pipelines.log_dataset import dataset
from keras_pss.data.pipelines.shards import Shard
from keras_pss.data.service.input_service import InputService
from keras_pss.data.storage import log_metadata
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.data.storage.shard_checks import AGAIN
from keras_pss.files import read_json

if TYPE_CHECKING:
    import tensorflow as tf


class FolderLog(ClickLog):
    """The rows of a folder that `keras_pss.data.prepare` wrote.

    Args:
        folder: The folder.
        service: Input servers, which read the training batches. Default:
            None, this process.

    Raises:
        ValueError: The schema has no label.
    """

    def __init__(
        self, folder: PreparedFolder, service: InputService | None = None
    ) -> None:
        if folder.schema.label is None:
            raise ValueError(
                "Training needs a label. Add it to the schema and prepare the "
                f"data again. Received: {folder.directory}, without a label"
            )
        self.folder = folder
        self.service = service
        self.schema = folder.schema
        self.tables = folder.tables
        self.kind = "criteo" if is_criteo(folder.schema) else "any"
        self.name = str(folder.directory)
        self.num_dense = sum(feature.size for feature in folder.schema.dense)
        self.cardinalities = folder.cardinalities
        # Created once, because a run reads its validation rows many times.
        self._in_order = cache(self._made_in_order)
        # Each cell of a comparison asks for them.
        self._label_counts = cache(folder.label_counts)

    def rows(self, split: str) -> int:
        return self.folder.rows(split)

    def clicks(self, split: str) -> int:
        return self.folder.clicks(split)

    def counts(self, column: int) -> np.ndarray:
        return self.folder.counts(self.folder.schema.single[column].name)

    def counted_tables(self) -> tuple[str, ...]:
        return self.folder.counted_tables()

    def table_counts(self, table: str) -> np.ndarray:
        return self.folder.table_counts(table)

    def label_counts(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
        return self._label_counts()

    def groups(self, split: str) -> np.ndarray | None:
        if self.folder.schema.group is None:
            return None
        return self.folder.groups(split)

    def in_order(self, split: str, batch_size: int) -> "tf.data.Dataset":
        return self._in_order(split, batch_size)

    def _made_in_order(self, split: str, batch_size: int) -> "tf.data.Dataset":
        return dataset(self.folder, split, batch_size=batch_size, shuffle=False)

    def served_by(self, service: InputService) -> "FolderLog":
        service.check(self.folder)
        return FolderLog(self.folder, service)

    def stream(
        self, batch_size: int, seed: int, skip: int, shard: Shard | None = None
    ) -> "tf.data.Dataset":
        if self.service is not None:
            return self.service.batches(
                self.folder,
                batch_size=batch_size,
                seed=seed,
                skip=skip,
                shard=shard,
            )
        return dataset(
            self.folder,
            "train",
            batch_size=batch_size,
            seed=seed,
            repeat=True,
            skip=skip,
            shard=shard,
        )

    def fingerprint(self) -> str:
        # The metadata includes the checksums of all records.
        path = self.folder.directory / log_metadata.NAME
        text = json.dumps(read_json(path, AGAIN), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def verify(self) -> None:
        self.folder.verify()

    def sources(self) -> list[dict[str, str]]:
        return [
            {"name": source["name"], "sha256": source["sha256"]}
            for source in self.folder.sources
        ]

    def save_ids(self, path: Path) -> None:
        self.folder.save_encoder(path)
