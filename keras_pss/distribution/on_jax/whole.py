"""Whole variables on one process, of arrays that several processes hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from keras_pss import keras_internals


def whole_array(array: jax.Array) -> Any:
    """All of an array, on this process; all processes call it together.

    Copies are read where they are. What other processes hold alone is sent to
    the host memory of each.
    """
    if array.is_fully_addressable:
        return array
    if array.is_fully_replicated:
        return array.addressable_data(0)
    found = np.zeros(array.shape, array.dtype)
    held = 0
    for index, data in _distinct(array):
        found[index] = data
        held += data.size
    if held == array.size:
        return found
    return multihost_utils.process_allgather(array, tiled=True)


def _distinct(array: jax.Array) -> list[tuple[Any, jax.Array]]:
    """Parts of an array on this process, each once."""
    parts = {str(s.index): (s.index, s.data) for s in array.addressable_shards}
    return list(parts.values())


def distributed_array(value: Any, sharding: Any) -> jax.Array:
    """An array of all processes, of which each has the whole value."""
    host = np.asarray(value)
    return jax.make_array_from_callback(
        host.shape, sharding, lambda index: host[index]
    )


@contextmanager
def whole_variables(variables: Sequence[Any]) -> Iterator[None]:
    """Within it, variables of several processes are those of this one.

    Those that were assigned are distributed again at the end.
    """
    held = []
    for variable in variables:
        array = keras_internals.held_value(variable)
        # Gathered ones are arrays of NumPy.
        if not isinstance(array, jax.Array) or array.is_fully_addressable:
            continue
        layout = keras_internals.exchanged(variable, whole_array(array), None)
        held.append(
            (variable, array, layout, keras_internals.held_value(variable))
        )
    try:
        yield
    finally:
        for variable, array, layout, whole in held:
            found = keras_internals.held_value(variable)
            if found is not whole:
                array = distributed_array(found, array.sharding)
            keras_internals.exchanged(variable, array, layout)
