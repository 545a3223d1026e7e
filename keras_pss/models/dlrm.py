"""Deep learning recommendation model."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.feature_interaction.dot_interaction import DotInteraction
from keras_pss.models.blocks import (
    check_net,
    inputs_of,
    looked_up,
    mlp,
    num_fields,
    probability,
)
from keras_pss.models.model import Model


def DLRM(
    embeddings: Any,
    num_dense: int | None = None,
    bottom_units: Sequence[int] = (512, 256, 64),
    top_units: Sequence[int] = (512, 256),
    dropout: float = 0.0,
    l2: float = 0.0,
    name: str = "dlrm",
) -> Model:
    """DLRM: inner products of dense features and embeddings, then an MLP.

        x = bottom(dense);  z = lower triangle of (x, e_1 .. e_F)'s products
        p = sigmoid(top(x, z))

    Args:
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        num_dense: Number of dense features. With 0, there is no bottom MLP and
            the top MLP reads only the products of the embeddings. Default:
            None, those that a collection with named tables knows, and 13 with
            other layers.
        bottom_units: Widths of the bottom MLP's hidden layers. A last layer of
            width d is added: 13-512-256-64-16 with the defaults and d = 16.
        top_units: Widths of the top MLP's hidden layers, before the logit.
        dropout: Dropout rate after each ReLU of both MLPs.
        l2: Weight of the L2 penalty on both MLPs' kernels in the loss.
        name: Name of the model.

    Returns:
        A Functional model from `{"dense": (batch, num_dense) float,
        "categorical": (batch, F) int32}` to the probability `(batch, 1)`.

    Raises:
        ValueError: If `embeddings` has no `input_dims` and `output_dim`, or
            if there is nothing to multiply (one table, no dense features).

    Example:

    ```python
    tables = keras_pss.EmbeddingCollection([1000] * 26, 16, budget="10x")
    model = keras_pss.models.DLRM(tables)
    model.compile("adam", "binary_crossentropy")
    ```

    References: Naumov et al., "Deep learning recommendation model for
    personalization and recommendation systems" (2019). Widths: Desai et al.,
    "Random Offset Block Embedding (ROBE)", table 8.
    """
    check_net(
        name,
        dropout,
        l2,
        bottom_units=bottom_units,
        top_units=top_units,
    )
    inputs = inputs_of(embeddings, num_dense)
    if "dense" not in inputs and num_fields(embeddings) < 2:
        raise ValueError(
            "DLRM multiplies pairs of fields, and one table without dense "
            "features is a single field. Add a table, set `num_dense`, or "
            "choose another model, such as "
            "`keras_pss.models.DCN` (`--model dcn` on the command line). "
            f"Received: num_dense={num_dense}, input_dims="
            f"{tuple(embeddings.input_dims)}"
        )
    features = looked_up(embeddings, inputs)
    bottom = []
    if "dense" in inputs:
        width = features.shape[-1]
        units = (*bottom_units, width)
        bottom = [mlp(inputs["dense"], units, "bottom", dropout, l2)]
        # (b, d), (b, F, d) -> (b, 1 + F, d)
        first = keras.layers.Reshape((1, width))(bottom[0])
        features = keras.layers.Concatenate(axis=1)([first, features])
    # (b, G, d) -> (b, G (G - 1) / 2)
    products = DotInteraction(name="interaction")(features)
    together = products
    if bottom:
        together = keras.layers.Concatenate()([*bottom, products])
    top = mlp(together, top_units, "top", dropout, l2)
    return Model(inputs, probability([top]), name=name)
