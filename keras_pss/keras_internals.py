"""The only place where this package uses private names of Keras.

They were checked with Keras 3.15.1 on TensorFlow 2.21, JAX and PyTorch; a test
names those that another version lacks. Private names of TensorFlow's and JAX's
tracing are in native/tracing.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras import backend


class QuantizedCalls:
    """Methods that Keras calls instead of `call` once a layer is packed.

    They forward to `call`, which handles float and packed tables alike. This
    mixin must precede `keras.layers.Layer` in the list of bases.
    """

    call: Any
    quantization_error: Any

    def _int8_call(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def _int4_call(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def _quantization_mode_error(self, mode: Any) -> NotImplementedError:
        return self.quantization_error(mode)


class AttachedVariables:
    """Leaves a model its variables while Keras iterates over data on JAX.

    There, Keras takes the values of all variables out of the model for the
    time of `fit`, `evaluate` and `predict`, and does not put them back if a
    batch raises an error. This mixin must precede `keras.Model` in the list of
    bases. It costs no memory: steps of training donate the values.
    """

    def _purge_model_variables(self, **kwargs: Any) -> None:
        pass


@contextmanager
def variables_attached(model: Any) -> Iterator[None]:
    """Keeps the result of the last step in a model if the next one raises.

    Args:
        model: An `AttachedVariables` model. A method of it that iterates over
            data is called within the context.
    """
    _attach(model)
    try:
        yield
    except BaseException:
        _attach(model)
        raise


def _attach(model: Any) -> None:
    """Writes values that JAX's steps have returned to a model's variables."""
    if backend.backend() == "jax":
        model.jax_state_sync()
        model._jax_state = None


def mark_quantized(layer: Any, packed: bool = True) -> None:
    """Marks a layer's weights as packed, in the attribute that Keras reads.

    Without the mark, Keras would pack the weights itself when it sees a
    quantized dtype policy. Keras refuses to quantize a marked layer again.
    """
    layer._is_quantized = packed


def direct_sublayers(layer: Any) -> Iterator[Any]:
    """The direct sub-layers of a layer, also those in lists and dicts."""
    return layer._flatten_layers(include_self=False, recursive=False)


def all_layers(layer: Any) -> Iterator[Any]:
    """A layer and all its sub-layers, as Keras visits them in `quantize`."""
    return layer._flatten_layers()


def place_among_trained(optimizer: Any, variable: Any) -> int | None:
    """Index of a variable among those of a built optimizer, or None."""
    try:
        return optimizer._get_variable_index(variable)
    except KeyError:
        return None


def trained_by(optimizer: Any) -> list[Any]:
    """The variables that a built optimizer trains."""
    return optimizer._trainable_variables


def count_trained(optimizer: Any) -> int:
    """Number of variables that a built optimizer trains."""
    return len(trained_by(optimizer))


def is_called(layer: Any) -> bool:
    """Whether a layer was called on symbolic inputs, as in a model."""
    return bool(layer._inbound_nodes)


class StepsOfRows:
    """Lets an optimizer clip sums and decay rows, in place of Keras' steps.

    Keras would clip a sparse gradient before duplicates are summed, and decay
    all rows of a table at each step. This mixin must precede
    `keras.optimizers.Optimizer` in the list of bases.
    """

    clipped: Any

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        return self.clipped(grads)

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Does nothing: `update_step` decays the rows that it updates."""


def decays(optimizer: Any, variable: Any) -> bool:
    """Whether an optimizer with weight decay applies it to a variable."""
    return optimizer._use_weight_decay(variable)


def optimizer_for(optimizer: Any, variable: Any) -> Any:
    """The optimizer that a `MultiOptimizer` chooses for a variable."""
    return optimizer._optimizer_map(variable)
