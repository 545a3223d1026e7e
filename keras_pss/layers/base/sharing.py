"""Layers that several layers hold: their copies share them, or refuse.

Keras keeps what is shared while it saves or loads a whole model. Elsewhere
(`clone_model`, `from_config`, HDF5) it copies layer by layer: there a config
says which object its holder shares, and the copies of different holders share
one copy of it. What a model calls itself has a config without a holder, so a
copy of another holder is refused.
"""

import copy
import gc
import uuid
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary, WeakValueDictionary

import keras

# The holders of a layer, numbered.
_holders: WeakKeyDictionary[Any, WeakKeyDictionary[Any, int]] = (
    WeakKeyDictionary()
)
# Names of the layers that were marked as shared, unique among all processes.
_marks: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
# The latest copy of each, and the holders whose copies hold it.
_copies: WeakValueDictionary[str, Any] = WeakValueDictionary()
_copied_holders: WeakKeyDictionary[Any, set[int]] = WeakKeyDictionary()

# A marked object of no other use: two of them are one where Keras keeps what
# is shared.
_PROBE: dict[str, Any] = {
    "module": "keras.initializers",
    "class_name": "Zeros",
    "config": {},
    "registered_name": None,
    "shared_object_id": -1,
}


class Holder(keras.layers.Layer):
    """Base of layers that are given layers, which may serve others as well.

    A subclass names the arguments in `nested`, keeps each under its own name
    and calls `hold_nested` once all of them are set. An argument may be None.
    """

    nested: ClassVar[tuple[str, ...]] = ()

    def hold_nested(self) -> None:
        """Makes the nested layers known as held by this one."""
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
        """A copy over copies of the nested layers, one for each of them."""
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
    """How many layers hold a layer; a model that calls it counts as one."""
    if _count(part) > 1:
        # Keras' layers are in cycles: those that nobody uses any longer may
        # still be there.
        gc.collect()
    return _count(part)


def _count(part: Any) -> int:
    return len(_holders.get(part, ())) + bool(part._inbound_nodes)


def _serialized(part: Any, holder: Any) -> dict[str, Any]:
    config = keras.saving.serialize_keras_object(part)
    if _is_shared_by_keras():
        # Keras marks an object from its second occurrence on, and by then the
        # first one's config has been copied.
        return {**config, "shared_object_id": id(part)}
    if shared_by(part) < 2:
        return config
    return {
        **config,
        "shared_object_id": _marks.setdefault(part, uuid.uuid4().hex),
        "holder": _holders[part][holder],
        "called": bool(part._inbound_nodes),
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
    # A holder that is copied once more begins another set of copies.
    if part is None or number in _copied_holders[part]:
        part = keras.saving.deserialize_keras_object(config)
        _copies[mark], _copied_holders[part] = part, set()
    _copied_holders[part].add(number)
    return part


def _refusal(holder: str | None, part: str) -> str:
    return (
        f"Layer '{holder}' shares layer '{part}', and a copy of it alone would "
        "not. Copy the whole model, by `copy.deepcopy(model)` or by saving it "
        "as `.keras` and loading that; or build it anew and load its weights. "
        f"Received: a copy of layer '{holder}'"
    )


def _is_shared_by_keras() -> bool:
    """Whether Keras is saving or loading a whole model."""
    first, second = (
        keras.saving.deserialize_keras_object(dict(_PROBE)) for _ in range(2)
    )
    return first is second
