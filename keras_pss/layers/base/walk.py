"""The layers within a layer or model, wherever they are nested."""

from collections.abc import Callable, Iterator
from typing import Any

from keras_pss import keras_internals


def outermost(layer: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """Sub-layers that are wanted, without those within a wanted one.

    Keras tracks what is assigned to attributes, in lists and dicts too; the
    walk is the one by which it quantises a model.
    """
    for part in keras_internals.direct_sublayers(layer):
        if wanted(part):
            yield part
        else:
            yield from outermost(part, wanted)


def every(layer: Any, cls: type) -> list[Any]:
    """The layer itself and all within it that are of a class, each once."""
    found = {
        id(part): part
        for part in keras_internals.all_layers(layer)
        if isinstance(part, cls)
    }
    return list(found.values())
