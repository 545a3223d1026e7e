"""One row of methods.py: a layer class with arguments, and its formula."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import keras_pss

DIM = 60
WIDTH = 12


@dataclass(frozen=True)
class Method:
    """A layer class with arguments, and the table it stands for."""

    id: str
    cls: type
    arguments: dict[str, Any]
    formula: Callable[[Any, dict[str, np.ndarray]], np.ndarray]
    parameters: int
    arguments_large: dict[str, Any] = field(default_factory=dict)
    # Another shape or option of a class that has a row before: it is tested
    # where its mathematics show, not once more where the base class is.
    variant: bool = False
    # Whether a row is linear in each single weight.
    linear: bool = True
    # Whether an initializer of another mean than zero is refused, since rows
    # are products or signed sums.
    meanless: bool = False
    # The grid that a step ends on, relative to the largest weight.
    grid: float = 0
    # Whether weights are rounded where they are read, so that the gradient is
    # not that of the formula.
    rounds: bool = False

    def make(self, **changes: Any) -> Any:
        arguments = {"input_dim": DIM, "output_dim": WIDTH}
        arguments |= self.arguments | changes
        if arguments.pop("share", False):
            memory = keras_pss.SharedMemory(
                arguments.pop("memory_size"),
                arguments.get("embeddings_initializer", "uniform"),
                dtype=arguments.get("dtype"),
            )
            # Another table is there first, so that this one is number 1.
            keras_pss.ROBEEmbedding(5, 3, memory=memory)
            arguments["memory"] = memory
        if self.cls is keras_pss.HotRows:
            return hot_rows(**arguments)
        return self.cls(**arguments)


# What is hot in a `hot_rows` layer of DIM ids.
HOT_IDS = [3, 10, 11, DIM - 1]


def hot_rows(
    capacity: int, counts: str = "auto", **arguments: Any
) -> keras_pss.HotRows:
    """Hot rows over a tensor train, which has all further arguments."""
    layer = keras_pss.HotRows(
        keras_pss.TTEmbedding(**arguments), capacity, counts
    )
    if layer.input_dim == DIM:
        layer.refresh(ids=HOT_IDS)
    return layer


def rows(
    cls: type,
    formula: Callable[[Any, Any], np.ndarray],
    large: dict[str, Any],
    cases: dict[str, tuple[dict[str, Any], int]],
    **common: Any,
) -> list[Method]:
    """A row for each case of a class; all but the first are variants.

    A layer whose weights are another's is no variant: it is saved, packed and
    counted in ways of its own.
    """
    return [
        Method(
            name,
            cls,
            arguments,
            formula,
            size,
            large,
            variant=k > 0 and not arguments.get("share"),
            **common,
        )
        for k, (name, (arguments, size)) in enumerate(cases.items())
    ]
