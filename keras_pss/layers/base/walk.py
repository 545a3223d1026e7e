"""The layers within a layer or model, wherever they are nested."""

from collections.abc import Callable, Iterator
from typing import Any

from keras_pss import keras_internals


def outermost(layer: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """The layer itself if it is wanted, else all that are within it.

    What is within a wanted one is not looked at. Keras tracks what is assigned
    to attributes, in lists and dicts too; the walk is the one by which it
    quantises a model.
    """
    if wanted(layer):
        yield layer
        return
    for part in keras_internals.direct_sublayers(layer):
        yield from outermost(part, wanted)


def every(layer: Any, cls: type) -> list[Any]:
    """The layer itself and all within it that are of a class, each once."""
    found = {
        id(part): part
        for part in keras_internals.all_layers(layer)
        if isinstance(part, cls)
    }
    return list(found.values())
