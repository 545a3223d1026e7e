"""K-means of one column of vectors, on the host.

The vectors are never there all at once: a function gives those of a range of
ids, and only a sample of them is clustered.
"""

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

Vectors = Callable[[np.ndarray], np.ndarray]
_BLOCK = 1 << 16  # ids at once
# Measured beside mini-batches and other starts: the least error for the time,
# 1 s for 256 clusters of 65,536 vectors, 10 s for 1,024 of 262,144 (2 cores).
_ROUNDS = 10
_SEEDED_FROM = 4  # vectors a cluster


class Clustered(NamedTuple):
    """A column of vectors as centroids and means of what they leave.

    Attributes:
        centroids: float32 `(count, width)`; rows without a cluster are zero.
        pointers: uint16 `(rows,)`, the nearest centroid of each id.
        residuals: float32 `(count, width)`, by bucket; zero where it is empty.
        error: Squared error of centroid plus residual, over all ids.
        total: Squared norm of the vectors, over all ids.
    """

    centroids: np.ndarray
    pointers: np.ndarray
    residuals: np.ndarray
    error: float
    total: float


def blocks(rows: int) -> Iterator[np.ndarray]:
    """The ids of `[0, rows)` in pieces of bounded size."""
    for begin in range(0, rows, _BLOCK):
        yield np.arange(begin, min(begin + _BLOCK, rows))


def checked_weights(counts: Any, rows: int) -> np.ndarray | None:
    """Counts of each id as weights, or an error that says what they must be."""
    if counts is None:
        return None
    weights = np.asarray(counts, float)
    ok = weights.shape == (rows,) and (weights >= 0).all() and weights.any()
    if not ok or not np.isfinite(weights).all():
        raise ValueError(
            "`counts` must be finite numbers, one for each id, none of them "
            f"negative and at least one positive, of shape ({rows},). "
            f"Received: counts of shape {weights.shape}"
        )
    return weights


def sampled(
    rows: int,
    size: int,
    weights: np.ndarray | None,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Ids to cluster and their weights; all ids if there are no more."""
    if weights is None:
        if rows <= size:
            return np.arange(rows), np.ones(rows)
        ids = random.choice(rows, size, replace=False, shuffle=False)
        return np.sort(ids), np.ones(size)
    ids = np.flatnonzero(weights)
    if len(ids) > size:
        drawn = random.choice(rows, size, p=weights / weights.sum())
        ids, repeats = np.unique(drawn, return_counts=True)
        return ids, repeats.astype(float)
    return ids, weights[ids]


def clustered(
    rows: int,
    count: int,
    vectors: Vectors,
    buckets: Vectors,
    sample: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray | None,
    random: np.random.Generator,
) -> Clustered:
    """Clusters the vectors of `rows` ids.

    Args:
        rows: Number of ids.
        count: Of clusters, and of buckets.
        vectors: Ids to float32 vectors `(n, width)`.
        buckets: Ids to the buckets of their residuals `(n,)`.
        sample: Ids to find the centroids from, and their weights.
        weights: Of all ids, `(rows,)`; None if all weigh the same.
        random: Of the start.
    """
    nearest = _scikit_learn("metrics").pairwise_distances_argmin
    found = _centroids(vectors(sample[0]), sample[1], count, random)
    pointers = np.empty(rows, np.uint16)
    mass, sums = np.zeros(count), np.zeros((count, found.shape[1]))
    error = total = 0.0
    for ids in blocks(rows):
        block = vectors(ids)
        pointers[ids] = nearest(block, found)
        residual = (block - found[pointers[ids]]).astype(float)
        weight = np.ones(len(ids)) if weights is None else weights[ids]
        bucket = buckets(ids)
        mass += np.bincount(bucket, weight, count)
        for column, values in enumerate(residual.T):
            sums[:, column] += np.bincount(bucket, weight * values, count)
        error += float(weight @ np.square(residual).sum(axis=1))
        total += float(weight @ np.square(block.astype(float)).sum(axis=1))
    means = sums / np.where(mass > 0, mass, 1)[:, None]
    # What the means take away from the squared residuals.
    error -= float(mass @ np.square(means).sum(axis=1))
    centroids = np.zeros((count, found.shape[1]), np.float32)
    centroids[: len(found)] = found
    return Clustered(
        centroids, pointers, means.astype("float32"), max(error, 0.0), total
    )


def _centroids(
    vectors: np.ndarray,
    weights: np.ndarray,
    count: int,
    random: np.random.Generator,
) -> np.ndarray:
    """At most `count` centroids; the vectors themselves if so few differ."""
    cluster = _scikit_learn("cluster")
    distinct, which = np.unique(vectors, axis=0, return_inverse=True)
    if len(distinct) <= count:
        return distinct
    weights = np.bincount(which.ravel(), weights)
    # k-means++ costs most of the time on all vectors, and is as good on some.
    some = min(len(distinct), _SEEDED_FROM * count)
    first = random.choice(
        len(distinct), some, replace=False, p=weights / weights.sum()
    )
    start, _ = cluster.kmeans_plusplus(
        distinct[first],
        count,
        sample_weight=weights[first],
        random_state=int(random.integers(2**31)),
    )
    means = cluster.KMeans(count, init=start, n_init=1, max_iter=_ROUNDS)
    with warnings.catch_warnings():
        # Vectors that differ in their last bits may meet in one cluster.
        warnings.simplefilter("ignore")
        means.fit(distinct, sample_weight=weights)
    return means.cluster_centers_.astype("float32")


def _scikit_learn(module: str) -> Any:
    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError(
            "Clustering needs scikit-learn: `pip install scikit-learn`."
        ) from error
