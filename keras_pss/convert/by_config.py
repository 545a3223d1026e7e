"""Copies of models that are written as classes, by their configs."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_pss import keras_internals

_LINES = """\
{what}. Replace its tables in your own code: `new = keras_pss.embedding(\
old.input_dim, old.output_dim, method, budget)`, `new.fit_table(\
old.embeddings, counts)`, then create the model with `new` and copy the other \
layers' weights. Or give the class a constructor that takes its embedding \
layers, and a `get_config` that serializes them. Received: model={name} ({cls})\
"""


def made(model: Any, replaced: Mapping[int, Any]) -> Any:
    """A model of the same config, with the configs of other layers in it.

    Args:
        model: A model that is no graph.
        replaced: The new layers, by the `id` of those that they replace.

    Raises:
        ValueError: If the config does not have these layers, or makes no
            model that is built.
    """
    wanted: dict[tuple[str, str], Any] = {}
    for layer in keras_internals.all_layers(model):
        if id(layer) in replaced:
            key = type(layer).__name__, layer.name
            if key in wanted:
                raise ValueError(
                    f"Two embedding layers of model '{model.name}' have the "
                    "same name, so its config does not tell them apart. Give "
                    f"each one a name of its own. Received: name={layer.name!r}"
                )
            wanted[key] = replaced[id(layer)]
    found: set[tuple[str, str]] = set()
    try:
        config = keras.saving.serialize_keras_object(model)
        config = _with_layers(config, wanted, found)
        if missing := [name for _, name in set(wanted) - found]:
            raise ValueError(f"its config does not have {', '.join(missing)}")
        new = keras.saving.deserialize_keras_object(config)
    except Exception as error:
        raise ValueError(
            _refusal(model, f"Keras cannot copy `model`: {error}")
        ) from error
    if not new.built:
        raise ValueError(
            _refusal(model, "A copy of `model` is not built by its config")
        )
    return new


def _refusal(model: Any, what: str) -> str:
    return _LINES.format(
        what=what.strip().rstrip("."),
        name=model.name,
        cls=type(model).__name__,
    )


def _with_layers(
    config: Any, wanted: Mapping[Any, Any], found: set[Any]
) -> Any:
    """A config in which the configs of some layers are replaced."""
    if isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict):
            key = config.get("class_name"), inner.get("name")
            if key in wanted:
                found.add(key)
                return keras.saving.serialize_keras_object(wanted[key])
        return {k: _with_layers(v, wanted, found) for k, v in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_layers(v, wanted, found) for v in config)
    return config
