"""AutoInt."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.feature_interaction.field_attention import FieldAttention
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


def AutoInt(
    embeddings: Any,
    num_dense: int | None = None,
    num_attention: int = 3,
    num_heads: int = 2,
    attention_units: int = 32,
    hidden_units: Sequence[int] = (400,) * 3,
    dropout: float = 0.0,
    l2: float = 0.0,
    name: str = "autoint",
) -> Model:
    """AutoInt+: self-attention over the fields, in parallel to a deep net.

        e^0 = (e_1 .. e_F);  e^{l+1} = attention_l(e^l)
        p = sigmoid(w · (e^L, deep(e^0, dense)) + c)

    Args:
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        num_dense: Number of dense features, at least 0. They are not fields of
            the attention. Default: None, those that a collection with named
            tables knows, and 13 with other layers.
        num_attention: L, the number of attention layers.
        num_heads: Number of heads of each attention layer.
        attention_units: Width d' of one head. Its matrices are d' × d and the
            heads' outputs are concatenated, so a layer's output has
            `num_heads * attention_units` elements for each field, 64 by
            default.
        hidden_units: Widths of the deep net's hidden layers. With `()`, there
            is no deep net (AutoInt instead of AutoInt+), and the dense
            features are concatenated to the attention's output.
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
    model = keras_pss.models.AutoInt(tables, num_attention=1)
    model.compile("adam", "binary_crossentropy")
    ```

    References: Song et al., "AutoInt: Automatic feature interaction learning
    via self-attentive neural networks" (CIKM 2019). Widths: Desai et al.,
    "Random Offset Block Embedding (ROBE)", table 8.
    """
    check_net(
        name,
        dropout,
        l2,
        hidden_units=hidden_units,
    )
    positive_int("num_attention", num_attention, MOST_LAYERS)
    positive_int("num_heads", num_heads, LARGEST_WIDTH)
    positive_int("attention_units", attention_units, LARGEST_WIDTH)
    inputs = inputs_of(embeddings, num_dense)
    vectors = attended = looked_up(embeddings, inputs)
    for index in range(num_attention):
        attended = FieldAttention(
            num_heads, attention_units, name=f"attention_{index}"
        )(attended)
    if not hidden_units:
        return Model(inputs, probability([joined(attended, inputs)]), name=name)
    deep = mlp(joined(vectors, inputs), hidden_units, "deep", dropout, l2)
    features = [keras.layers.Flatten()(attended), deep]
    return Model(inputs, probability(features), name=name)
