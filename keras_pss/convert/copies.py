"""Copies of layers, and models compiled as others are.

What their configs name, such as a loss function, need not be registered: it is
in this process already.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import Any

import keras

from keras_pss import keras_internals

# What layers are given and may share with their copies.
_SHARED = (
    FunctionType,
    keras.constraints.Constraint,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
)


@contextmanager
def known(model: Any) -> Iterator[None]:
    """Lets Keras find the classes and functions of a model by their names."""
    with keras.utils.custom_object_scope(_own(model)):
        yield


def of_layer(layer: Any) -> Any:
    """A new layer of the same config, without its weights.

    Raises:
        ValueError: If its config does not make one.
    """
    cls = type(layer)
    try:
        config = _config(layer)
        if isinstance(layer, keras.layers.Lambda):
            # Its config has a function's code, not what the code refers to.
            return cls(**{**config, **keras_internals.lambda_parts(layer)})
        return cls.from_config(config)
    except Exception as error:
        with suppress(Exception):  # the first error says more
            config = _config(layer)
            if given := _given(layer, config):
                return cls.from_config({**config, **given})
        raise ValueError(
            f"Layer '{layer.name}' ({cls.__name__}) cannot be copied by its "
            "config. Give it a `get_config` with all arguments of its "
            f"constructor. Received: {type(error).__name__}: {error}"
        ) from error


def compile_alike(old: Any, new: Any) -> None:
    """Compiles a model as another one is, with an optimizer of its own."""
    if not old.compiled:
        return
    if keras_internals.overrides_compile(new):
        new.compile_from_config(old.get_compile_config())
        return
    given = keras_internals.compile_arguments(old)
    given["optimizer"] = _remade(old.optimizer)
    for name in ("metrics", "weighted_metrics"):
        given[name] = keras.tree.map_structure(_remade, given[name])
    # The optimizer scales the loss already, if it is to.
    new.compile(**given, auto_scale_loss=False)
    if new.optimizer is not None:
        new.optimizer.build(new.trainable_variables)


def _remade(given: Any) -> Any:
    """A new metric or optimizer; names and functions are themselves."""
    if isinstance(given, keras.Metric | keras.optimizers.Optimizer):
        return type(given).from_config(given.get_config())
    return given


def _config(layer: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        # Keras warns of functions without a name, which are not used.
        warnings.filterwarnings("ignore", ".* includes a `lambda`")
        config: dict[str, Any] = layer.get_config()
        return config


def _given(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a layer that its config has in another form."""
    found = {name: getattr(layer, name, None) for name in config}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, _SHARED) and not _of_keras(value)
    }


def _own(model: Any) -> dict[str, Any]:
    """The classes and functions that configs of a model name, by name.

    Those of which two have the same name are left out.
    """
    parts = list(keras_internals.all_layers(model))
    if model.compiled:
        parts += keras_internals.optimizers_of(model.optimizer)
        given = keras_internals.compile_arguments(model)
        for name in ("metrics", "weighted_metrics"):
            parts += keras.tree.flatten(given[name])
    found: dict[str, Any] = {}
    twice = set()
    for part in parts:
        held = getattr(part, "__dict__", {}).values()
        for value in (part, *(each for each in held if callable(each))):
            each = _named(value)
            if _of_keras(value):
                continue
            if found.setdefault(each.__name__, each) is not each:
                twice.add(each.__name__)
    return {name: each for name, each in found.items() if name not in twice}


def _named(value: Any) -> Any:
    """The function or the class that a config names."""
    return value if isinstance(value, FunctionType) else type(value)


def _of_keras(value: Any) -> bool:
    """Whether Keras, or a package on it, has the function or the class."""
    module = str(_named(value).__module__)
    return module.startswith(("keras.", "keras_", "builtins"))
