"""A new model in which some layers are replaced, with all other weights."""

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_pss import keras_internals
from keras_pss.convert import by_config, copies, optimizer_state
from keras_pss.layers.base.sharing import Holder

# Two threads may copy one model, which a copy marks for a moment.
_copying = threading.Lock()


def graphs(model: Any) -> list[Any]:
    """A graph and those within it, each once, outer ones first."""
    return [model, *filter(keras_internals.is_graph, _layers(model))]


def leaves(model: Any) -> list[Any]:
    """The layers of a graph and of the graphs within it, each once."""
    return [x for x in _layers(model) if not keras_internals.is_graph(x)]


def _layers(model: Any) -> list[Any]:
    """All layers of graphs within graphs, in the order of the model."""
    found: dict[int, Any] = {}

    def visit(graph: Any) -> None:
        for layer in graph.layers:
            if id(layer) not in found:
                found[id(layer)] = layer
                if keras_internals.is_graph(layer):
                    visit(layer)

    visit(model)
    return list(found.values())


def rebuilt(model: Any, replaced: Mapping[int, Any]) -> Any:
    """A copy of a model with other layers in the place of some.

    The other weights have their values, and those of a compiled model's
    optimizer as well, except for the replaced layers. The model itself, and
    the layers that replace others, must be built.

    Args:
        model: A Functional or Sequential model, or one of another class whose
            config has the layers that are replaced.
        replaced: The new layers, by the `id` of those that they replace.

    Raises:
        ValueError: If a layer cannot be copied, naming it.
    """
    copier = _Copier(replaced)
    graph = keras_internals.is_graph(model)
    olds = graphs(model) if graph else [model]
    with _copying, copies.known(model):
        with keras_internals.seemingly_not_compiled(olds):
            if graph:
                new = _cloned(model, copier)
            else:
                new = by_config.made(model, replaced)
        set_ids = {id(w) for x in replaced.values() for w in x.weights}
        for old, copy in copier.pairs() if graph else [(model, new)]:
            set_ids |= copier.carry(old, copy)
        missing = [w.path for w in new.weights if id(w) not in set_ids]
        if missing:
            raise ValueError(
                "`model` has weights that its layers' configs do not describe, "
                "so a copy would lack them. Write a `get_config` that does. "
                f"Received: {', '.join(missing)} without values"
            )
        news = graphs(new) if graph else [new]
        for old, copy in zip(olds, news, strict=True):
            copies.compile_alike(old, copy)
    if new.compiled:
        optimizer_state.carry(model.optimizer, new.optimizer, copier.variables)
    return new


def _cloned(model: Any, copier: "_Copier") -> Any:
    """A graph of copied layers, whose weights are not set yet."""
    new = keras.models.clone_model(
        model,
        input_tensors=_inputs(model),
        clone_function=copier.copied,
        recursive=True,
    )
    if not new.built:
        new.build(model.input_shape)
    for old, copy in zip(graphs(model), graphs(new), strict=True):
        # `clone_model` forgets which graphs are frozen.
        if old.trainable != copy.trainable:
            copy.trainable = old.trainable
    return new


class _Copier:
    """Copies layers by their configs, each one once.

    Args:
        replaced: As in `rebuilt`.
    """

    def __init__(self, replaced: Mapping[int, Any]) -> None:
        self._replaced = replaced
        self._copies: dict[int, tuple[Any, Any]] = {}
        # Pairs of an old variable and the new one.
        self.variables: list[tuple[Any, Any]] = []

    def copied(self, layer: Any) -> Any:
        """The layer that takes the place of one in the new model."""
        if id(layer) in self._replaced:
            return self._replaced[id(layer)]
        if id(layer) not in self._copies:
            self._copies[id(layer)] = (layer, self._made(layer))
        return self._copies[id(layer)][1]

    def _made(self, layer: Any) -> Any:
        if isinstance(layer, Holder):
            nested = layer.nested_layers()
            return layer.with_nested(
                {name: self.copied(part) for name, part in nested.items()}
            )
        return copies.of_layer(layer)

    def pairs(self) -> list[tuple[Any, Any]]:
        """The layers that were copied, each with its copy."""
        return [
            pair
            for pair in self._copies.values()
            if isinstance(pair[0], keras.layers.Layer)
        ]

    def carry(self, old: Any, new: Any) -> set[int]:
        """Copies the weights of a layer and of those within it.

        Returns:
            The `id`s of the new weights that are set.
        """
        if id(old) in self._replaced:
            fitted = self._replaced[id(old)]
            # A model that is made from its config has a copy of it.
            return set() if fitted is new else _Copier({}).carry(fitted, new)
        _carry_own(old, new)
        own = list(zip(own_weights(old), own_weights(new), strict=True))
        self.variables += own
        found = {id(copy) for _, copy in own}
        parts = list(keras_internals.direct_sublayers(old))
        others = list(keras_internals.direct_sublayers(new))
        if len(parts) != len(others):
            raise ValueError(
                f"A copy of layer '{old.name}' ({type(old).__name__}) by its "
                f"config has {len(others)} layers within it. Its config must "
                "create the same layers, shared where the original's are. "
                f"Received: {len(parts)} layers: "
                f"{', '.join(part.name for part in parts)}"
            )
        for part, other in zip(parts, others, strict=True):
            if id(part) not in self._copies:
                found |= self.carry(part, other)
        return found


def own_weights(layer: Any) -> list[Any]:
    """The weights of a layer without those of the layers within it."""
    parts = keras_internals.direct_sublayers(layer)
    others = {id(weight) for part in parts for weight in part.weights}
    return [weight for weight in layer.weights if id(weight) not in others]


def _carry_own(old: Any, new: Any) -> None:
    """Copies what a file would hold of a layer, in the layer's own form."""
    if old.trainable != new.trainable:
        new.trainable = old.trainable
    store: dict[str, Any] = {}
    try:
        old.save_own_variables(store)
        if store:
            values = {k: ops.convert_to_numpy(v) for k, v in store.items()}
            new.load_own_variables(values)
        if hasattr(old, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                if any(Path(folder).iterdir()):
                    new.load_assets(folder)
    except ValueError as error:
        raise ValueError(
            f"Layer '{old.name}' ({type(old).__name__}) has other weights than "
            "a layer that its config describes. Give it a `get_config` with "
            "all arguments of its constructor. "
            f"Received: {str(error).split(' Target variable')[0]}"
        ) from error


def _inputs(model: Any) -> Any:
    """Inputs like those of a Functional model, such as optional ones."""
    if isinstance(model, keras.Sequential):
        return None
    return keras.tree.map_structure(
        lambda tensor: keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            name=tensor.name,
            sparse=getattr(tensor, "sparse", None) or None,
            ragged=getattr(tensor, "ragged", None) or None,
            optional=keras_internals.is_optional(tensor),
        ),
        model.input,
    )
