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
    mlp,
    probability,
)
from keras_pss.models.model import Model


def AutoInt(
    embeddings: Any,
    num_dense: int = 13,
    num_attention: int = 3,
    num_heads: int = 2,
    attention_units: int = 32,
    hidden_units: Sequence[int] = (400,) * 3,
    dropout: float = 0.0,
    l2: float = 0.0,
    name: str = "autoint",
) -> Model:
    """AutoInt+: self-attention over the fields beside a deep net.

        e^0 = (e_1 .. e_F);  e^{l+1} = attention_l(e^l)
        p = sigmoid(w · (e^L, deep(e^0, dense)) + c)

    Args:
        embeddings: A layer that maps `(batch, F)` ids to `(batch, F, d)`
            vectors, such as `keras_pss.EmbeddingCollection`; it has
            `input_dims` and `output_dim`.
        num_dense: Number of dense features; 0 for none. They are no fields of
            the attention.
        num_attention: L, the number of attention layers.
        num_heads: Heads of each.
        attention_units: Width of one head, the paper's d' (its W are d' × d,
            and the outputs of the heads are joined): a field's vector has
            `num_heads * attention_units` elements after a layer, 64 here.
        hidden_units: Hidden widths of the deep net. Without any, `()`, there
            is no deep net (AutoInt without the plus), and the dense features
            join the attention's output.
        dropout: Of the deep net, after each ReLU.
        l2: Weight of the sum of squares of the deep net's kernels in the loss.
        name: Of the model.

    Returns:
        A Functional model from `{"dense": (batch, num_dense) float,
        "categorical": (batch, F) int32}` to the probability `(batch, 1)`.

    Raises:
        ValueError: If `embeddings` has no `input_dims` and `output_dim`, or
            if a number is out of range.

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
    vectors = attended = embeddings(inputs["categorical"])
    for index in range(num_attention):
        attended = FieldAttention(
            num_heads, attention_units, name=f"attention_{index}"
        )(attended)
    if not hidden_units:
        return Model(inputs, probability([joined(attended, inputs)]), name=name)
    deep = mlp(joined(vectors, inputs), hidden_units, "deep", dropout, l2)
    features = [keras.layers.Flatten()(attended), deep]
    return Model(inputs, probability(features), name=name)
