"""Deep & cross network."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.feature_interaction.vector_cross import VectorCross
from keras_pss.models.blocks import (
    MOST_LAYERS,
    check_net,
    inputs_of,
    joined,
    looked_up,
    mlp,
    probability,
)
from keras_pss.models.model import Model


def DCN(
    embeddings: Any,
    num_dense: int | None = None,
    num_cross: int = 1,
    hidden_units: Sequence[int] = (1024,) * 4,
    dropout: float = 0.0,
    l2: float = 0.0,
    name: str = "dcn",
) -> Model:
    """DCN: cross layers with one vector each, in parallel to a deep net.

        x_0 = (e_1 .. e_F, dense);  x_{l+1} = x_0 (x_l · w_l) + b_l + x_l
        p = sigmoid(w · (x_L, deep(x_0)) + c)

    Args:
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        num_dense: Number of dense features, at least 0. Default: None, those
            that a collection with named tables knows, and 13 with other layers.
        num_cross: L, the number of cross layers.
        hidden_units: Widths of the deep net's hidden layers.
        dropout: Dropout rate after each ReLU of the deep net.
        l2: Weight of the L2 penalty on the deep net's kernels in the loss.
        name: Name of the model.

    Returns:
        A Functional model from `{"dense": (batch, num_dense) float,
        "categorical": (batch, F) int32}` to the probability `(batch, 1)`.

    Raises:
        ValueError: If `embeddings` has no `input_dims` and `output_dim`, or
            if an argument is out of range.

    Example:

    ```python
    tables = keras_pss.EmbeddingCollection([1000] * 26, 16, budget="10x")
    model = keras_pss.models.DCN(tables, hidden_units=(64, 64))
    model.compile("adam", "binary_crossentropy")
    ```

    References: Wang et al., "Deep & cross network for ad click predictions"
    (ADKDD 2017). Widths: Desai et al., "Random Offset Block Embedding
    (ROBE)", table 8; one cross layer, as in the runs behind its table 3.
    """
    check_net(name, dropout, l2, hidden_units=hidden_units)
    positive_int("num_cross", num_cross, MOST_LAYERS)
    inputs = inputs_of(embeddings, num_dense)
    first = joined(looked_up(embeddings, inputs), inputs)
    crossed = first
    for index in range(num_cross):
        crossed = VectorCross(name=f"cross_{index}")(first, crossed)
    deep = mlp(first, hidden_units, "deep", dropout, l2)
    return Model(inputs, probability([crossed, deep]), name=name)
