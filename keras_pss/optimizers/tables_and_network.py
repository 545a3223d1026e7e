"""One optimizer for the tables of a model and another for its network."""

import re
import warnings
from collections.abc import Iterable
from typing import Any

import keras
from keras import backend

from keras_pss import keras_internals
from keras_pss.ops import sparse_gradient
from keras_pss.optimizers.clipped_multi_optimizer import ClippedMultiOptimizer
from keras_pss.optimizers.row_optimizer import RowOptimizer


def for_tables(
    model: keras.Model,
    tables: keras.optimizers.Optimizer,
    network: Any = "adam",
    global_clipnorm: float | None = None,
) -> ClippedMultiOptimizer:
    """An optimizer that trains a model's tables of rows as `tables` does.

    Tables of rows are the weights of which a lookup gathers a few rows, each
    of an id or a bucket of ids: those of full, hashed, sketched, quotient and
    remainder, mixed-dimension, MEMCom, clustered and quantized tables, the
    rows of popularity tables, hot rows, and stock `keras.layers.Embedding`s.
    `network` trains all other weights, also those of tensor cores, FPD's
    factors and projections, whose rows most ids share, and ROBE's memory, of
    which a batch reads single elements.

    Args:
        model: A built model.
        tables: The optimizer of the tables, such as
            `keras_pss.optimizers.LazyAdam()`.
        network: The optimizer of all other weights, or its name. Defaults to
            Keras' Adam.
        global_clipnorm: Float, the largest norm of all gradients together.
            Defaults to None, no clipping.

    Returns:
        A `keras.optimizers.MultiOptimizer` for `model.compile`, which is saved
        and loaded with the model. `network` trains all of a model that has no
        tables of rows.

    Raises:
        ValueError: If the model is not built, if an optimizer is no Keras
            optimizer or combines others, if the optimizers have different
            loss scales, or if a stock layer's table has the name of another
            weight.

    Example:

    ```python
    ids = keras.Input((26,), dtype="int32")
    rows = keras_pss.FullEmbedding(100_000, 16)(ids)
    click = keras.layers.Dense(1)(keras.layers.Flatten()(rows))
    model = keras.Model(ids, click)
    optimizer = keras_pss.optimizers.for_tables(
        model, keras_pss.optimizers.LazyAdam(0.001)
    )
    model.compile(optimizer, "mse")
    ```
    """
    if isinstance(network, str):
        network = keras.optimizers.get(network)
    _check(tables=tables, network=network)
    if (
        not isinstance(model, keras.layers.Layer)
        or not model.built
        or not model.trainable_variables
    ):
        raise ValueError(
            "`model` must be a Keras model that is built and has weights to "
            "train, so that its tables are known. Call it on a batch first. "
            f"Received: model={model!r}"
        )
    stock = _stock(model)
    weights = model.trainable_variables
    tables_of_rows = [
        weight
        for weight in weights
        if sparse_gradient.holds_rows(weight) or id(weight) in stock
    ]
    names = {_name(weight) for weight in weights if id(weight) in stock}
    known = {id(weight) for weight in tables_of_rows}
    for weight in weights:
        if id(weight) not in known and _name(weight) in names:
            raise ValueError(
                "A keras.layers.Embedding is known by its name and must have "
                "one of its own. Rename the layer. Received: a table and "
                f"another weight named '{_name(weight)}'"
            )
    if isinstance(tables, RowOptimizer):
        _warn_of_copies(stock.values())
        # Before Keras builds the optimizer, the first step is traced.
        for table in tables_of_rows:
            sparse_gradient.prefer(table)
    # One pattern: Keras would load an optimizer for each of several.
    pattern = "|".join(map(re.escape, sorted(names)))
    return ClippedMultiOptimizer(
        TablesAndNetwork(network, {pattern: tables}),
        _loss_scale(tables, network),
        global_clipnorm=global_clipnorm,
    )


@keras.saving.register_keras_serializable("keras_pss")
class TablesAndNetwork(keras.optimizers.OptimizerMap):
    """Chooses between an optimizer of tables and the default one.

    This package's layers mark their tables of rows. A stock layer does not, so
    its table is known by the names of the layer and of the weight: the rest of
    a path changes when Keras loads a Sequential model.

    Args:
        default_optimizer: The optimizer of all other weights.
        optimizer_map: Dict with one entry, a regular expression of the names
            of stock tables, such as `embedding/embeddings`, and the optimizer
            of the tables.
    """

    def __call__(self, variable: Any) -> Any:
        if sparse_gradient.holds_rows(variable):
            (tables,) = self.values()
            return tables
        return self[_name(variable)]


def _name(weight: Any) -> str:
    """Names of the layer and of the weight, without the layers around it."""
    return "/".join(weight.path.split("/")[-2:])


def _check(**optimizers: Any) -> None:
    for name, optimizer in optimizers.items():
        if (
            not isinstance(optimizer, keras.optimizers.Optimizer)
            or hasattr(optimizer, "inner_optimizer")
            or isinstance(optimizer, keras.optimizers.MultiOptimizer)
        ):
            raise ValueError(
                f"`{name}` must be a Keras optimizer, an instance that does "
                "not wrap others, such as `keras_pss.optimizers.LazyAdam()`. "
                "Keras adds loss scaling itself under mixed_float16. "
                f"Received: {name}={optimizer!r}"
            )


def _loss_scale(tables: Any, network: Any) -> float | None:
    """The factor of the one loss, which `MultiOptimizer` does not ask for."""
    given = [
        optimizer.loss_scale_factor
        for optimizer in (tables, network)
        if optimizer.loss_scale_factor is not None
    ]
    if len(set(given)) > 1:
        raise ValueError(
            "`tables` and `network` train by one loss and must have the same "
            "`loss_scale_factor`. Received: "
            f"tables.loss_scale_factor={tables.loss_scale_factor}, "
            f"network.loss_scale_factor={network.loss_scale_factor}"
        )
    return given[0] if given else None


def _stock(model: keras.Model) -> dict[int, Any]:
    """Stock embeddings that are trained and read by rows, by their table."""
    found = {}
    for layer in keras_internals.all_layers(model):
        if (
            isinstance(layer, keras.layers.Embedding)
            and not isinstance(layer, keras.layers.ReversibleEmbedding)
            and layer.trainable_weights
            and not layer.lora_enabled
        ):
            found[id(layer.embeddings)] = layer
    return found


def _warn_of_copies(layers: Iterable[Any]) -> None:
    """Warns of stock layers, whose lookup copies the table at every step."""
    names = sorted(layer.name for layer in layers)
    if not names or backend.backend() != "tensorflow":
        return
    warnings.warn(
        "The lookup of keras.layers.Embedding reads its table as a whole, "
        "which TensorFlow copies at each step after rows were updated. So the "
        "time of a step still grows with the table. Use "
        "keras_pss.FullEmbedding in its place, which gathers from the "
        f"variable. Received: {', '.join(map(repr, names))}",
        stacklevel=3,
    )
