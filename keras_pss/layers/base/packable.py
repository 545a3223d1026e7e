"""Layers that Keras can quantise, by `quantize` or by their dtype policy."""

from typing import Any

import keras

from keras_pss.keras_internals import QuantizedCalls, mark_quantized
from keras_pss.layers.initial_values.stored import weights_are_stored
from keras_pss.ops.packing import BLOCK_SIZE, MODES


class Packable(QuantizedCalls):
    """Mixin before `keras.layers.Layer`, for a class with a `quantize`.

    On a built layer `layer.dtype_policy = "int8_from_float32"` is
    `layer.quantize("int8")`, as in Keras, and changes nothing where that fails.
    """

    built: bool
    name: str
    quantize: Any
    quantization_mode: Any

    @property
    def dtype_policy(self) -> Any:
        return _own.fget(self)

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        policy = keras.dtype_policies.get(value)
        mode = check_mode(policy.quantization_mode, self.name)
        if not self.built or _form(policy) == _form(policy_of(self)):
            _own.fset(self, policy)
            return
        if self.quantization_mode is not None:
            raise ValueError(
                f"The tables of layer '{self.name}' are packed, and no policy "
                "unpacks them or packs them otherwise. Build a layer with the "
                "policy from the float weights. Received: "
                f"dtype_policy={policy.name!r} after "
                f"{policy_of(self).name!r}"
            )
        before = policy_of(self)
        _own.fset(self, keras.dtype_policies.get(_source(policy)))
        try:
            self.quantize(mode, config=_config(policy))
        except Exception:
            _own.fset(self, before)
            raise
        if self.quantization_mode is None:  # its parts alone hold tables
            keep_policy(self, policy)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds a layer that a file describes; its weights come from there."""
        with weights_are_stored():
            keras.layers.Layer.build_from_config(self, config)

    def quantization_error(self, mode: Any) -> NotImplementedError:
        """The error for a mode that these layers do not have."""
        return _error(mode, self.name)


# Keras' property, which the one above stands before.
_own: Any = keras.layers.Layer.dtype_policy


def keep_policy(layer: Any, policy: Any) -> None:
    """Sets the policy of a layer whose weights are packed, or will be now."""
    mark_quantized(layer)
    _own.fset(layer, policy)


def check_mode(mode: str | None, name: str) -> str | None:
    """Checks the quantisation mode of a layer, None for none."""
    if mode is not None and mode not in MODES:
        raise _error(mode, name)
    return mode


def _error(mode: Any, name: str) -> NotImplementedError:
    return NotImplementedError(
        f"Invalid quantization mode for layer '{name}'. Its tables can be "
        "packed to 'int8' or 'int4'; leave the layer out by `filters` to "
        f"quantize a model otherwise. Received: mode={mode!r}"
    )


def policy_of(layer: Any) -> Any:
    """A layer's dtype policy, its own one where that is a map."""
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap) and layer.path:
        return policy[layer.path]
    return policy


def block_size(policy: Any) -> int:
    """Block size of an int4 policy, or the default; -1 for one scale a row."""
    return getattr(policy, "block_size", None) or BLOCK_SIZE


def packed_policy(layer: Any, mode: str, config: Any) -> Any:
    """The policy of a layer that is about to be packed.

    Raises:
        NotImplementedError: For a quantizer of the weights, which these tables
            do without; Keras' `model.quantize` turns it into a warning.
        ValueError: For a compute dtype that Keras excludes.
    """
    if getattr(config, "weight_quantizer", None) is not None:
        raise NotImplementedError(
            f"Layer '{layer.name}' packs its tables with scales for blocks of "
            "numbers, for which there is no custom quantization of weights. "
            "Leave `weight_quantizer` out of the config, or the layer out by "
            "`filters`. Received: config.weight_quantizer="
            f"{type(config.weight_quantizer).__name__}"
        )
    name = mode
    if mode == "int4":
        size = getattr(config, "block_size", BLOCK_SIZE)
        name = f"int4/{-1 if size is None else size}"
    source = policy_of(layer).name
    return keras.dtype_policies.get(f"{name}_from_{source}")


def _form(policy: Any) -> tuple[Any, ...]:
    """What of a policy says how tables are kept."""
    mode = policy.quantization_mode
    return mode, block_size(policy) if mode == "int4" else None


def _source(policy: Any) -> str:
    """Name of the float policy that a quantised one is made from."""
    return policy.name.split("_from_", 1)[1]


def _config(policy: Any) -> Any:
    """The config by which `quantize` gives a policy; None for the default."""
    if policy.quantization_mode != "int4":
        return None
    size = block_size(policy)
    return keras.quantizers.Int4QuantizationConfig(block_size=size)
