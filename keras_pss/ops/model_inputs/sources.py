"""Data sources whose batches are converted before they reach a backend.

A backend and Keras' data adapters truncate some inputs (64-bit integers on JAX,
later batches of another dtype on TensorFlow), which cannot be detected
afterwards.
"""

import copy
import sys
from collections.abc import Callable
from types import GeneratorType
from typing import Any

import keras
import numpy as np
from keras import backend

Function = Callable[[Any], Any]


def is_source(data: Any) -> bool:
    """Whether `data` is an iterable of batches rather than arrays."""
    return (
        isinstance(data, keras.utils.PyDataset | GeneratorType)
        or _is_loader(data)
        or _is_dataset(data)
    )


def mapped(data: Any, function: Function) -> Any:
    """Applies a function to the inputs of a source's batches.

    Args:
        data: A `keras.utils.PyDataset`, a generator, a PyTorch `DataLoader` or
            a `tf.data.Dataset`. The last one is returned unchanged except on
            JAX: other backends keep its dtypes, so the model checks them.
        function: Function of `x`, which is the first element of a batch that
            is a tuple or list, else the whole batch.

    Returns:
        A source of the same kind.
    """

    def map_elements(*batch: Any) -> Any:
        x, *rest = batch
        return (function(x), *rest) if rest else function(x)

    def map_batch(batch: Any) -> Any:
        if isinstance(batch, tuple | list):
            return (function(batch[0]), *batch[1:])
        return function(batch)

    if isinstance(data, GeneratorType):
        return (map_batch(batch) for batch in data)
    if isinstance(data, keras.utils.PyDataset):
        return _MappedDataset(data, map_batch)
    if _is_loader(data):
        return _mapped_loader(data, map_batch)
    return data.map(map_elements) if backend.backend() == "jax" else data


class _MappedDataset(keras.utils.PyDataset):
    """A dataset with a function applied to each batch."""

    def __init__(self, source: Any, function: Function) -> None:
        super().__init__(
            workers=source.workers,
            use_multiprocessing=source.use_multiprocessing,
            max_queue_size=source.max_queue_size,
        )
        self.source = source
        self.function = function

    def __getitem__(self, index: int) -> Any:
        return self.function(self.source[index])

    @property
    def num_batches(self) -> int | None:
        return self.source.num_batches

    def on_epoch_begin(self) -> None:
        self.source.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.source.on_epoch_end()


def _mapped_loader(loader: Any, function: Function) -> Any:
    """A mapped copy that is a `DataLoader`, as Keras requires."""
    import torch

    kind = type(loader)

    def as_tensors(batch: Any) -> Any:
        return keras.tree.map_structure(
            lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x,
            function(batch),
        )

    class Mapped(kind):  # type: ignore[valid-type, misc]
        def __iter__(self) -> Any:
            return map(as_tensors, super().__iter__())

    after = copy.copy(loader)
    after.__class__ = Mapped
    return after


def _is_loader(data: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(data, torch.utils.data.DataLoader)


def _is_dataset(data: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)
