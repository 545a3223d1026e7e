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
from keras_pss.layers.feature_interaction.field_sum import FieldSum

Tensor = Any

# A kernel between two such layers has 2^32 entries: more is a mistake.
LARGEST_WIDTH = 2**16
# The same limit for the number of cross or attention layers.
MOST_LAYERS = 1000


def inputs_of(embeddings: Any, num_dense: int) -> dict[str, Tensor]:
    """A model's inputs by name; without dense features, only `categorical`.

    Raises:
        ValueError: If an argument is invalid.
    """
    check_embeddings("embeddings", embeddings)
    non_negative_int("num_dense", num_dense, LARGEST_WIDTH)
    inputs = {}
    if num_dense:
        inputs["dense"] = keras.Input((num_dense,), name="dense")
    inputs["categorical"] = keras.Input(
        (len(embeddings.input_dims),), dtype="int32", name="categorical"
    )
    return inputs


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
    if tuple(second.input_dims) != tuple(embeddings.input_dims):
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


def wide_logit(wide: Any, embeddings: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The first-order part `(b, 1)`: `Σ_f w_f[id_f] + v · dense`.

    Raises:
        ValueError: If `wide` does not have one number for each id.
    """
    check_second("wide", wide, embeddings)
    if wide.output_dim != 1:
        raise ValueError(
            "`wide` holds first-order weights, so its rows must have one "
            "number; pass `output_dim=1`. "
            f"Received: wide.output_dim={wide.output_dim}"
        )
    logit = FieldSum(dtype="float32", name="wide_sum")(
        wide(inputs["categorical"])
    )
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
