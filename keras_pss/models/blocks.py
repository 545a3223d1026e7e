"""Blocks that the models share."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base.checks import (
    non_negative_int,
    number,
    positive_ints,
    shown,
    text,
)
from keras_pss.layers.composite.features.named_features import NamedFeatures
from keras_pss.layers.feature_interaction.field_sum import FieldSum

Tensor = Any

# A kernel between two such layers has 2^32 entries: more is a mistake.
LARGEST_WIDTH = 2**16
# The same limit for the number of cross or attention layers.
MOST_LAYERS = 1000


def inputs_of(
    embeddings: Any, num_dense: int | None, default: int = 13
) -> dict[str, Tensor]:
    """A model's inputs by name; without dense features, only those of ids.

    Args:
        embeddings: Layer of all tables.
        num_dense: Number of dense features; None for those that a collection
            with named tables knows, and for `default` with other layers.
        default: Number of dense features of a click log.

    Raises:
        ValueError: If an argument is invalid.
    """
    check_embeddings("embeddings", embeddings)
    named = isinstance(embeddings, NamedFeatures)
    known = sum(embeddings.dense.values()) if named else default
    if num_dense is None:
        num_dense = known
    non_negative_int("num_dense", num_dense, LARGEST_WIDTH)
    if named and known and num_dense != known:
        raise ValueError(
            "`num_dense` must be the number of dense features of `embeddings`, "
            f"{known}, or None, which means the same. "
            f"Received: num_dense={num_dense}, dense={dict(embeddings.dense)}"
        )
    shapes = {"dense": (num_dense, "float32")} if num_dense else {}
    if named:
        shapes |= embeddings.inputs()
    else:
        shapes["categorical"] = len(embeddings.input_dims), "int32"
    return {
        name: keras.Input((length,), dtype=dtype, name=name)
        for name, (length, dtype) in shapes.items()
    }


def looked_up(embeddings: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The vectors of all fields, `(b, F, d)`.

    If the rows of tables differ in length, those that do not have the length
    `embeddings.output_dim` are projected to it by one matrix for each table.
    """
    if not isinstance(embeddings, NamedFeatures):
        return embeddings(inputs["categorical"])
    vectors = embeddings({name: inputs[name] for name in embeddings.inputs()})
    if not isinstance(vectors, dict):
        return vectors
    of_tables: dict[str, list[str]] = {}
    for name, feature in embeddings.features.items():
        of_tables.setdefault(feature.table, []).append(name)
    fields: dict[str, Tensor] = {}
    for index, names in enumerate(of_tables.values()):
        width = vectors[names[0]].shape[-1]
        rows = [keras.layers.Reshape((1, width))(vectors[n]) for n in names]
        # Features that share a table also share its projection.
        together = _projected(embeddings, index, _stacked(rows))
        each = [together]
        if len(names) > 1:
            each = keras.ops.split(together, len(names), axis=1)
        fields |= zip(names, each, strict=True)
    return _stacked([fields[name] for name in embeddings.features])


def num_fields(embeddings: Any) -> int:
    """F, the number of vectors of an example."""
    if isinstance(embeddings, NamedFeatures):
        return len(embeddings.features)
    return len(embeddings.input_dims)


def _projected(embeddings: Any, table: int, vectors: Tensor) -> Tensor:
    """`(b, F, k)` to `(b, F, d)`; the vectors themselves for k = d."""
    if vectors.shape[-1] == embeddings.output_dim:
        return vectors
    return keras.layers.Dense(
        embeddings.output_dim,
        use_bias=False,
        name=f"{embeddings.name}_projection_{table}",
    )(vectors)


def _stacked(fields: list[Tensor]) -> Tensor:
    if len(fields) == 1:
        return fields[0]
    return keras.layers.Concatenate(axis=1)(fields)


def check_net(
    name: str, dropout: float, l2: float, **units: Sequence[int]
) -> None:
    """Checks the arguments of the dense layers before they are built."""
    text("name", name)
    for argument, widths in units.items():
        positive_ints(argument, widths, LARGEST_WIDTH)
    number("dropout", dropout, 0, below=1)
    number("l2", l2, 0)


def check_embeddings(name: str, embeddings: Any) -> None:
    for attribute in ("input_dims", "output_dim"):
        if not hasattr(embeddings, attribute):
            raise ValueError(
                f"`{name}` must be a layer with `input_dims` and "
                "`output_dim`, such as `keras_pss.EmbeddingCollection`. "
                f"Received: {name}={shown(embeddings)}"
            )


def check_second(name: str, second: Any, embeddings: Any) -> None:
    """Checks a second layer of tables for the same ids as `embeddings`."""
    check_embeddings(name, second)
    if second is embeddings:
        raise ValueError(
            f"`{name}` must have separate tables, not those of "
            "`embeddings`; pass another layer. "
            f"Received: the same layer twice, {shown(second)}"
        )
    named = [isinstance(x, NamedFeatures) for x in (second, embeddings)]
    if any(named):
        if not all(named) or second.reads() != embeddings.reads():
            raise ValueError(
                f"`{name}` must have the features and tables of `embeddings`, "
                "since both read the same ids; pass "
                f"`embeddings.twin(...)`. Received: {name}={shown(second)}"
            )
    elif tuple(second.input_dims) != tuple(embeddings.input_dims):
        raise ValueError(
            f"`{name}` must have the `input_dims` of `embeddings`, since both "
            "read the same ids; pass `input_dims=embeddings.input_dims`. "
            f"Received: {name}.input_dims={tuple(second.input_dims)}, "
            f"embeddings.input_dims={tuple(embeddings.input_dims)}"
        )


def mlp(
    x: Tensor,
    units: Sequence[int],
    name: str,
    dropout: float = 0.0,
    l2: float = 0.0,
) -> Tensor:
    """Hidden layers, `(b, k)` to `(b, units[-1])`; x itself without any.

    Args:
        x: Input of the first layer.
        units: Widths of the layers, each followed by a ReLU and dropout.
        name: Prefix of the layers' names, `name_0`, `name_1` and so on.
        dropout: Dropout rate.
        l2: Weight of the L2 penalty on the kernels in the loss.
    """
    for index, width in enumerate(units):
        x = keras.layers.Dense(
            width,
            activation="relu",
            kernel_initializer="glorot_normal",
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
            name=f"{name}_{index}",
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{name}_{index}_dropout")(x)
    return x


def joined(vectors: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """`(b, F, d)` and the dense features, if any, to `(b, F d + num_dense)`."""
    flat = keras.layers.Flatten()(vectors)
    if "dense" not in inputs:
        return flat
    return keras.layers.Concatenate()([flat, inputs["dense"]])


def second_tables(
    name: str, second: Any, embeddings: Any, output_dim: int | None = None
) -> Any:
    """A second layer of tables for the same ids, created if there is none.

    Args:
        name: Name of the argument.
        second: Its value; None for a twin of `embeddings`.
        embeddings: Layer of all tables.
        output_dim: Length of the twin's rows. Default: that of `embeddings`.

    Raises:
        ValueError: If the layer does not fit, or cannot be created.
    """
    if second is None:
        if not hasattr(embeddings, "twin"):
            raise ValueError(
                f"`{name}` can be left out only if `embeddings` is a "
                "`keras_pss.EmbeddingCollection`; pass a layer with separate "
                "tables for the same ids. "
                f"Received: {name}=None, embeddings={shown(embeddings)}"
            )
        second = embeddings.twin(output_dim, name)
    check_second(name, second, embeddings)
    return second


def wide_logit(wide: Any, embeddings: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The first-order part `(b, 1)`: `Σ_f w_f[id_f] + v · dense`.

    Args:
        wide: Layer with one number for each id; None to create it.
        embeddings: Layer of all tables.
        inputs: The model's inputs.

    Raises:
        ValueError: If `wide` does not have one number for each id.
    """
    wide = second_tables("wide", wide, embeddings, 1)
    if wide.output_dim != 1:
        raise ValueError(
            "`wide` holds first-order weights, so its rows must have one "
            "number; pass `output_dim=1`. "
            f"Received: wide.output_dim={wide.output_dim}"
        )
    logit = FieldSum(dtype="float32", name="wide_sum")(looked_up(wide, inputs))
    if "dense" not in inputs:
        return logit
    dense_logit = keras.layers.Dense(
        1, use_bias=False, dtype="float32", name="wide_dense"
    )(inputs["dense"])
    return keras.layers.Add(dtype="float32")([logit, dense_logit])


def probability(
    features: Sequence[Tensor], logits: Sequence[Tensor] = ()
) -> Tensor:
    """`sigmoid(w · features + c + Σ logits)` of shape `(b, 1)`.

    It is computed in float32 even under a mixed policy: half precision would
    round the sum of the logits, and round small probabilities to zero.

    Args:
        features: Outputs of the last hidden layers, each `(b, k)`.
        logits: Terms that are added to the logit without a weight, `(b, 1)`.
    """
    x = features[0]
    if len(features) > 1:
        x = keras.layers.Concatenate(dtype="float32")(list(features))
    last = keras.layers.Dense(
        1,
        activation=None if logits else "sigmoid",
        kernel_initializer="glorot_normal",
        dtype="float32",
        name="logit" if logits else "probability",
    )(x)
    if not logits:
        return last
    total = keras.layers.Add(dtype="float32")([last, *logits])
    return keras.layers.Activation(
        "sigmoid", dtype="float32", name="probability"
    )(total)
