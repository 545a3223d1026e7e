"""Deep & cross network, second version."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.base.checks import one_of, positive_int
from keras_pss.layers.feature_interaction.matrix_cross import MatrixCross
from keras_pss.models.blocks import (
    LARGEST_WIDTH,
    MOST_LAYERS,
    check_net,
    inputs_of,
    joined,
    looked_up,
    mlp,
    probability,
)
from keras_pss.models.model import Model


def DCNv2(
    embeddings: Any,
    num_dense: int | None = None,
    num_cross: int = 3,
    rank: int | None = None,
    structure: str = "parallel",
    hidden_units: Sequence[int] = (768, 768),
    dropout: float = 0.0,
    l2: float = 0.0,
    name: str = "dcn_v2",
) -> Model:
    """DCN-V2: cross layers with one matrix each, and a deep net.

        x_0 = (e_1 .. e_F, dense);  x_{l+1} = x_0 ∘ (W_l x_l + b_l) + x_l
        p = sigmoid(w · (x_L, deep(x_0)) + c)     "parallel"
        p = sigmoid(w · deep(x_L) + c)            "stacked"

    Args:
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        num_dense: Number of dense features, at least 0. Default: None, those
            that a collection with named tables knows, and 13 with other layers.
        num_cross: L, the number of cross layers.
        rank: Rank of the matrices `W_l = U_l V_lᵀ`. Default: None, full rank.
        structure: Whether the deep net is `"parallel"` to the cross layers or
            `"stacked"` on them.
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
    model = keras_pss.models.DCNv2(tables, rank=64, structure="stacked")
    model.compile("adam", "binary_crossentropy")
    ```

    References: Wang et al., "DCN V2: Improved deep & cross network and
    practical lessons for web-scale learning to rank systems" (WWW 2021).
    """
    check_net(name, dropout, l2, hidden_units=hidden_units)
    positive_int("num_cross", num_cross, MOST_LAYERS)
    one_of("structure", structure, ("parallel", "stacked"))
    if rank is not None:
        positive_int("rank", rank, LARGEST_WIDTH)
    inputs = inputs_of(embeddings, num_dense)
    first = joined(looked_up(embeddings, inputs), inputs)
    crossed = first
    for index in range(num_cross):
        crossed = MatrixCross(rank, name=f"cross_{index}")(first, crossed)
    if structure == "stacked":
        features = [mlp(crossed, hidden_units, "deep", dropout, l2)]
    else:
        features = [crossed, mlp(first, hidden_units, "deep", dropout, l2)]
    return Model(inputs, probability(features), name=name)
