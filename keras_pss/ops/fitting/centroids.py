"""K-means of the parts of a table's rows, weighted, in blocks.

Lloyd's iterations run on a sample of ids, from centroids that k-means++
chooses; one pass then assigns all ids, and moves each centroid to the mean of
the ids that it got.

References: Lloyd, "Least squares quantization in PCM" (IEEE Transactions on
Information Theory, 1982); Arthur and Vassilvitskii, "k-means++: the advantages
of careful seeding" (SODA 2007).
"""

from collections.abc import Callable

import numpy as np

from keras_pss.ops.fitting.single_reads import add_at
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.methods.clustering import sampled

_ITERATIONS = 10
# Ids in the sample for each centroid, and the most of all together.
_SAMPLED = 256
_LARGEST_SAMPLE = 1 << 18
# Vectors for each centroid that k-means++ chooses from, and the most
# centroids that it chooses: it takes time in proportion to their square.
_CANDIDATES = 4
_MOST_CHOSEN = 2048
# Distances that are in memory at a time.
_DISTANCES = 1 << 20


def fitted(
    table: TrainedTable,
    count: int,
    columns: int,
    write: Callable[[int, np.ndarray], None],
) -> np.ndarray:
    """Centroids of each part of the rows, `(columns * count, width / columns)`.

    Args:
        table: The trained table.
        count: Integer, the number of centroids of a part.
        columns: Integer, the number of parts of a row.
        write: Function of the first id and the pointers `(n, columns)` of
            consecutive ids, each in `[0, count)`.
    """
    random = np.random.default_rng(0)
    weights = table.weights(0, table.rows)
    size = max(min(_SAMPLED * count, _LARGEST_SAMPLE), 2 * count)
    uniform = weights.min() == weights.max()
    ids, repeats = sampled(
        table.rows, size, None if uniform else weights, random
    )
    sample = np.split(table.take(ids).astype(np.float64), columns, axis=1)
    found = [clustered(part, repeats, count, random) for part in sample]
    sums = np.zeros((columns, found[0].shape[1], count))
    mass = np.zeros((columns, count))
    for block in table.blocks():
        pointers = np.empty((len(block.ids), columns), np.int32)
        begin = int(block.ids[0])
        rows = table.read(begin, begin + len(block.ids))
        parts = np.split(rows, columns, axis=1)
        for column, (part, own) in enumerate(zip(parts, found, strict=True)):
            pointers[:, column] = nearest(part, own)
            add_at(mass[column], pointers[:, column], block.weights)
            for place, values in enumerate(part.T):
                add_at(
                    sums[column, place],
                    pointers[:, column],
                    values * block.weights,
                )
        write(begin, pointers)
    for own, total, size_of in zip(found, sums, mass, strict=True):
        used = size_of > 0
        own[used] = (total[:, used] / size_of[used]).T
    return np.concatenate(found)


def clustered(
    vectors: np.ndarray,
    weights: np.ndarray,
    count: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Centroids of weighted vectors, `(count, width)`.

    If there are no more distinct vectors than centroids, they are those; the
    other centroids are zero.
    """
    distinct, which = np.unique(vectors, axis=0, return_inverse=True)
    weights = np.bincount(which.ravel(), weights)
    if len(distinct) <= count:
        return np.pad(distinct, ((0, count - len(distinct)), (0, 0)))
    found = _chosen(distinct, weights, count, random)
    for _ in range(_ITERATIONS):
        own = nearest(distinct, found)
        mass = np.bincount(own, weights, count)
        used = mass > 0
        for place, values in enumerate(distinct.T):
            sums = np.bincount(own, weights * values, count)
            found[used, place] = sums[used] / mass[used]
        if not used.all():
            # Give empty clusters the vectors that are worst represented.
            squares = np.square(distinct - found[own]).sum(axis=1) * weights
            worst = np.argsort(-squares)[: count - int(used.sum())]
            found[~used] = distinct[worst]
    return found


def _chosen(
    vectors: np.ndarray,
    weights: np.ndarray,
    count: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Initial centroids: vectors that k-means++ chooses from some of them."""
    some = min(len(vectors), max(_CANDIDATES * min(count, _MOST_CHOSEN), count))
    share = weights / weights.sum()
    positive = int((share > 0).sum())
    ids = random.choice(len(vectors), min(some, positive), False, share)
    if len(ids) < count:
        others = np.setdiff1d(np.arange(len(vectors)), ids)
        ids = np.concatenate([ids, others[: count - len(ids)]])
    vectors, weights = vectors[ids], weights[ids]
    if count > _MOST_CHOSEN or len(ids) == count:
        return vectors[:count].copy()
    chosen = [int(random.choice(len(vectors), p=weights / weights.sum()))]
    closest = np.square(vectors - vectors[chosen[0]]).sum(axis=1)
    for _ in range(count - 1):
        odds = closest * weights
        total = odds.sum()
        if not total:
            odds, total = np.ones(len(odds)), float(len(odds))
        place = int(random.choice(len(vectors), p=odds / total))
        chosen.append(place)
        own = np.square(vectors - vectors[place]).sum(axis=1)
        closest = np.minimum(closest, own)
    return vectors[chosen].copy()


def nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The nearest centroid of each vector, int64 `(n,)`."""
    dtype = vectors.dtype
    halves = (np.square(centroids).sum(axis=1) / 2).astype(dtype)
    turned = centroids.T.astype(dtype)
    step = max(1, _DISTANCES // len(centroids))
    found = np.empty(len(vectors), np.int64)
    for begin in range(0, len(vectors), step):
        products = vectors[begin : begin + step] @ turned
        found[begin : begin + step] = np.argmax(products - halves, axis=1)
    return found
