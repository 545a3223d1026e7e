"""Data sources whose batches are converted before they reach a backend.

A backend and Keras' data adapters truncate some inputs (64-bit integers on JAX,
later batches of another dtype on TensorFlow), which cannot be detected
afterwards. Therefore each kind of data that the adapters accept is converted
here or refused.
"""

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

import keras
import numpy as np
from keras import backend

Function = Callable[[Any], Any]


def converted(data: Any, function: Function, argument: str) -> Any:
    """Applies a function to the inputs in data of any form.

    Args:
        data: A structure of arrays or tensors; or a source of batches: a
            `keras.utils.PyDataset`, a generator, a PyTorch `DataLoader`, a
            Grain dataset or `DataLoader`, or a `tf.data.Dataset`. The last one
            is returned unchanged except on JAX, and so are distributed
            datasets on TensorFlow: these keep their dtypes, so the model
            checks them.
        function: Function of `x`, which is the first element of a batch that
            is a tuple or list, else the whole batch. It can be pickled.
        argument: Name of the argument in error messages.

    Returns:
        A source of the same kind, or a structure of arrays.

    Raises:
        ValueError: If the inputs in `data` cannot be converted.
    """
    on_batch = _OnBatch(function)
    if isinstance(data, GeneratorType):
        return (on_batch(batch) for batch in data)
    if isinstance(data, keras.utils.PyDataset):
        return _MappedDataset(data, on_batch)
    if _is_torch_loader(data):
        return _mapped_loader(data, on_batch)
    if _is_grain(data):
        return _mapped_grain(data, on_batch)
    if _is_tf_dataset(data):
        keeps_dtypes = backend.backend() != "jax"
        return data if keeps_dtypes else data.map(on_batch.elements)
    if _is_distributed(data) and backend.backend() == "tensorflow":
        return data
    for x in keras.tree.flatten(data):
        if not _is_array(x):
            raise ValueError(
                f"`{argument}` must be arrays or tensors, a PyDataset, a "
                "generator of batches, a PyTorch DataLoader, a tf.data.Dataset "
                "or a Grain dataset, whose ids can be checked. Convert other "
                "data to one of these; a generator function works for any. "
                f"Received: {argument} with a value of type {type(x)}"
            )
    return function(data)


@dataclass(frozen=True)
class _OnBatch:
    """Applies a function to the inputs of a batch; it can be pickled."""

    function: Function

    def __call__(self, batch: Any) -> Any:
        if isinstance(batch, tuple | list):
            return (self.function(batch[0]), *batch[1:])
        return self.function(batch)

    def elements(self, *batch: Any) -> Any:
        """The same for a batch whose elements are separate arguments."""
        return self(batch) if len(batch) > 1 else self.function(*batch)


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


def _mapped_grain(data: Any, function: Function) -> Any:
    """A mapped Grain dataset, also for a Grain `DataLoader`.

    Keras creates a loader anew from its operations, so a mapped copy of it
    would be ignored.
    """
    import grain

    class Batches(grain.IterDataset):
        def __iter__(self) -> Any:
            return Iterator()

    class Iterator(grain.DatasetIterator):
        def __init__(self) -> None:
            super().__init__()
            self.batches = iter(data)

        def __next__(self) -> Any:
            return next(self.batches)

        def get_state(self) -> dict[str, Any]:
            return {"loader": self.batches.get_state()}

        def set_state(self, state: dict[str, Any]) -> None:
            self.batches.set_state(state["loader"])

    is_loader = isinstance(data, grain.DataLoader)
    return (Batches() if is_loader else data).map(function)


def _is_torch_loader(data: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(data, torch.utils.data.DataLoader)


def _is_grain(data: Any) -> bool:
    grain = sys.modules.get("grain")
    return grain is not None and isinstance(
        data, grain.MapDataset | grain.IterDataset | grain.DataLoader
    )


def _is_tf_dataset(data: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)


def _is_distributed(data: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(
        data, tensorflow.distribute.DistributedDataset
    )


def _is_array(x: Any) -> bool:
    """Whether `exact.number` recognizes a value as numbers of a known dtype."""
    return (
        x is None
        or hasattr(x, "__array__")
        or (hasattr(x, "dtype") and hasattr(x, "shape"))
    )
