"""Processes, on one or several machines, that train one model together."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_pss import keras_internals
from keras_pss.distribution.chief import check_alike, from_chief
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
            # The others have zeros.
            piece[:] = self._sum(piece.astype(np.float32))
        return mine.tobytes()

    def _sum(self, value: np.ndarray) -> np.ndarray:
        """The sum of an array, float32, over the workers."""
        first, _ = self._own()

        def own(context: Any) -> tf.Tensor:
            mine = context.replica_id_in_sync_group == first
            return tf.constant(value if mine else np.zeros_like(value))

        strategy = self.strategy
        with worker_lost(self.worker, self.workers):
            each = strategy.experimental_distribute_values_from_function(own)
            return np.asarray(strategy.reduce("SUM", each, axis=None))

    def _any(self, flag: bool) -> bool:
        """Whether a flag is true on any worker."""
        return bool(self._sum(np.array([flag], np.float32))[0])

    def _own(self) -> tuple[int, int]:
        count = self.count // self.workers
        return self.worker * count, count

    def _fit(self, model: keras.Model, parts: Any, settings: Any) -> None:
        if not self.is_chief:
            settings = {**settings, "verbose": 0}
        if every(model, UpdatesAfterStep) or every(model, UpdatesAfterEpoch):
            settings["callbacks"].append(_SendUpdates(self))
        _check_optimizer(model)
        self._check_alike(model, parts, settings)
        self._share(_state(model))
        with worker_lost(self.worker, self.workers):
            worker_loop(
                model, self.strategy, parts, **settings, agree=self._any
            )

    def _check_alike(
        self, model: keras.Model, parts: Any, settings: Any
    ) -> None:
        """Raises ValueError if this worker trains something else."""
        names = ("epochs", "steps_per_epoch", "initial_epoch")
        mine = {name: settings[name] for name in names}
        mine["batches"] = str(parts.element_spec)
        mine["variables"] = str([v.shape for v in _state(model)])
        check_alike(mine, self.on_chief(lambda: mine), self.worker)

    def _share(self, variables: list[Any]) -> None:
        """Gives all workers the chief's variables, if any has others."""
        digest = hashlib.sha256()
        for variable in variables:
            digest.update(keras.ops.convert_to_numpy(variable).tobytes())
        mine = digest.hexdigest()
        if self._any(mine != self.on_chief(lambda: mine)):
            self.send(variables)


def _state(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _check_optimizer(model: keras.Model) -> None:
    for part in keras_internals.optimizers_of(model.optimizer):
        if isinstance(part, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "Several workers cannot agree on the scale of float16's loss. "
                "Choose the dtype policy 'mixed_bfloat16'. "
                f"Received: a LossScaleOptimizer in model '{model.name}'"
            )


class _SendUpdates(keras.callbacks.Callback):
    """Sends the weights of layers that update themselves, after each epoch.

    Each worker updates its copy by itself, and other processors may round
    otherwise.
    """

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self.workers = workers

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.workers.send(_state(self.model))
