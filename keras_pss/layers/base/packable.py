"""Layers that can be quantized by `quantize` or by their dtype policy."""

from typing import Any

import keras

from keras_pss.keras_internals import QuantizedCalls, mark_quantized
from keras_pss.layers.initial_values.stored import weights_are_stored
from keras_pss.ops.packing import BLOCK_SIZE, MODES


class Packable(QuantizedCalls):
    """Mixin for layers with a `quantize` method; precedes the `Layer` base.

    On a built layer, `layer.dtype_policy = "int8_from_float32"` has the effect
    of `layer.quantize("int8")`, as in Keras. If that fails, the policy and the
    weights are unchanged.
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
                f"The tables of layer '{self.name}' are already packed, so "
                "its dtype policy cannot change. Create a new layer with this "
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
        if self.quantization_mode is None:  # only sub-layers hold tables
            keep_policy(self, policy)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds a layer that a file describes; its weights come from there."""
        with weights_are_stored():
            keras.layers.Layer.build_from_config(self, config)

    def quantization_error(self, mode: Any) -> NotImplementedError:
        """The error for an unsupported quantization mode."""
        return _error(mode, self.name)


# Keras' property, which the one above overrides.
_own: Any = keras.layers.Layer.dtype_policy


def keep_policy(layer: Any, policy: Any) -> None:
    """Sets the policy of a layer that is packed or about to be packed."""
    mark_quantized(layer)
    _own.fset(layer, policy)


def check_mode(mode: str | None, name: str) -> str | None:
    """Checks a quantization mode; None means that the layer is not packed."""
    if mode is not None and mode not in MODES:
        raise _error(mode, name)
    return mode


def _error(mode: Any, name: str) -> NotImplementedError:
    return NotImplementedError(
        f"Invalid quantization mode for layer '{name}'. Its tables support "
        "'int8' and 'int4'. To quantize the rest of a model in another mode, "
        f"exclude the layer by `filters`. Received: mode={mode!r}"
    )


def policy_of(layer: Any) -> Any:
    """The dtype policy of a layer, looked up by path in a policy map."""
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap) and layer.path:
        return policy[layer.path]
    return policy


def block_size(policy: Any) -> int:
    """Block size of an int4 policy; -1 means one scale for each row."""
    return getattr(policy, "block_size", None) or BLOCK_SIZE


def packed_policy(layer: Any, mode: str, config: Any) -> Any:
    """The dtype policy of a layer after it has been packed.

    Raises:
        NotImplementedError: If `config` has a `weight_quantizer`, which the
            tables do not support. Keras' `model.quantize` turns this error
            into a warning.
        ValueError: If Keras does not support the mode with the compute dtype.
    """
    if getattr(config, "weight_quantizer", None) is not None:
        raise NotImplementedError(
            f"Layer '{layer.name}' does not support a custom quantizer of its "
            "weights, since it packs its tables with one scale for each block "
            "of numbers. Remove `weight_quantizer` from the config, or "
            "exclude the layer by `filters`. Received: "
            "config.weight_quantizer="
            f"{type(config.weight_quantizer).__name__}"
        )
    name = mode
    if mode == "int4":
        size = getattr(config, "block_size", BLOCK_SIZE)
        name = f"int4/{-1 if size is None else size}"
    source = policy_of(layer).name
    return keras.dtype_policies.get(f"{name}_from_{source}")


def one_scale_policy(layer: Any, mode: str, config: Any, grid: str) -> Any:
    """The policy of a packed layer that was trained on the grid it is served.

    Args:
        layer, mode, config: As in `packed_policy`.
        grid: What the grid has, such as `"one scale for each row"`.

    Raises:
        NotImplementedError: If `config` has a block size, besides the errors
            of `packed_policy`.
    """
    size = getattr(config, "block_size", None)
    if size not in (None, -1, BLOCK_SIZE):  # not Keras' default
        raise NotImplementedError(
            f"Layer '{layer.name}' was trained with {grid}, so it cannot be "
            "packed in blocks. Give block_size=None. "
            f"Received: config.block_size={size}"
        )
    if mode == "int4":
        config = keras.quantizers.Int4QuantizationConfig(
            getattr(config, "weight_quantizer", None), block_size=None
        )
    return packed_policy(layer, mode, config)


def _form(policy: Any) -> tuple[Any, ...]:
    """The mode and the block size of a policy, which determine the packing."""
    mode = policy.quantization_mode
    return mode, block_size(policy) if mode == "int4" else None


def _source(policy: Any) -> str:
    """Name of the float policy that a quantized policy is derived from."""
    return policy.name.split("_from_", 1)[1]


def _config(policy: Any) -> Any:
    """The `quantize` config that results in a policy; None for the default."""
    if policy.quantization_mode != "int4":
        return None
    size = block_size(policy)
    return keras.quantizers.Int4QuantizationConfig(block_size=size)
