"""Finds the devices of this process, or the other workers of its job."""

from collections.abc import Sequence

import keras

from keras_pss.distribution.cluster import read_cluster
from keras_pss.distribution.replicas import Replicas

# Each kind, and the backend of Keras that it needs.
KINDS = {
    "mirrored": "tensorflow",
    "multi-worker": "tensorflow",
    "jax": "jax",
}
_NAMES = {"tensorflow": "TensorFlow", "jax": "JAX"}


def connect(
    kind: str | None,
    devices: Sequence[str] | None = None,
    model_parallel: int = 1,
) -> Replicas:
    """The replicas that train a model together.

    Call it at the start of a process, before TensorFlow or JAX has run
    anything: only then can processes connect.

    Args:
        kind: On TensorFlow, `"mirrored"` for several devices of this process,
            or `"multi-worker"` for several processes, which the environment
            variable TF_CONFIG names. On JAX, `"jax"` for all devices of this
            process and of those that JAX_COORDINATOR_ADDRESS,
            JAX_NUM_PROCESSES and JAX_PROCESS_ID, or Slurm, name. None for one
            device.
        devices: Names of the devices, such as `["GPU:0", "GPU:1"]`, with
            `"mirrored"`. Defaults to None, all GPUs; without GPUs, all CPU
            devices of TensorFlow, of which there is one unless it was
            configured otherwise.
        model_parallel: Integer, the number of devices among which large tables
            are divided, with `"jax"`; see `TableParallel`. Default: 1, each
            device has whole tables.

    Raises:
        ValueError: If the kind is unknown, the backend is another one, there
            is only one device or worker, or an environment variable is wrong.

    Example:

    ```python
    from keras_pss import distribution

    replicas = distribution.connect("mirrored")
    with replicas.scope():
        model = ...
        model.compile("adam", "binary_crossentropy")
    replicas.fit(model, batches, epochs=2, steps_per_epoch=100)
    ```
    """
    if model_parallel != 1 and kind != "jax":
        raise ValueError(
            "`model_parallel` divides tables with distribute='jax' only. "
            f"Received: model_parallel={model_parallel}"
        )
    if kind is None:
        return Replicas()
    if kind not in KINDS:
        raise ValueError(
            f"`distribute` must be one of {', '.join(KINDS)}. "
            f"Received: distribute={kind!r}"
        )
    needed = KINDS[kind]
    if keras.backend.backend() != needed:
        raise ValueError(
            f"`distribute` {kind!r} needs {_NAMES[needed]}. Set "
            f"KERAS_BACKEND={needed}. "
            f"Received: backend={keras.backend.backend()}"
        )
    if kind == "jax":
        from keras_pss.distribution.on_jax.jax_replicas import connect_jax

        return connect_jax(model_parallel)
    return _mirrored(devices) if kind == "mirrored" else _workers()


def _mirrored(devices: Sequence[str] | None) -> Replicas:
    import tensorflow as tf

    if devices is None:
        found = tf.config.list_logical_devices("GPU")
        found = found or tf.config.list_logical_devices("CPU")
        devices = [
            f"{d.device_type}:{d.name.rpartition(':')[2]}" for d in found
        ]
    if len(devices) < 2:
        raise ValueError(
            "distribute='mirrored' needs several devices. Leave it out to "
            "train on one, or make more GPUs visible "
            "(CUDA_VISIBLE_DEVICES). "
            f"Received: {', '.join(devices) or 'none'}"
        )
    return Replicas(tf.distribute.MirroredStrategy(list(devices)))


def _workers() -> Replicas:
    import tensorflow as tf

    from keras_pss.distribution.workers import Workers

    cluster = read_cluster()
    if len(cluster.addresses) < 2:
        raise ValueError(
            "distribute='multi-worker' needs several workers. Leave it out to "
            "train with one process. "
            f"Received: TF_CONFIG with {cluster.addresses[0]} alone"
        )
    try:
        return Workers(tf.distribute.MultiWorkerMirroredStrategy())
    except RuntimeError as error:
        raise ValueError(
            "Call `distribution.connect` first: workers can connect only "
            "before TensorFlow has run anything in this process. "
            f"Received: {error}"
        ) from error
    except tf.errors.OpError as error:
        raise ValueError(
            "A worker must be able to listen at its address in TF_CONFIG and "
            "to reach the other ones. Free the port, or choose another one. "
            f"Received: {cluster.addresses[cluster.index]}: {error.message}"
        ) from error
