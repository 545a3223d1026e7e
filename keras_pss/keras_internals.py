"""The only place where this package uses private names of Keras.

They were checked with Keras 3.15.1 on TensorFlow 2.21, JAX and PyTorch; a test
names those that another version lacks. Private names of TensorFlow's and JAX's
tracing are in native/tracing.py. The file is long so that there is one place.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from keras import backend, distribution


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


def path_of(variable: Any) -> str:
    """Path of a Keras variable, or the name of a `tf.Variable`."""
    path: str = getattr(variable, "path", variable.name)
    return path


def decays(optimizer: Any, variable: Any) -> bool:
    """Whether an optimizer with weight decay applies it to a variable."""
    return optimizer._use_weight_decay(variable)


def optimizer_for(optimizer: Any, variable: Any) -> Any:
    """The optimizer that a `MultiOptimizer` chooses for a variable.

    A built one has chosen: a function may return another optimizer each time.
    """
    if optimizer.built:
        chosen = optimizer._var_to_optimizer_idx
        place = chosen.get(optimizer._var_key(variable))
        if place is not None:
            return optimizer.optimizers[place]
    return optimizer._optimizer_map(variable)


def count_step(optimizer: Any) -> None:
    """Counts a step in which an optimizer has no gradients."""
    optimizer._iterations.assign_add(1)


def is_graph(model: Any) -> bool:
    """Whether a model is Functional or Sequential, so that it can be cloned."""
    return any(
        cls.__module__.startswith("keras.src.models")
        and cls.__name__ in ("Functional", "Sequential")
        for cls in type(model).__mro__
    )


def inputs_of(model: Any) -> Any:
    """The inputs of a graph, in the structure in which it takes data."""
    if hasattr(model, "_functional"):  # Sequential
        return model.inputs[0]
    return model.input


def outputs_of(model: Any) -> Any:
    """The outputs of a graph, in the structure in which it returns them."""
    if hasattr(model, "_functional"):  # Sequential
        return model.outputs[0]
    return model.output


def is_optional(tensor: Any) -> bool:
    """Whether a graph takes None in the place of an input."""
    return bool(getattr(tensor._keras_history.operation, "optional", False))


def takes_graph(model: Any) -> bool:
    """Whether the class of a graph takes inputs and outputs, as Keras' do.

    Otherwise Keras clones the model to a plain Functional one.
    """
    given = inspect.getfullargspec(type(model).__init__)
    if any(cls.__name__ == "Sequential" for cls in type(model).__mro__):
        return True
    if given.varargs is not None and given.varkw is not None:
        return True
    return given.args[1:3] == ["inputs", "outputs"]


def calls_of(layer: Any) -> list[dict[str, Any]]:
    """Arguments besides the inputs in each symbolic call of a layer."""
    found = []
    for node in layer._inbound_nodes:
        names = list(inspect.signature(layer.call).parameters)
        given = dict(zip(names, node.arguments.args, strict=False))
        given.update(node.arguments.kwargs)
        given.pop(names[0], None)
        found.append({k: v for k, v in given.items() if v is not None})
    return found


def input_ranks(layer: Any) -> list[int]:
    """Rank of the inputs in each symbolic call of a layer."""
    return [
        len(node.input_tensors[0].shape)
        for node in layer._inbound_nodes
        if node.input_tensors
    ]


def overrides_call(model: Any) -> bool:
    """Whether the class of a graph computes something of its own."""
    return _overrides(model, "call", "keras.src.models")


def _overrides(model: Any, name: str, package: str) -> bool:
    """Whether a class outside of a package of Keras defines a method."""
    for cls in type(model).__mro__:
        if name in vars(cls):
            return not cls.__module__.startswith(package)
    return False


def lambda_parts(layer: Any) -> dict[str, Any]:
    """Arguments of a `Lambda` layer that are functions, as they were given."""
    return {
        "function": layer.function,
        "output_shape": layer._output_shape,
        "mask": layer.mask,
        "arguments": layer.arguments,
    }


def compile_arguments(model: Any) -> dict[str, Any]:
    """The arguments of a compiled model's `compile`, as they were given."""
    return dict(model._compile_config.config)


def overrides_compile(model: Any) -> bool:
    """Whether the class of a model has a `compile` of its own."""
    return _overrides(model, "compile", "keras.src")


@contextmanager
def seemingly_not_compiled(models: Sequence[Any]) -> Iterator[None]:
    """Keeps Keras from compiling copies of models, by names in configs."""
    compiled = [model.compiled for model in models]
    for model in models:
        model.compiled = False
    try:
        yield
    finally:
        for model, flag in zip(models, compiled, strict=True):
            model.compiled = flag


def optimizers_of(optimizer: Any) -> list[Any]:
    """An optimizer, and those within it that it scales or chooses from."""
    if optimizer is None:
        return []
    inner = [getattr(optimizer, "inner_optimizer", None)]
    inner += getattr(optimizer, "optimizers", [])
    return [optimizer, *(x for part in inner for x in optimizers_of(part))]


def overrides_step(model: Any) -> str | None:
    """Name of the first method of a training step that is not Keras' own."""
    for name in ("train_step", "compute_loss"):
        if name in vars(model) or _overrides(model, name, "keras.src"):
            return name
    return None


def build_for_training(model: Any, features: Any, labels: Any) -> None:
    """Creates all variables of a compiled model, its metrics and optimizer.

    Args:
        features, labels: Tensors or their specifications.
    """
    model._symbolic_build(data_batch=(features, labels))


def layers_with_losses(model: Any) -> list[Any]:
    """Layers whose last call has added a loss; penalties of weights do not."""
    return [part for part in all_layers(model) if part._get_own_losses()]


def is_masked(tensor: Any) -> bool:
    """Whether a layer has masked its output."""
    return getattr(tensor, "_keras_mask", None) is not None


def built_losses(model: Any) -> list[Any]:
    """The losses of a model that `build_for_training` has built."""
    return [loss.loss for loss in model._compile_loss._flat_losses]


def trackers_of_losses(model: Any) -> tuple[Any, list[Any]]:
    """Metric of the loss of a compiled model, and those of each output."""
    return model._loss_tracker, list(model._compile_loss.metrics)


def layout_of_part(variable: Any, shape: Sequence[int]) -> Any:
    """The layout of a variable for one of its leading axes; None without any.

    Axes of the same length are divided alike.
    """
    layout = getattr(variable, "_layout", None)
    if not isinstance(layout, distribution.TensorLayout):
        return None
    lengths = zip(layout.axes, variable.shape, shape, strict=False)
    axes = [axis if own == other else None for axis, own, other in lengths]
    return distribution.TensorLayout(axes, layout.device_mesh)


def held_value(variable: Any) -> Any:
    """The array that a variable of JAX holds, or None."""
    return variable._value


def exchanged(variable: Any, value: Any, layout: Any) -> Any:
    """Gives a variable of JAX another array and layout.

    Returns:
        Its layout before.
    """
    before = variable._layout
    variable._layout = layout
    variable._value = value
    return before


@contextmanager
def built_within(
    model: Any,
    scope: Callable[[], AbstractContextManager[None]],
    shaped: Callable[[Any], Any],
) -> Iterator[None]:
    """Lets `fit` create missing variables of a model within another scope.

    Args:
        model: A compiled model.
        scope: Function that returns the context.
        shaped: Function of a batch that returns what the model is built from.
    """
    build = model._symbolic_build

    def symbolic_build(iterator: Any = None, data_batch: Any = None) -> None:
        def batches() -> Iterator[Any]:
            # Keras would divide the batches in the scope of a distribution.
            within = distribution.distribution()
            distribution.set_distribution(None)
            try:
                begin, end, source = next(iter(iterator))
                batch = shaped(next(source))
            finally:
                distribution.set_distribution(within)
            yield begin, end, [batch]

        given = None if data_batch is None else shaped(data_batch)
        with scope():
            build(batches(), given)

    model._symbolic_build = symbolic_build
    try:
        yield
    finally:
        del model._symbolic_build
