"""Processes, on one or several machines, that train one model together."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_pss.distribution.chief import from_chief
from keras_pss.distribution.failures import worker_lost
from keras_pss.distribution.replicas import Replicas
from keras_pss.distribution.worker_loop import worker_loop
from keras_pss.layers.base.updates import UpdatesAfterEpoch, UpdatesAfterStep
from keras_pss.layers.base.walk import every

# Bytes that are sent at a time; each takes the place of a float32.
_PIECE = 1 << 22


class Workers(Replicas):
    """The replicas of all workers of a `MultiWorkerMirroredStrategy`.

    The first worker is the chief. Each worker calls the same methods in the
    same order, and waits in them for the others.

    Args:
        strategy: The strategy, created at the start of the process.
    """

    strategy: tf.distribute.MultiWorkerMirroredStrategy

    def __init__(
        self, strategy: tf.distribute.MultiWorkerMirroredStrategy
    ) -> None:
        super().__init__(strategy)
        resolver = strategy.cluster_resolver
        spec = resolver.cluster_spec().as_dict()
        kinds = [kind for kind in ("chief", "worker") if kind in spec]
        self.workers = sum(len(spec[kind]) for kind in kinds)
        before = kinds[: kinds.index(resolver.task_type)]
        self.worker = resolver.task_id + sum(len(spec[k]) for k in before)

    @contextmanager
    def scope(self) -> Iterator[None]:
        with worker_lost(self.worker, self.workers), super().scope():
            yield

    def on_chief(self, function: Callable[[], Any]) -> Any:
        return from_chief(function, self.is_chief, self._text)

    def send(self, variables: Iterable[Any]) -> None:
        for variable in variables:
            value = keras.ops.convert_to_numpy(variable)
            sent = self._bytes(value.tobytes(), value.nbytes)
            variable.assign(
                np.frombuffer(sent, value.dtype).reshape(value.shape)
            )

    def _text(self, text: str) -> str:
        content = text.encode()
        size = self._bytes(len(content).to_bytes(8, "little"), 8)
        return self._bytes(content, int.from_bytes(size, "little")).decode()

    def _bytes(self, content: bytes, size: int) -> bytes:
        """The chief's bytes, of which all workers know the number."""
        mine = np.zeros(size, np.uint8)
        if self.is_chief:
            mine[:] = np.frombuffer(content, np.uint8)
        for begin in range(0, size, _PIECE):
            piece = mine[begin : begin + _PIECE]
            piece[:] = self._summed(piece.astype(np.float32))
        return mine.tobytes()

    def _summed(self, value: np.ndarray) -> np.ndarray:
        def own(context: Any) -> tf.Tensor:
            chief = context.replica_id_in_sync_group == 0
            return tf.constant(value if chief else np.zeros_like(value))

        strategy = self.strategy
        with worker_lost(self.worker, self.workers):
            each = strategy.experimental_distribute_values_from_function(own)
            return np.asarray(strategy.reduce("SUM", each, axis=None))

    def _own(self) -> tuple[int, int]:
        count = self.count // self.workers
        return self.worker * count, count

    def _fit(self, model: keras.Model, parts: Any, settings: Any) -> None:
        if not self.is_chief:
            settings = {**settings, "verbose": 0}
        if every(model, UpdatesAfterStep) or every(model, UpdatesAfterEpoch):
            settings["callbacks"].append(_SendUpdates(self))
        with worker_lost(self.worker, self.workers):
            worker_loop(model, self.strategy, parts, **settings)


class _SendUpdates(keras.callbacks.Callback):
    """Sends the weights of layers that update themselves, after each epoch.

    Each worker updates its copy by itself, and other processors may round
    otherwise.
    """

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self.workers = workers

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        self.workers.send([*self.model.variables, *optimizer.variables])
