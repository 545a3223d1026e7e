"""Rows of ratings files for a model that is trained already."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_pss.data import movielens
from keras_pss.data.movielens.likes_ids import LikesIds
from keras_pss.data.pipelines.record_batches import (
    check_batch_size,
    prefetched,
)
from keras_pss.data.readers.source import Sources, as_sources

if TYPE_CHECKING:
    import tensorflow as tf


def likes_dataset(
    sources: Sources, encoder: Path, batch_size: int
) -> "tf.data.Dataset":
    """Batches of all rows of some files, encoded by the ids of a run.

    Memory: all rows, 12 bytes each.

    Args:
        sources: A path or a list of paths; see `movielens.load`.
        encoder: The ids, which `LikesIds.save` wrote.
        batch_size: Number of rows of all batches except the last.

    Returns:
        A dataset of `({"categorical": (B, 2) int32}, label (B,) float32)`.

    Raises:
        ValueError: For a broken line, or a user or movie that the run was not
            trained on.
    """
    import tensorflow as tf

    check_batch_size(batch_size)
    known = LikesIds.load(encoder)
    ids, labels = [], []
    for source in as_sources(sources):
        likes = movielens.load(source.path)
        ids.append(known.encode(likes))
        labels.append(likes.labels.astype(np.float32))
    rows = tf.data.Dataset.from_tensor_slices(
        ({"categorical": np.concatenate(ids)}, np.concatenate(labels))
    )
    return prefetched(rows.batch(batch_size))
