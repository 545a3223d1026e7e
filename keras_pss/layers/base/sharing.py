"""Layers that several other layers hold, and how copies keep sharing them.

Keras preserves shared layers while it saves or loads a whole model. Elsewhere
(`clone_model`, `from_config`, HDF5) it copies layer by layer. There the config
of a holder identifies the layer that it shares, and copies of different
holders share one copy of that layer. If the model also calls the shared layer
directly, Keras copies that layer by a config that names no holder. The copies
could then not share it, so copying a holder raises an error.
"""

import copy
import gc
import uuid
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary, WeakValueDictionary

import keras

from keras_pss import keras_internals

# For each layer its holders, numbered in the order of their creation.
_holders: WeakKeyDictionary[Any, WeakKeyDictionary[Any, int]] = (
    WeakKeyDictionary()
)
# Unique identifiers of shared layers; they must be unique across processes.
_marks: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
# The latest copy of each shared layer, by identifier, and the numbers of the
# holders whose copies hold it.
_copies: WeakValueDictionary[str, Any] = WeakValueDictionary()
_copied_holders: WeakKeyDictionary[Any, set[int]] = WeakKeyDictionary()

# Config of a probe object that is marked as shared. Deserializing it twice
# gives the same object only while Keras preserves shared objects.
_PROBE: dict[str, Any] = {
    "module": "keras.initializers",
    "class_name": "Zeros",
    "config": {},
    "registered_name": None,
    "shared_object_id": -1,
}


class Holder(keras.layers.Layer):
    """Base of layers that take other layers, possibly shared, as arguments.

    A subclass lists the names of these arguments in `nested`, stores each
    under its own name and calls `hold_nested` after all of them are set. The
    value of an argument may be None.
    """

    nested: ClassVar[tuple[str, ...]] = ()

    def hold_nested(self) -> None:
        """Registers this layer as a holder of its nested layers."""
        for part in self._nested().values():
            known = _holders.setdefault(part, WeakKeyDictionary())
            known[self] = 1 + max(known.values(), default=-1)

    def _nested(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.nested}
        return {name: part for name, part in found.items() if part is not None}

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), **dict.fromkeys(self.nested)}
        for name, part in self._nested().items():
            config[name] = _serialized(part, self)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        parts = {
            name: _deserialized(config[name], name, config.get("name"))
            for name in cls.nested
            if config.get(name) is not None
        }
        return cls(**{**config, **parts})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copies the layer together with its nested layers."""
        parts = {
            name: copy.deepcopy(part, memo)
            for name, part in self._nested().items()
        }
        twin = type(self)(**{**self.get_config(), **parts})
        if self.built:
            twin.build()
            for own, given in zip(twin.weights, self.weights, strict=True):
                own.assign(given)
        return twin

    def __reduce__(self) -> Any:
        for part in self._nested().values():
            if shared_by(part) > 1:
                raise ValueError(_refusal(self.name, part.name))
        return super().__reduce__()


def shared_by(part: Any) -> int:
    """Number of holders of a layer; direct calls by a model count as one."""
    if _count(part) > 1:
        # Keras' layers form reference cycles, so unused holders may be alive
        # until the next garbage collection.
        gc.collect()
    return _count(part)


def _count(part: Any) -> int:
    return len(_holders.get(part, ())) + keras_internals.is_called(part)


def _serialized(part: Any, holder: Any) -> dict[str, Any]:
    config = keras.saving.serialize_keras_object(part)
    if _is_shared_by_keras():
        # Keras marks an object only at its second occurrence, when the config
        # of the first has already been copied.
        return {**config, "shared_object_id": id(part)}
    if shared_by(part) < 2:
        return config
    return {
        **config,
        "shared_object_id": _marks.setdefault(part, uuid.uuid4().hex),
        "holder": _holders[part][holder],
        "called": keras_internals.is_called(part),
    }


def _deserialized(config: Any, argument: str, name: str | None) -> Any:
    if isinstance(config, keras.layers.Layer):
        return config
    if "holder" not in config or _is_shared_by_keras():
        return keras.saving.deserialize_keras_object(config)
    if config["called"]:
        raise ValueError(_refusal(name, config["config"].get("name", argument)))
    mark, number = config["shared_object_id"], config["holder"]
    part = _copies.get(mark)
    # If the same holder is copied again, a new set of copies begins.
    if part is None or number in _copied_holders[part]:
        part = keras.saving.deserialize_keras_object(config)
        _copies[mark], _copied_holders[part] = part, set()
    _copied_holders[part].add(number)
    return part


def _refusal(holder: str | None, part: str) -> str:
    return (
        f"Layer '{holder}' shares layer '{part}' with other layers, and a "
        f"copy of '{holder}' alone would no longer share it. Copy the whole "
        "model by `copy.deepcopy(model)`, save and load it as a `.keras` "
        "file, or create a new model and load the weights. "
        f"Received: a copy of layer '{holder}'"
    )


def _is_shared_by_keras() -> bool:
    """Whether Keras is saving or loading a whole model."""
    first, second = (
        keras.saving.deserialize_keras_object(dict(_PROBE)) for _ in range(2)
    )
    return first is second
