"""Every private name of Keras that this package uses, and no other.

Checked with Keras 3.15.1 on TensorFlow 2.21, JAX and PyTorch; a test says
which one is gone with another version. What looks into TensorFlow's and JAX's
tracing stands in native/tracing.py.
"""

from collections.abc import Iterator
from typing import Any


class QuantizedCalls:
    """Methods by which Keras calls a packed layer in place of `call`.

    The layers here look up alike whether they are packed or not. A mixin, to
    stand before `keras.layers.Layer` among the bases.
    """

    call: Any
    quantization_error: Any

    def _int8_call(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def _int4_call(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def _quantization_mode_error(self, mode: Any) -> NotImplementedError:
        return self.quantization_error(mode)


def mark_quantized(layer: Any, packed: bool = True) -> None:
    """Tells Keras that a layer's weights are packed.

    Keras would otherwise pack them when it sees a policy that says so. A layer
    with this mark refuses to be quantised again.
    """
    layer._is_quantized = packed


def direct_sublayers(layer: Any) -> Iterator[Any]:
    """Layers in the attributes of a layer, in lists and dicts there too."""
    return layer._flatten_layers(include_self=False, recursive=False)


def all_layers(layer: Any) -> Iterator[Any]:
    """A layer and all within it, as Keras walks them to quantise a model."""
    return layer._flatten_layers()


def place_among_trained(optimizer: Any, variable: Any) -> int | None:
    """A variable's place in the lists of a built optimizer, or None."""
    try:
        return optimizer._get_variable_index(variable)
    except KeyError:
        return None


def count_trained(optimizer: Any) -> int:
    """How many variables a built optimizer trains."""
    return len(optimizer._trainable_variables)
