"""K-means clustering of one column of vectors, on the host.

The vectors are never all in memory: a function computes them for one range of
ids at a time, and the centroids are found from a sample.
"""

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

Vectors = Callable[[np.ndarray], np.ndarray]
_BATCH = 1 << 16  # ids per call of `vectors`
# Compared with mini-batches and other initializations, this gave the smallest
# error for its time: 1 s for 256 clusters of 65,536 vectors, 10 s for 1,024 of
# 262,144 (2 cores).
_ITERATIONS = 10
_INIT_VECTORS = 4  # vectors per cluster that k-means++ chooses from


class Clustered(NamedTuple):
    """Centroids of a column of vectors, and mean residuals by hash bucket.

    Attributes:
        centroids: float32 `(count, width)`; rows without a cluster are zero.
        pointers: uint16 `(rows,)`, the nearest centroid of each id.
        residuals: float32 `(count, width)`, the mean residual of each bucket;
            zero for an empty bucket.
        error: Weighted squared error of centroid plus residual, summed over
            all ids.
        total: Weighted squared norm of the vectors, summed over all ids.
    """

    centroids: np.ndarray
    pointers: np.ndarray
    residuals: np.ndarray
    error: float
    total: float


def blocks(rows: int) -> Iterator[np.ndarray]:
    """The ids of `[0, rows)` in ranges of bounded size."""
    for begin in range(0, rows, _BATCH):
        yield np.arange(begin, min(begin + _BATCH, rows))


def checked_weights(counts: Any, rows: int) -> np.ndarray | None:
    """Converts counts of ids to weights, `(rows,)`, and validates them."""
    if counts is None:
        return None
    weights = np.asarray(counts, float)
    ok = weights.shape == (rows,) and (weights >= 0).all() and weights.any()
    if not ok or not np.isfinite(weights).all():
        raise ValueError(
            "`counts` must be finite non-negative numbers, one for each id, "
            f"at least one of them positive, of shape ({rows},). "
            f"Received: counts of shape {weights.shape}"
        )
    return weights


def sampled(
    rows: int,
    size: int,
    weights: np.ndarray | None,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """At most `size` ids to cluster, and their weights."""
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
        count: Number of clusters, and of buckets.
        vectors: Function from ids `(n,)` to float32 vectors `(n, width)`.
        buckets: Function from ids `(n,)` to their residual buckets `(n,)`.
        sample: Ids from which the centroids are found, and their weights.
        weights: Weight of each id, `(rows,)`; None for equal weights.
        random: Generator that draws the initial centroids.
    """
    nearest = _scikit_learn("metrics").pairwise_distances_argmin
    found = _centroids(vectors(sample[0]), sample[1], count, random)
    pointers = np.empty(rows, np.uint16)
    mass, sums = np.zeros(count), np.zeros((count, found.shape[1]))
    error = total = 0.0
    for ids in blocks(rows):
        vector = vectors(ids)
        pointers[ids] = nearest(vector, found)
        residual = (vector - found[pointers[ids]]).astype(float)
        weight = np.ones(len(ids)) if weights is None else weights[ids]
        bucket = buckets(ids)
        mass += np.bincount(bucket, weight, count)
        for column, values in enumerate(residual.T):
            sums[:, column] += np.bincount(bucket, weight * values, count)
        error += float(weight @ np.square(residual).sum(axis=1))
        total += float(weight @ np.square(vector.astype(float)).sum(axis=1))
    means = sums / np.where(mass > 0, mass, 1)[:, None]
    # Σ w (x - mean)² = Σ w x² - mass mean², without a second pass.
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
    """Up to `count` centroids; the distinct vectors if no more than that."""
    cluster = _scikit_learn("cluster")
    distinct, which = np.unique(vectors, axis=0, return_inverse=True)
    if len(distinct) <= count:
        return distinct
    weights = np.bincount(which.ravel(), weights)
    # On all vectors, k-means++ would take most of the time for no gain.
    some = min(len(distinct), _INIT_VECTORS * count)
    first = random.choice(
        len(distinct), some, replace=False, p=weights / weights.sum()
    )
    # OpenBLAS may flag an invalid number in a product of finite ones.
    with np.errstate(invalid="ignore"):
        start, _ = cluster.kmeans_plusplus(
            distinct[first],
            count,
            sample_weight=weights[first],
            random_state=int(random.integers(2**31)),
        )
    means = cluster.KMeans(count, init=start, n_init=1, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        # scikit-learn warns of empty clusters if vectors differ only in their
        # last bits.
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
