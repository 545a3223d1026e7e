"""Exact conversion of all inputs of a model."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import keras

from keras_pss.ops.model_inputs import exact
from keras_pss.ops.model_inputs.packed import packed


class Target(NamedTuple):
    """Name and dtype of a `keras.Input`."""

    name: str
    dtype: str


@dataclass(frozen=True)
class ExactInputs:
    """Converts the inputs of a model exactly to the dtypes of its inputs.

    It holds no model, so that it can be pickled for worker processes.

    Attributes:
        targets: One target for each input of the model, in flat order.
        by_name: The targets that belong to each key of a dict of inputs.
        dtypes: The dtypes of the inputs by key, if the model takes a dict.
        packs: For each input that packs several features, their lengths by
            name, in order. Such features may be given by their own names.
    """

    targets: tuple[Target, ...]
    by_name: dict[str, tuple[Target, ...]]
    dtypes: dict[str, str]
    packs: dict[str, dict[str, int]]

    @classmethod
    def of(
        cls,
        model: keras.Model,
        packs: dict[str, dict[str, int]] | None = None,
    ) -> Self:
        """The conversion for a Functional model with packed inputs, if any."""
        structure = model.input if isinstance(model.input, dict) else {}
        named = {x.name: x for x in model.inputs} | structure
        return cls(
            _targets(model.inputs),
            {name: _targets(inputs) for name, inputs in named.items()},
            {name: x.dtype for name, x in structure.items()},
            packs or {},
        )

    def packed(self, given: Any) -> Any:
        """The inputs, where those given by a feature's own name are packed."""
        if not self.packs or not isinstance(given, dict):
            return given
        return packed(given, self.dtypes, self.packs)

    def __call__(self, given: Any) -> Any:
        """Converts arrays or tensors in any structure that Keras accepts.

        Args:
            given: The inputs of a call of the model, or those of a batch.

        Returns:
            The same structure, with integer inputs in the model's dtypes.

        Raises:
            ValueError: If there are more or fewer tensors than inputs, or as
                in `exact.number`.
        """
        given = self.packed(given)
        if not isinstance(given, dict) or not {*given} & {*self.by_name}:
            return _converted(given, self.targets)
        # Keras ignores other keys.
        return {
            name: _converted(x, self.by_name[name])
            if name in self.by_name
            else x
            for name, x in given.items()
        }


def _targets(inputs: Any) -> tuple[Target, ...]:
    flat = keras.tree.flatten(inputs)
    return tuple(Target(x.name, x.dtype) for x in flat)


def _converted(given: Any, targets: tuple[Target, ...]) -> Any:
    flat = keras.tree.flatten(given)
    if len(flat) != len(targets):
        # On JAX, Keras would use the first tensors without checking them.
        names = ", ".join(f"'{target.name}'" for target in targets)
        raise ValueError(
            "Inputs must have one array or tensor for each input of the "
            f"model: {names}. Pass arrays rather than nested lists of numbers. "
            f"Received: {len(flat)} values for {len(targets)} inputs"
        )
    numbers = [
        exact.number(x, target.dtype, target.name)
        for x, target in zip(flat, targets, strict=True)
    ]
    return keras.tree.pack_sequence_as(given, numbers)
