"""Layers that hold nested layers, which other layers may share.

Keras preserves shared layers while it saves or loads a whole model, and Python
does while it copies or pickles objects together. Elsewhere (`clone_model`,
`from_config`, JSON, HDF5) Keras copies layer by layer, and nothing tells which
copies belong together. They would no longer share a nested layer, so a layer
whose nested layer is shared raises an error instead of giving its config.
"""

import copy
import gc
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar, Self
from weakref import WeakSet

import keras
from keras import ops

from keras_pss import keras_internals
from keras_pss.layers.initial_values.stored import weights_are_stored

# While Keras preserves shared objects, it marks the second config of one.
_PROBE = keras.initializers.Zeros()
_without_nested: ContextVar[bool] = ContextVar(
    "keras_pss_config_without_nested_layers", default=False
)


class Holder(keras.layers.Layer):
    """Base of layers that take other layers, possibly shared, as arguments.

    A subclass lists the names of these arguments in `nested`, stores each
    under its own name and calls `hold_nested` at the end of its constructor.
    The value of an argument may be None.
    """

    nested: ClassVar[tuple[str, ...]] = ()

    def hold_nested(self) -> None:
        """Registers this layer as a holder of its nested layers."""
        for layer in self.nested_layers().values():
            if not hasattr(layer, "holders"):
                layer.holders = WeakSet()
            layer.holders.add(self)

    def nested_layers(self) -> dict[str, Any]:
        """The layers that were given as arguments, by argument."""
        found = {name: getattr(self, name) for name in self.nested}
        return {k: layer for k, layer in found.items() if layer is not None}

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), **dict.fromkeys(self.nested)}
        if not _without_nested.get():
            for name, layer in self.nested_layers().items():
                config[name] = _serialized(layer, self)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        nested = {
            name: _deserialized(config[name])
            for name in cls.nested
            if config.get(name) is not None
        }
        return cls(**{**config, **nested})

    def __reduce__(self) -> Any:
        """Copies or pickles the nested layers as objects, which stay shared."""
        config = self._own_config()
        values = None
        if self.built:
            values = [ops.convert_to_numpy(own) for own in _own_weights(self)]
        return _rebuilt, (type(self), config, self.nested_layers(), values)

    def _own_config(self) -> dict[str, Any]:
        """The config without those of the nested layers, shared or not."""
        context = copy_context()
        context.run(_without_nested.set, True)
        return context.run(self.get_config)

    def with_nested(self, nested: dict[str, Any]) -> Self:
        """A layer of the same config that holds other nested layers.

        Args:
            nested: Layers by argument. The weights that are this layer's own
                are not copied.
        """
        return type(self).from_config({**self._own_config(), **nested})

    def __copy__(self) -> Self:
        """An independent copy, as `copy.copy` makes of every Keras layer."""
        return copy.deepcopy(self)


def _rebuilt(
    cls: type[Holder],
    config: dict[str, Any],
    nested: dict[str, Any],
    values: list[Any] | None,
) -> Holder:
    layer = cls.from_config({**config, **nested})
    if values is not None:
        with weights_are_stored():
            layer.build()
        for own, value in zip(_own_weights(layer), values, strict=True):
            own.assign(value)
    return layer


def _own_weights(holder: Holder) -> list[Any]:
    """The weights of a layer without those of its nested layers."""
    nested = holder.nested_layers().values()
    others = {id(weight) for layer in nested for weight in layer.weights}
    return [weight for weight in holder.weights if id(weight) not in others]


def _serialized(layer: Any, holder: Holder) -> dict[str, Any]:
    """The config of a nested layer."""
    if _is_shared_by_keras():
        config = keras.saving.serialize_keras_object(layer)
        # Keras has already copied the first config when it marks it.
        return {**config, "shared_object_id": id(layer)}
    if _other_uses(layer, holder):
        # Keras' layers form reference cycles, so unused holders may be alive
        # until the next garbage collection.
        gc.collect()
    if uses := _other_uses(layer, holder):
        raise ValueError(
            f"Layer '{holder.name}' shares layer '{layer.name}', which is "
            f"also {' and also '.join(uses)}. A copy made from a config, as by "
            "`clone_model`, `from_config`, JSON and HDF5, would no longer "
            "share it. Copy the whole model by `copy.deepcopy(model)`, or save "
            "and load it as a `.keras` file. "
            f"Received: get_config() of layer '{holder.name}'"
        )
    return keras.saving.serialize_keras_object(layer)


def _deserialized(config: Any) -> Any:
    if isinstance(config, keras.layers.Layer):
        return config
    if "holder" in config:
        raise ValueError(
            "A development version of keras_pss wrote this config of a layer "
            "that shares another one. Load it with that version and save the "
            f"model as a `.keras` file. Received: holder={config['holder']}"
        )
    return keras.saving.deserialize_keras_object(config)


def _other_uses(layer: Any, holder: Holder) -> list[str]:
    """How others than a holder use its nested layer, in words."""
    others = sorted(f"'{x.name}'" for x in layer.holders if x is not holder)
    uses = [f"held by {', '.join(others)}"] if others else []
    if keras_internals.is_called(layer):
        uses.append(
            "called directly (in this model or in another one, even if that "
            "is deleted)"
        )
    return uses


def _is_shared_by_keras() -> bool:
    """Whether Keras is saving a whole model."""
    for _ in range(2):
        config = keras.saving.serialize_keras_object(_PROBE)
    return "shared_object_id" in config
