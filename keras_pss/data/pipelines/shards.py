"""Divides global batches among processes, each row to one of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

Shard = tuple[int, int]  # the index of a process, and the number of processes


def check_shard(shard: Shard) -> None:
    """Raises ValueError unless `shard` is one of a positive number."""
    pair = isinstance(shard, tuple | list) and len(shard) == 2
    whole = pair and all(type(n) is int for n in shard)
    if not whole or not 0 <= shard[0] < shard[1]:
        raise ValueError(
            "`shard` must be a pair (index, count) of integers with 0 <= index "
            f"< count. Received: shard={shard!r}"
        )


def own_rows(rows: Any, index: Any, count: int) -> tuple[Any, Any]:
    """The first row of a batch that a shard has, and the one after its last.

    The shards' numbers of rows differ by at most one, and may be 0.

    Args:
        rows: Number of rows of the global batch.
        index: Index of the shard.
        count: Number of shards.
    """
    return rows * index // count, rows * (index + 1) // count


def shard_batches(batches: "tf.data.Dataset", shard: Shard) -> Any:
    """One shard of batches that were read whole.

    Args:
        batches: Global batches `(features, labels)`.
        shard: Index of the shard and number of shards.

    Returns:
        A dataset of `(features, labels, rows)`: the shard's rows of each
        batch, maybe none, and the number of rows of the whole batch, int64.

    Raises:
        ValueError: If an element is no pair of features and labels.
    """
    import keras
    import tensorflow as tf

    check_shard(shard)
    spec = batches.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(
            "Each batch must be a pair (features, labels) to be divided among "
            f"replicas. Received: elements {spec}"
        )

    def part(features: Any, labels: Any) -> Any:
        rows = tf.shape(keras.tree.flatten(labels)[0], tf.int64)[0]
        begin, end = own_rows(rows, *shard)
        own = keras.tree.map_structure(
            lambda value: value[begin:end], (features, labels)
        )
        return *own, rows

    return batches.map(part)


def check_elements(shards: "tf.data.Dataset") -> None:
    """Raises ValueError unless elements are those of `shard_batches`."""
    spec = getattr(shards, "element_spec", None)
    if not isinstance(spec, tuple) or len(spec) != 3:
        raise ValueError(
            "`batches` must be a dataset, or a function (worker, workers) that "
            "returns a dataset of (features, labels, rows). "
            f"Received: elements {spec}"
        )


def whole_batches(shards: "tf.data.Dataset") -> "tf.data.Dataset":
    """The pairs `(features, labels)` of the only shard of global batches."""
    check_elements(shards)
    return shards.map(lambda features, labels, rows: (features, labels))
