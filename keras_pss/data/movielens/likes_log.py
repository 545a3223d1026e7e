"""A click log of MovieLens likes."""

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_pss.data import movielens
from keras_pss.data.movielens.likes_ids import LikesIds
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.data.pipelines.record_batches import prefetched
from keras_pss.data.pipelines.shards import Shard, shard_batches


class LikesLog(ClickLog):
    """Likes of movies by users; the last ones of each user are held out.

    Args:
        likes: The result of `movielens.load`.
        last: Interactions to hold out; see `Interactions.split`.
    """

    kind = "movielens"
    num_dense = 0

    def __init__(
        self,
        likes: movielens.Interactions,
        last: int | float = 0.1,
    ) -> None:
        self.source = likes.source
        self.ids = LikesIds(likes.user_ids, likes.item_ids)
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
            "for rare values, which MovieLens ids are not. Leave it out."
        )

    def groups(self, split: str) -> np.ndarray:
        return self.parts[split].users

    def in_order(self, split: str, batch_size: int) -> tf.data.Dataset:
        part = self.parts[split]
        rows = tf.data.Dataset.from_tensor_slices(
            ({"categorical": part.ids()}, part.labels.astype(np.float32))
        )
        return prefetched(rows.batch(batch_size))

    def stream(
        self, batch_size: int, seed: int, skip: int, shard: Shard | None = None
    ) -> tf.data.Dataset:
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
        if shard is not None:
            batches = shard_batches(batches, shard)
        return prefetched(batches)

    def sources(self) -> list[dict[str, str]]:
        if self.source is None:
            return []
        return [self.source._asdict()]

    def save_ids(self, path: Path) -> None:
        self.ids.save(path)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts.values():
            for array in (part.users, part.items, part.labels):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
