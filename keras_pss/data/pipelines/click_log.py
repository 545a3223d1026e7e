"""Interface of the data of a run.

A batch is `({"dense": (B, num_dense) float32, "categorical": (B, F) int32},
label (B,) float32)`; without dense features there is no "dense". A log with
multi-valued features has their ids and weights by name as well; see
`keras_pss.data.dataset`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pss.data.pipelines.shards import Shard
from keras_pss.features import Schema

if TYPE_CHECKING:
    import tensorflow as tf

SPLITS = ("train", "validation", "test")


class ClickLog(ABC):
    """Rows in three splits with the same ids.

    Attributes:
        kind: `"criteo"` or `"movielens"`, as in recipes, or `"any"`.
        name: Name of the rows in error messages.
        num_dense: Number of dense features.
        cardinalities: Number of ids of each categorical column, or None for
            open ids.
        schema: The schema of the log, or None if columns have no names.
        tables: Number of ids of each table of the schema, or None for open
            ids.
    """

    kind: str
    name: str
    num_dense: int
    cardinalities: Sequence[int | None]
    schema: Schema | None = None
    tables: Mapping[str, int | None] = MappingProxyType({})

    @property
    def has_named_tables(self) -> bool:
        """Whether features have lists of ids, or share tables."""
        if self.schema is None:
            return False
        return bool(self.schema.multi) or (
            len(self.schema.tables) < len(self.schema.single)
        )

    @abstractmethod
    def rows(self, split: str) -> int:
        """Number of rows of a split."""

    @abstractmethod
    def clicks(self, split: str) -> int:
        """Number of rows of a split with label 1."""

    @abstractmethod
    def counts(self, column: int) -> np.ndarray:
        """Count of each id of a column in all rows except the test rows."""

    def counted_tables(self) -> tuple[str, ...]:
        """Names of the schema's tables whose ids descend by their counts."""
        return ()

    def table_counts(self, table: str) -> np.ndarray:
        """Count of each id of a counted table, over all of its features."""
        raise NotImplementedError

    def label_counts(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
        """For each table the rows of each id, and those with a click.

        They are those of training rows, or of a part of them. Empty if they
        are unknown.
        """
        return {}

    def groups(self, split: str) -> np.ndarray | None:
        """Number of each row's group, in the order of `in_order`.

        None if rows have no group, such as a user.
        """
        return None

    @abstractmethod
    def in_order(self, split: str, batch_size: int) -> "tf.data.Dataset":
        """Batches of a split in a fixed order."""

    @abstractmethod
    def stream(
        self, batch_size: int, seed: int, skip: int, shard: Shard | None = None
    ) -> "tf.data.Dataset":
        """Endless shuffled training batches without the first `skip`.

        Args:
            batch_size: Number of rows of all batches except an epoch's last.
            seed: Seed of the order.
            skip: Number of batches to skip at the start.
            shard: Index of a process and number of processes. Elements are
                then `(features, labels, rows)`: the process's rows of each
                batch, maybe none, and the number of rows of the whole batch;
                see `keras_pss.data.dataset`. Default: None.
        """

    def served_by(self, service: Any) -> "ClickLog":
        """This log with training batches from input servers.

        Args:
            service: A `keras_pss.data.InputService`, whose servers are checked.

        Raises:
            OSError: If a server cannot be reached.
            ValueError: If it cannot read the same rows, or they are no
                prepared folder.
        """
        raise ValueError(
            "`data_service` needs a folder that `keras-pss prepare` wrote, "
            f"which input servers can read. Received: {self.name}"
        )

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the rows and ids, which detects changed data."""

    @abstractmethod
    def save_ids(self, path: Path) -> None:
        """Saves the encoder of raw values, if there is one."""

    def verify(self) -> None:  # noqa: B027, rows in memory need none
        """Reads all rows and raises ValueError if they have changed."""

    def sources(self) -> list[dict[str, str]]:
        """`name` and `sha256` of the source files; empty if unknown."""
        return []

    def check(self) -> None:
        """Raises unless each split has rows with and without a click."""
        for split in SPLITS:
            if not self.rows(split):
                raise ValueError(
                    "Training needs train, validation and test rows. Prepare "
                    "the data with fractions above 0. "
                    f"Received: no {split} rows in {self.name}"
                )
            if not 0 < self.clicks(split) < self.rows(split):
                raise ValueError(
                    "Each split needs rows with and without a click. Prepare "
                    "more rows or choose other fractions. Received: "
                    f"{self.clicks(split)} clicks in {self.rows(split)} "
                    f"{split} rows in {self.name}"
                )
