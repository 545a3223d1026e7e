"""Searches for the layers within a layer or model, at any depth."""

from collections.abc import Callable, Iterator
from typing import Any

from keras_pss import keras_internals


def outermost(layer: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """Yields the outermost wanted layers within a layer.

    The search does not descend into a wanted layer. It follows the sub-layers
    that Keras tracks, which are those in attributes, lists and dicts.

    Args:
        layer: The layer or model to search, which may itself be wanted.
        wanted: Function of a layer that returns whether it is wanted.
    """
    if wanted(layer):
        yield layer
        return
    for part in keras_internals.direct_sublayers(layer):
        yield from outermost(part, wanted)


def every(layer: Any, cls: type) -> list[Any]:
    """All layers of a class within a layer or model, without duplicates.

    The layer itself is included if it is of the class.
    """
    found = {
        id(part): part
        for part in keras_internals.all_layers(layer)
        if isinstance(part, cls)
    }
    return list(found.values())
