"""xDeepFM."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base.checks import boolean, fetched
from keras_pss.layers.feature_interaction.compressed_interaction import (
    CompressedInteraction,
)
from keras_pss.models.blocks import (
    check_net,
    inputs_of,
    joined,
    mlp,
    probability,
    wide_logit,
)
from keras_pss.models.model import Model


def XDeepFM(
    embeddings: Any,
    wide: Any,
    num_dense: int = 13,
    cross_units: Sequence[int] = (200,) * 3,
    split_half: bool = True,
    hidden_units: Sequence[int] = (400,) * 3,
    dropout: float = 0.5,
    l2: float = 1e-4 / 2048,
    cross_activation: Any = "relu",
    name: str = "xdeepfm",
) -> Model:
    """xDeepFM: a linear part, a compressed interaction network, a deep net.

        first = Σ_i w_i + v · dense
        p = sigmoid(first + w · (cin(e_1 .. e_F), deep(e_1 .. e_F, dense)) + c)

    Args:
        embeddings: A layer that maps `(batch, F)` ids to `(batch, F, d)`
            vectors, such as `keras_pss.EmbeddingCollection`; it has
            `input_dims` and `output_dim`.
        wide: Another such layer for the same ids, with `output_dim=1`: the
            first-order weights w_i, which have tables of their own.
        num_dense: Number of dense features; 0 for none. They are no fields of
            the interaction network.
        cross_units: Maps of each layer of the interaction network.
        split_half: Whether half of a layer's maps goes on and half is put
            out, as in DeepCTR. False, as in the paper: all do both.
        hidden_units: Hidden widths of the deep net.
        dropout: Of the deep net, after each ReLU.
        l2: Weight of the sum of squares of the deep net's kernels in the loss,
            beside the mean loss of a batch. Table 8's 1e-4 stood beside the
            sum of 2,048 losses.
        cross_activation: Of the interaction network's maps. `"relu"` is
            DeepCTR's; the paper found `"linear"` best.
        name: Of the model.

    Returns:
        A Functional model from `{"dense": (batch, num_dense) float,
        "categorical": (batch, F) int32}` to the probability `(batch, 1)`.

    Raises:
        ValueError: If `embeddings` and `wide` are not such layers for the
            same ids, or if a number is out of range.

    Example:

    ```python
    sizes = [1000] * 26
    model = keras_pss.models.XDeepFM(
        keras_pss.EmbeddingCollection(sizes, 16, budget="10x"),
        wide=keras_pss.EmbeddingCollection(sizes, 1, budget="10x"),
        cross_units=(32, 32),
    )
    model.compile("adam", "binary_crossentropy")
    ```

    References: Lian et al., "xDeepFM: Combining explicit and implicit feature
    interactions for recommender systems" (KDD 2018), equation 9. Widths,
    dropout and l2: Desai et al., "Random Offset Block Embedding (ROBE)",
    table 8.
    """
    check_net(
        name,
        dropout,
        l2,
        cross_units=cross_units,
        hidden_units=hidden_units,
    )
    boolean("split_half", split_half)
    fetched("cross_activation", keras.activations.get, cross_activation)
    inputs = inputs_of(embeddings, num_dense)
    vectors = embeddings(inputs["categorical"])
    first = wide_logit(wide, embeddings, inputs)
    crossed = CompressedInteraction(
        cross_units, split_half, cross_activation, name="cin"
    )(vectors)
    deep = mlp(joined(vectors, inputs), hidden_units, "deep", dropout, l2)
    return Model(inputs, probability([crossed, deep], [first]), name=name)
