"""Training on several devices and workers, with the results of one device.

`connect` finds the devices or the other workers; what it returns builds and
fits a model on them. Launchers, and models, are elsewhere.
"""

from typing import Any

from keras_pss.distribution.cluster import Cluster as Cluster
from keras_pss.distribution.cluster import read_cluster as read_cluster
from keras_pss.distribution.connect import connect as connect
from keras_pss.distribution.failures import WorkerLost as WorkerLost
from keras_pss.distribution.replicas import Replicas as Replicas
from keras_pss.distribution.table_parallel import TableParallel as TableParallel


def __getattr__(name: str) -> Any:
    """Classes of one framework, which the other one does not need."""
    if name == "Workers":
        from keras_pss.distribution.workers import Workers

        return Workers
    if name == "JaxReplicas":
        from keras_pss.distribution.on_jax.jax_replicas import JaxReplicas

        return JaxReplicas
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
