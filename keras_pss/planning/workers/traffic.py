"""A step of model-parallel tables, simulated id by id."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import boolean, positive_int, positive_ints
from keras_pss.planning.workers.arguments import lookups_of
from keras_pss.planning.workers.collectives import BYTES_A_NUMBER
from keras_pss.planning.workers.placement import place_tables


def simulated_traffic(
    input_dims: Sequence[int],
    output_dim: int,
    workers: int,
    batch_size: int,
    *,
    lookups: int | Sequence[int] = 1,
    by_rows: bool = False,
    distinct: bool = False,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Bytes that workers send each other in one step, for full tables.

    Draws a batch for each worker and counts what has to reach another one: ids
    go to the owner of the row, its numbers come back, and later the gradient.
    The probability of id k of a table with n ids is about `1 / (k ln n)`, the
    skew of Zipf's law.

    Args:
        input_dims: Numbers of ids n of each table.
        output_dim: Integer d, the numbers of a row.
        workers: Integer W.
        batch_size: Integer, the examples of each worker.
        lookups: Vectors that an example reads of each table; one number, or
            one a table. Defaults to 1.
        by_rows: Whether row k of table t lies on worker `(k + t) mod W`. By
            default, tables are placed whole, by `place_tables`.
        distinct: Whether a worker asks for an id once a batch, and sends the
            sum of its gradients. Defaults to False.
        seed: Integer seed of the ids.

    Returns:
        int64 array of shape `(3, W, W)`: ids, rows and gradients, from the
        worker of the second axis to that of the third.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    sent = keras_pss.planning.simulated_traffic([100, 50], 16, 2, 32)
    sent.shape  # (3, 2, 2)
    int(sent[1].sum())  # 4096
    ```
    """
    sizes = positive_ints("input_dims", input_dims)
    width = positive_int("output_dim", output_dim)
    positive_int("workers", workers)
    positive_int("batch_size", batch_size)
    read = lookups_of(lookups, len(sizes))
    boolean("by_rows", by_rows)
    boolean("distinct", distinct)
    places = place_tables([n * width for n in sizes], read, workers)
    random = np.random.default_rng(seed)
    asked = np.zeros((workers, workers), np.int64)  # [who asks, who holds]
    for table, (size, number) in enumerate(zip(sizes, read, strict=True)):
        for worker in range(workers):
            ids = _zipf(random, size, batch_size * number)
            if distinct:
                ids = np.unique(ids)
            if by_rows:
                holders = (ids + table) % workers
                asked[worker] += np.bincount(holders, minlength=workers)
            else:
                asked[worker, places[table]] += len(ids)
    np.fill_diagonal(asked, 0)
    return BYTES_A_NUMBER * np.stack([asked, width * asked.T, width * asked])


def _zipf(
    random: np.random.Generator, size: int, number: int
) -> npt.NDArray[np.int64]:
    """Ids from 0, the most frequent one, to `size - 1`."""
    drawn = (size + 1.0) ** random.random(number)
    return np.minimum(drawn.astype(np.int64), size) - 1
