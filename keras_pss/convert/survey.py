"""Finds the embedding layers of a model, and what hinders a replacement."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from keras_pss import keras_internals
from keras_pss.convert.kinds.collection_tables import CollectionTables
from keras_pss.convert.kinds.kind import Kind
from keras_pss.convert.kinds.pooled_table import PooledTable
from keras_pss.convert.kinds.single_table import SingleTable
from keras_pss.convert.surgery import graphs, leaves
from keras_pss.layers.base import walk
from keras_pss.layers.base.checks import shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.sharing import Holder
from keras_pss.layers.composite.embedding_collection import EmbeddingCollection
from keras_pss.layers.embedding.full_embedding import FullEmbedding


@dataclass(frozen=True)
class FoundLayer:
    """An embedding layer of a model.

    Attributes:
        layer: The layer.
        kind: What can be replaced; None if nothing can.
        why: Why nothing can.
    """

    layer: Any
    kind: Kind | None
    why: str = ""


def survey(model: Any) -> list[FoundLayer]:
    """The embedding layers of a model, in the order of the model.

    Raises:
        ValueError: If the model cannot be copied, or two of its layers share
            a layer that copies of them would no longer share.
    """
    _check_model(model)
    found: list[Any] = []
    if not keras_internals.is_graph(model):
        for part in walk.outermost(model, lambda x: bool(_classified(x))):
            found.append(_classified(part))
        return found
    holders: dict[int, Any] = {}
    for leaf in leaves(model):
        own = list(_reachable(leaf))
        _check_alone(leaf, leaf, holders)
        for part in own:
            if isinstance(part, keras.layers.Layer):
                found.append(_classified(part))
        # What a holder was given is copied once for all of its holders.
        reached = {id(part) for part in (*own, *_given(leaf))}
        for part in keras_internals.all_layers(leaf):
            if part is leaf or id(part) in reached:
                continue
            _check_alone(part, leaf, holders)
            if isinstance(part, keras.layers.Embedding | FullEmbedding):
                found.append(
                    FoundLayer(
                        part,
                        None,
                        f"it is inside '{leaf.name}' ({_class(leaf)}), whose "
                        "config makes an uncompressed one",
                    )
                )
    # A layer that several bags hold is one layer.
    return list({id(each.layer): each for each in found if each}.values())


def _check_model(model: Any) -> None:
    """Raises an error unless it is a model that has weights."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`model` must be a Keras model, an instance rather than a class. "
            f"Received: model={shown(model)}"
        )
    if not model.built:
        raise ValueError(
            "`model` must be built, so that it has weights. Call it on data "
            f"first. Received: model={model.name}, not built"
        )


def plain(model: Any) -> list[str]:
    """Sentences on the graphs that become plain Functional models.

    Raises:
        ValueError: If such a graph computes something else than its layers.
    """
    notes: list[str] = []
    if not keras_internals.is_graph(model):
        return notes
    for graph in graphs(model):
        if keras_internals.takes_graph(graph):
            continue
        if keras_internals.overrides_call(graph):
            raise ValueError(
                f"Model '{graph.name}' ({_class(graph)}) has a `call` of its "
                "own, which a copy of its layers would lack. Compress the "
                "model that it calls. "
                f"Received: model={graph.name}"
            )
        notes.append(
            f"'{graph.name}' is a plain Functional model now: what "
            f"{_class(graph)} adds to it, such as attributes, is not there."
        )
    return notes


def _reachable(leaf: Any) -> Iterator[Any]:
    """A layer, and those that it was given as arguments and can be others."""
    held: Any = ()
    if isinstance(leaf, Holder) and not isinstance(leaf, CompressedEmbedding):
        held = leaf.nested_layers().values()
    if not held:
        yield leaf
    for part in held:
        yield from _reachable(part)


def _given(leaf: Any) -> Iterator[Any]:
    """The layers that a layer of this package was given, and their parts."""
    if isinstance(leaf, Holder):
        for nested in leaf.nested_layers().values():
            yield from keras_internals.all_layers(nested)


def _check_alone(part: Any, leaf: Any, holders: dict[int, Any]) -> None:
    other = holders.setdefault(id(part), leaf)
    if other is not leaf and part.weights:
        raise ValueError(
            f"Layers '{other.name}' ({_class(other)}) and '{leaf.name}' "
            f"({_class(leaf)}) share layer '{part.name}', and copies of them "
            "would not. Compress a model that has only one of them. "
            f"Received: '{part.name}' shared"
        )


def _classified(layer: Any) -> Any:
    """What a layer is; None if it has no embedding table."""
    kind = _kind(layer)
    if kind is not None:
        why = kind.obstacle(layer)
        if why is not None:
            return FoundLayer(layer, None, why)
        return FoundLayer(layer, kind(layer))
    if isinstance(layer, CompressedEmbedding):
        return FoundLayer(layer, None, f"it is compressed ({_class(layer)})")
    if isinstance(layer, keras.layers.Embedding):
        return FoundLayer(
            layer,
            None,
            f"{_class(layer)} is a class of its own, whose behaviour would be "
            "lost",
        )
    return None


def _kind(layer: Any) -> Any:
    """The kind of a layer that can be replaced."""
    if isinstance(layer, EmbeddingCollection):
        return CollectionTables
    if type(layer) in (keras.layers.Embedding, FullEmbedding):
        return SingleTable
    registered = keras.saving.get_registered_name(type(layer))
    if registered == PooledTable.REGISTERED:
        return PooledTable
    # Not `isinstance` of Embedding: a subclass may do anything. This one
    # is an Embedding where no call reverses it.
    reversible = getattr(keras.layers, "ReversibleEmbedding", None)
    if reversible is not None and (
        type(layer) is reversible
        or (
            issubclass(type(layer), reversible)
            and type(layer).__name__ == reversible.__name__
        )
    ):
        return SingleTable
    return None


def _class(layer: Any) -> str:
    return type(layer).__name__
