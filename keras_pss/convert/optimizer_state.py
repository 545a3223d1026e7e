"""The state of an optimizer, taken over by that of a copied model."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss import keras_internals


def carry(old: Any, new: Any, variables: Sequence[tuple[Any, Any]]) -> None:
    """Copies the slots of the variables that were copied, and the step.

    The slots of other variables keep their initial values.

    Args:
        old, new: Optimizers of the same class, or None. Only a built one has
            a state.
        variables: Pairs of a variable that `old` trains and its copy.
    """
    if old is None or not old.built:
        return
    olds = keras_internals.optimizers_of(old)
    news = keras_internals.optimizers_of(new)
    if list(map(type, olds)) != list(map(type, news)):
        return  # a class with its own `compile` chose another one
    for before, after in zip(olds, news, strict=True):
        for value, copy in _pairs(before, after, variables):
            if tuple(value.shape) == tuple(copy.shape):
                # Not `assign(value)`: on JAX both would hold one array, which
                # a step of either model frees.
                copy.assign(np.array(ops.convert_to_numpy(value)))


def _pairs(
    old: Any, new: Any, variables: Sequence[tuple[Any, Any]]
) -> Iterator[tuple[Any, Any]]:
    """Variables of an optimizer, and those of another one in their place.

    Optimizers keep a variable for all weights as an attribute, and slots in
    lists with one entry for each weight that they train.
    """
    own = {id(each) for each in old.variables}
    place = keras_internals.place_among_trained
    places: list[Any] = [(place(old, x), place(new, y)) for x, y in variables]
    trained = keras_internals.count_trained(old)
    for name, value in vars(old).items():
        copy = vars(new).get(name)
        if isinstance(value, keras.Variable) and copy is not None:
            yield value, copy
        elif isinstance(value, list) and len(value) == trained:
            for one, other in places:
                if None not in (one, other) and id(value[one]) in own:
                    yield value[one], copy[other]
