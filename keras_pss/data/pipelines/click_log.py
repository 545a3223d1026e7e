"""What a run trains on: Criteo's clicks or MovieLens' likes, alike.

A batch is `({"dense": (B, num_dense) float32, "categorical": (B, F) int32},
label (B,) float32)`; without dense features there is no "dense".
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

SPLITS = ("train", "validation", "test")


class ClickLog(ABC):
    """Rows in three parts, with the ids of the whole.

    Attributes:
        kind: `"criteo"` or `"movielens"`, as recipes name it.
        name: What errors call them.
        num_dense: Dense features.
        cardinalities: Ids of each categorical column, None where open.
    """

    kind: str
    name: str
    num_dense: int
    cardinalities: Sequence[int | None]

    @abstractmethod
    def rows(self, split: str) -> int:
        """Number of rows of a part."""

    @abstractmethod
    def clicks(self, split: str) -> int:
        """Rows of a part with label 1."""

    @abstractmethod
    def counts(self, column: int) -> np.ndarray:
        """How often each id of a column occurs, the test rows left out."""

    @abstractmethod
    def in_order(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Batches of a part in a fixed order."""

    @abstractmethod
    def stream(self, batch_size: int, seed: int, skip: int) -> tf.data.Dataset:
        """Shuffled training batches without end, after the first `skip`."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Equal for equal rows and ids alone."""

    @abstractmethod
    def save_ids(self, path: Path) -> None:
        """Keeps what maps raw values to ids, where there is such a thing."""

    def verify(self) -> None:  # noqa: B027, rows in memory need none
        """Reads all rows, and raises ValueError where they have changed."""

    def sources(self) -> list[dict[str, str]]:
        """`name` and `sha256` of the files that the rows come from.

        Empty where they are not known.
        """
        return []

    def check(self) -> None:
        """Raises unless each part has rows with and without a click."""
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
                    "more rows, or another split. Received: "
                    f"{self.clicks(split)} clicks in {self.rows(split)} "
                    f"{split} rows in {self.name}"
                )
