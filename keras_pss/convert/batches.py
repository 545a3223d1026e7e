"""Batches from arrays, datasets and other iterables, to train and evaluate."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import keras
import numpy as np

from keras_pss.layers.base.checks import positive_int, shown


@dataclass(frozen=True)
class Part:
    """A part of the training.

    Attributes:
        batches: Tuples `(x, y)` or `(x, y, sample_weight)`.
        epochs: Epochs trained at its end.
    """

    batches: Iterator[tuple[Any, ...]]
    epochs: float


class Feed:
    """Endless batches, in parts of an epoch.

    Args:
        data: A dataset or another iterable of batches, or a tuple of arrays.
        batch_size: Integer, rows of a batch of arrays.
        steps_per_epoch: Integer, the batches of an epoch, or None.
        seed: Integer seed of the order of arrays.

    Raises:
        ValueError: If the number of batches of an epoch is unknown.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int,
        steps_per_epoch: int | None,
        seed: int,
    ) -> None:
        positive_int("batch_size", batch_size)
        self._arrays = isinstance(data, tuple)
        self._data, self._size, self._seed = data, batch_size, seed
        self._rows = _rows("train_data", data) if self._arrays else 0
        if steps_per_epoch is None:
            steps_per_epoch = self._length()
        if steps_per_epoch is None:
            raise ValueError(
                "`steps_per_epoch` must be given, since `train_data` is empty "
                "or does not know its number of batches. "
                f"Received: train_data={shown(data)}"
            )
        self.steps = positive_int("steps_per_epoch", steps_per_epoch)

    def parts(self, epochs: int, evaluations: int) -> Iterator[Part]:
        """Parts of about `1 / evaluations` of an epoch each."""
        stream = self._endless()
        done = 0
        for place in range(1, epochs * evaluations + 1):
            end = round(place * self.steps / evaluations)
            if end == done:
                continue
            yield Part(islice(stream, end - done), end / self.steps)
            done = end

    def _endless(self) -> Iterator[tuple[Any, ...]]:
        epoch = 0
        while True:
            count = 0
            for batch in self._epoch(epoch):
                count += 1
                yield _checked("train_data", batch)
            if not count:
                raise ValueError(
                    "`train_data` must have a batch in each epoch, so an "
                    "iterator that ends does not do. Give a dataset. "
                    f"Received: train_data={shown(self._data)}, without one"
                )
            epoch += 1

    def _epoch(self, epoch: int) -> Any:
        if self._arrays:
            return self._shuffled(epoch)
        if isinstance(self._data, keras.utils.PyDataset):
            return (self._data[place] for place in range(self.steps))
        return self._data

    def _shuffled(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(self._rows)
        for begin in range(0, self._rows, self._size):
            index = order[begin : begin + self._size]
            yield tuple(
                keras.tree.map_structure(
                    lambda array, index=index: np.asarray(array)[index], each
                )
                for each in self._data
            )

    def _length(self) -> int | None:
        """The batches of an epoch; None if unknown."""
        if self._arrays:
            return -(-self._rows // self._size)
        if isinstance(self._data, keras.utils.PyDataset):
            known: int | None = self._data.num_batches
            return known
        try:
            found = len(self._data)
        except TypeError:  # it is endless or unknown
            return None
        return found or None


def metrics_of(model: Any, data: Any, name: str) -> dict[str, float]:
    """What `model.evaluate` returns for data, by name.

    Args:
        model: A compiled model.
        data: A tuple of arrays `(x, y)` or `(x, y, sample_weight)`, a list of
            such batches, or a dataset that Keras takes.
        name: Name of the user's argument, for error messages.

    Raises:
        ValueError: If there are no rows, or the data can be read only once.
    """
    given: dict[str, Any] = {"x": data}
    if isinstance(data, tuple) or hasattr(data, "shape"):
        names = ("x", "y", "sample_weight")
        _rows(name, data)
        given = dict(zip(names, data, strict=False))
    elif isinstance(data, list):
        batches = [_checked(name, batch) for batch in data]
        given = {"x": (batch for batch in batches), "steps": len(batches)}
    elif isinstance(data, Iterator):
        raise ValueError(
            f"`{name}` is read several times, so an iterator does not do. "
            "Give a dataset, a list of batches or arrays. "
            f"Received: {name}={shown(data)}"
        )
    found = None
    if given.get("steps") != 0:
        found = model.evaluate(**given, verbose=0, return_dict=True)
    if not found:
        raise ValueError(
            f"`{name}` must have rows. Received: {name}={shown(data)}"
        )
    return dict(found)


def _checked(name: str, batch: Any) -> tuple[Any, ...]:
    """A batch, or arrays in the form of one, as a tuple."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise ValueError(
            f"`{name}` must be a tuple of arrays (x, y) or (x, y, "
            "sample_weight), or have batches of this form. "
            f"Received: {shown(batch)} in {name}"
        )
    return tuple(batch)


def _rows(name: str, data: Any) -> int:
    """The rows of arrays, which must be as many in each."""
    # A weight may be left out.
    given = [x for x in _checked(name, data) if x is not None]
    arrays = keras.tree.flatten(given)
    shapes = [tuple(getattr(array, "shape", ())) for array in arrays]
    rows = {shape[0] if shape else 0 for shape in shapes}
    if len(rows) > 1 or 0 in rows:
        raise ValueError(
            f"`{name}` must have arrays with as many rows in each, at least "
            f"one. Received: arrays of the shapes {shown(shapes)}"
        )
    return int(rows.pop())
