"""What a run trains on: Criteo's clicks or MovieLens' likes, alike.

A batch is `({"dense": (B, num_dense) float32, "categorical": (B, F) int32},
label (B,) float32)`; without dense features there is no "dense".
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_pss.data import criteo, movielens
from keras_pss.data.criteo.schema import NUM_CATEGORIES, NUM_INTEGERS
from keras_pss.data.pipelines.tf_dataset import prefetched

SPLITS = ("train", "validation", "test")


class Rows(ABC):
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
    def identity(self) -> str:
        """Equal for equal rows and ids alone."""

    @abstractmethod
    def save_ids(self, path: Path) -> None:
        """Keeps what maps raw values to ids, where there is such a thing."""

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


class CriteoRows(Rows):
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
        # Made once: a run reads its validation rows many times.
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

    def identity(self) -> str:
        # The checksums of all records are part of it.
        text = json.dumps(self.prepared.metadata, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def save_ids(self, path: Path) -> None:
        self.prepared.encoder().save(path)


class MovieLensRows(Rows):
    """Likes of users and movies; each user's last ones are held out.

    Args:
        likes: What `movielens.load` returned.
        last: See `Interactions.split`.
    """

    kind = "movielens"
    num_dense = 0

    def __init__(
        self, likes: movielens.Interactions, last: int | float = 0.1
    ) -> None:
        self.name = "the interactions"
        self.cardinalities = (likes.num_users, likes.num_items)
        self.parts = likes.split(last)._asdict()

    def rows(self, split: str) -> int:
        return len(self.parts[split])

    def clicks(self, split: str) -> int:
        return int(self.parts[split].labels.sum())

    def counts(self, column: int) -> np.ndarray:
        raise ValueError(
            "`min_count` needs ids that are sorted by frequency, with id 0 "
            "for rare ones; those of MovieLens are not. Leave it out."
        )

    def in_order(self, split: str, batch_size: int) -> tf.data.Dataset:
        part = self.parts[split]
        rows = tf.data.Dataset.from_tensor_slices(
            ({"categorical": part.ids()}, part.labels.astype(np.float32))
        )
        return prefetched(rows.batch(batch_size))

    def stream(self, batch_size: int, seed: int, skip: int) -> tf.data.Dataset:
        part = self.parts["train"]
        ids = tf.constant(part.ids())
        labels = tf.constant(part.labels.astype(np.float32))
        first, rest = divmod(skip, -(-len(part) // batch_size))

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            mixed = tf.random.experimental.stateless_fold_in([seed, 0], number)
            order = tf.random.experimental.stateless_shuffle(
                tf.range(len(part)), mixed
            )
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

        rows = tf.data.Dataset.counter(first).flat_map(epoch).skip(rest)
        batches = rows.map(
            lambda at: (
                {"categorical": tf.gather(ids, at)},
                tf.gather(labels, at),
            )
        )
        return prefetched(batches)

    def save_ids(self, path: Path) -> None:
        pass  # Ids are those of the source in ascending order.

    def identity(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts.values():
            for array in (part.users, part.items, part.labels):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def as_rows(data: Any) -> Rows:
    """Rows of a run, from what users have at hand.

    Args:
        data: `Rows`, what `criteo.prepare` returned, or MovieLens'
            interactions.
    """
    if isinstance(data, Rows):
        return data
    if isinstance(data, movielens.Interactions):
        return MovieLensRows(data)
    if isinstance(data, criteo.Prepared):
        return CriteoRows(data)
    raise ValueError(
        "`data` must be what `criteo.prepare`, `criteo.load` or "
        f"`movielens.load` returned. Received: {type(data).__name__}"
    )


def open_rows(path: Path) -> Rows:
    """Rows by their place: a prepared folder, or a file of ratings.

    Raises:
        ValueError: If it is neither.
    """
    if path.is_dir():
        return CriteoRows(criteo.load(path))
    if is_ratings(path) and path.is_file():
        return MovieLensRows(movielens.load(path))
    raise ValueError(
        "Data must be a folder that `keras-pss prepare` wrote, or MovieLens' "
        f"ratings (.dat or .csv, also compressed). Received: {path}"
    )


def is_ratings(path: Path) -> bool:
    """Whether a file is named as MovieLens' ratings are."""
    return path.with_suffix("").suffix in (".dat", ".csv") or path.suffix in (
        ".dat",
        ".csv",
    )
