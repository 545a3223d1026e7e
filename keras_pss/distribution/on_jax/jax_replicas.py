"""All devices of one or several processes of JAX."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from keras_pss import keras_internals
from keras_pss.distribution.chief import check_alike
from keras_pss.distribution.on_jax import processes
from keras_pss.distribution.on_jax.batches import Batches, Source, shapes
from keras_pss.distribution.on_jax.whole import whole_variables
from keras_pss.distribution.replicas import Replicas
from keras_pss.distribution.table_parallel import TableParallel
from keras_pss.layers.base.updates import UpdatesAfterEpoch, UpdatesAfterStep
from keras_pss.layers.base.walk import every


def connect_jax(model_parallel: int) -> "JaxReplicas":
    """See `connect`."""
    processes.connect_processes()
    # A process's devices are neighbors, so that its rows are, too.
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    if len(devices) < 2:
        raise ValueError(
            "distribute='jax' needs several devices. Leave it out to train on "
            "one, or make more visible to JAX, or start several processes "
            f"({processes.ADDRESS}). "
            f"Received: {devices[0].platform}:{devices[0].id}"
        )
    counts = Counter(device.process_index for device in devices)
    _check_groups(list(counts.values()), model_parallel)
    names = [f"{d.platform}:{d.id}" for d in devices]
    return JaxReplicas(TableParallel(model_parallel, names))


def _check_groups(counts: Sequence[int], model_parallel: int) -> None:
    """Raises ValueError if a process needs rows of several parts in pieces.

    Args:
        counts: Number of devices of each process.
        model_parallel: Number of parts of a table.
    """
    fits = len(set(counts)) == 1 and (
        counts[0] % model_parallel == 0 or model_parallel % counts[0] == 0
    )
    if len(counts) > 1 and not fits:
        raise ValueError(
            "All processes must have the same number of devices, and "
            "`model_parallel` must divide it or be a multiple of it. Received: "
            f"model_parallel={model_parallel} for processes with "
            f"{', '.join(map(str, counts))} devices"
        )


class JaxReplicas(Replicas):
    """Devices that train a model together by one program (SPMD).

    Each device has a part of each batch and, of tables that are not divided, a
    copy. The loss, the gradients, clipping, metrics, batch normalization and
    the counters of layers are those of the global batch.

    Args:
        distribution: The mesh of devices.

    Attributes:
        strategy: The distribution.
        count: Number of parts of a batch.
        workers: Number of processes.
        worker: Index of this process.
    """

    strategy: TableParallel

    def __init__(self, distribution: TableParallel) -> None:
        self.strategy = distribution
        self.count = distribution.num_model_replicas
        self.workers = jax.process_count()
        self.worker = jax.process_index()

    @contextmanager
    def scope(self) -> Iterator[None]:
        with processes.process_lost(), self.strategy.scope():
            yield

    def on_chief(self, function: Callable[[], Any]) -> Any:
        return processes.on_chief(function)

    def send(self, variables: Iterable[Any]) -> None:
        if self.workers == 1:
            return
        variables = list(variables)
        with processes.process_lost(), whole_variables(variables):
            for variable in variables:
                value = keras.ops.convert_to_numpy(variable)
                sent = multihost_utils.broadcast_one_to_all(value)
                variable.assign(np.asarray(sent).astype(value.dtype))

    def disconnect(self) -> None:
        if self.workers > 1:
            jax.distributed.shutdown()

    @contextmanager
    def whole(self, model: keras.Model) -> Iterator[None]:
        with processes.process_lost(), whole_variables(_variables(model)):
            yield

    def fit(
        self,
        model: keras.Model,
        batches: Any,
        *,
        epochs: int,
        steps_per_epoch: int,
        initial_epoch: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: str | int = "auto",
        schedule: Any = None,
    ) -> None:
        """Trains a model that was built and compiled within `scope`.

        A batch that the replicas cannot share equally, such as the last one of
        a pass over the data, is trained on all devices alike: each row once.

        Args:
            model: The model.
            batches: Global batches `(features, labels)` of dense arrays, as
                a `tf.data.Dataset` or another source of batches that
                `model.fit` takes, enough for all epochs, in an order that is
                the same on all workers. Or a function of the index of a part
                of each batch and their number that returns a source of
                `(features, labels, rows)`: rows n w // W to n (w + 1) // W of
                each global batch, and n.
            epochs: Index of the epoch at which training ends.
            steps_per_epoch: Number of batches in an epoch.
            initial_epoch: Index of the first epoch.
            callbacks: As in `model.fit`. At the end of an epoch, each process
                has whole variables (see `whole`).
            verbose: As in `model.fit`; other workers than the chief print
                nothing.
            schedule: Ignored: JAX runs ahead of Python by itself, unless a
                callback reads the logs of each step.

        Raises:
            ValueError: If the model was built out of `scope`, another process
                trains another model or number of steps, or a layer that
                updates itself during an epoch has a table that processes
                divide.
            OSError: `WorkerLost` if another worker has stopped.
        """
        self._check_built_here(model)
        self._check_updates(model)
        self._check_alike(
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            initial_epoch=initial_epoch,
            variables=str([v.shape for v in _variables(model)]),
        )
        place = Batches(self.strategy, callable(batches))
        if callable(batches):
            source: Source = batches
            batches = source(place.shard, place.shards)
        model.train_function = self._train_function(model, place)
        whole = _WholeAtEnds(self)
        try:
            with (
                processes.process_lost(),
                keras_internals.built_within(model, self._built, shapes),
            ):
                model.fit(
                    batches,
                    # The order of batches is the caller's.
                    shuffle=False,
                    epochs=epochs,
                    steps_per_epoch=steps_per_epoch,
                    initial_epoch=initial_epoch,
                    callbacks=[whole.begin, *callbacks, whole.end],
                    verbose=verbose if self.is_chief else 0,
                )
        finally:
            whole.leave()
            model.train_function = None

    def _built(self) -> AbstractContextManager[None]:
        return self.strategy.scope()

    def _train_function(
        self, model: keras.Model, place: Batches
    ) -> Callable[[Any, Any], Any]:
        """What Keras' `fit` calls with the state and the batches.

        Keras itself would place batches, of rows that all devices share
        equally, so it does not know of the distribution here.
        """
        copied = NamedSharding(place.mesh, PartitionSpec())
        compiled: list[Any] = []

        def step(state: Any, batch: Any) -> Any:
            if not compiled:
                kept = jax.tree.map(lambda array: array.sharding, state)
                compiled.append(
                    model.train_step
                    if model.run_eagerly
                    else jax.jit(
                        model.train_step,
                        donate_argnums=0,
                        out_shardings=(copied, kept),
                    )
                )
            with self.strategy.scope():
                return compiled[0](state, place(batch))

        def train_function(state: Any, iterator: Any) -> Any:
            logs, state = step(state, next(iterator))
            for _ in range(model.steps_per_execution - 1):
                batch = next(iterator, None)
                if batch is None:
                    break
                logs, state = step(state, batch)
            return logs, state

        return train_function

    def _check_built_here(self, model: keras.Model) -> None:
        mesh = self.strategy.device_mesh.backend_mesh
        devices = set(mesh.devices.flat)
        for variable in _variables(model):
            value = keras_internals.held_value(variable)
            if value is not None and set(value.sharding.device_set) != devices:
                raise ValueError(
                    "Build and compile the model within `scope`, so that all "
                    f"devices have its weights. Received: '{variable.path}' "
                    f"on {len(value.sharding.device_set)} of "
                    f"{len(devices)} devices"
                )

    def _check_alike(self, **mine: Any) -> None:
        """Raises ValueError if this process trains something else.

        The others would wait for its steps.
        """
        check_alike(mine, self.on_chief(lambda: mine), self.worker)

    def _check_updates(self, model: keras.Model) -> None:
        for layer in every(model, UpdatesAfterStep):
            for variable in layer.variables:
                value = keras_internals.held_value(variable)
                if value.is_fully_addressable or value.is_fully_replicated:
                    continue
                raise ValueError(
                    f"Layer '{layer.name}' updates itself on each process "
                    "during an epoch, for which its tables must be whole. "
                    "Train it with one process or model_parallel=1. Received: "
                    f"'{variable.path}', divided among processes"
                )


def _variables(model: keras.Model) -> list[Any]:
    found = list(model.variables)
    if getattr(model, "optimizer", None) is not None:
        found += model.optimizer.variables
    # The variables of metrics are among those of the model in some versions.
    found += getattr(model, "metrics_variables", [])
    return list({id(variable): variable for variable in found}.values())


class _WholeAtEnds:
    """Two callbacks, between which each process has whole variables.

    Layers update themselves there, each process its own copy. Other processors
    may round otherwise, so that the chief's values are sent.
    """

    def __init__(self, replicas: JaxReplicas) -> None:
        self.replicas = replicas
        self.context: AbstractContextManager[None] | None = None
        self.begin = keras.callbacks.LambdaCallback(on_epoch_end=self._enter)
        self.end = keras.callbacks.LambdaCallback(on_epoch_end=self._send)

    def _enter(self, epoch: int, logs: Any) -> None:
        self.context = self.replicas.whole(self.begin.model)
        self.context.__enter__()

    def _send(self, epoch: int, logs: Any) -> None:
        updated = every(self.end.model, UpdatesAfterEpoch)
        self.replicas.send(v for layer in updated for v in layer.variables)
        self.leave()

    def leave(self) -> None:
        context, self.context = self.context, None
        if context is not None:
            context.__exit__(None, None, None)
