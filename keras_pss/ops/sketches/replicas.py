"""What the replicas of a TensorFlow strategy know together."""

from typing import Any

from keras import backend

Tensor = Any


def many_workers() -> bool:
    """Whether variables are created on several workers."""
    if backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    return len(strategy.cluster_resolver.cluster_spec().as_dict()) > 0


def gathered(*values: Tensor) -> tuple[Tensor, ...]:
    """The rows of all replicas in a step, in the order of the global batch.

    Args:
        values: Tensors of `(n,)`, whose n may differ between replicas.

    Returns:
        The same tensors without several replicas. On JAX, a step sees the
        whole batch anyway.
    """
    if backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return tuple(context.all_gather(value, axis=0) for value in values)
