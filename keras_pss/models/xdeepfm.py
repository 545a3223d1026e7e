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
    looked_up,
    mlp,
    probability,
    wide_logit,
)
from keras_pss.models.model import Model


def XDeepFM(
    embeddings: Any,
    wide: Any = None,
    num_dense: int | None = None,
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
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        wide: Layer with separate tables for the same ids, with
            `output_dim=1`: the first-order weights w_i. Default: None, which
            creates it by `embeddings.twin(1)`.
        num_dense: Number of dense features, at least 0. They are not fields of
            the interaction network. Default: None, those that a collection with
            named tables knows, and 13 with other layers.
        cross_units: Number of feature maps of each interaction layer.
        split_half: Whether half of a layer's maps are inputs of the next layer
            and the other half are outputs, as in DeepCTR. With False, all maps
            are both, as in the paper.
        hidden_units: Widths of the deep net's hidden layers.
        dropout: Dropout rate after each ReLU of the deep net.
        l2: Weight of the L2 penalty on the deep net's kernels, which is added
            to the mean loss of a batch. The 1e-4 of ROBE's table 8 was added
            to the sum of 2,048 losses.
        cross_activation: Activation of the interaction network. DeepCTR uses
            `"relu"`; the paper found `"linear"` best.
        name: Name of the model.

    Returns:
        A Functional model from `{"dense": (batch, num_dense) float,
        "categorical": (batch, F) int32}` to the probability `(batch, 1)`.

    Raises:
        ValueError: If `embeddings` and `wide` are not such layers for the
            same ids, or if an argument is out of range.

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
    vectors = looked_up(embeddings, inputs)
    first = wide_logit(wide, embeddings, inputs)
    crossed = CompressedInteraction(
        cross_units, split_half, cross_activation, name="cin"
    )(vectors)
    deep = mlp(joined(vectors, inputs), hidden_units, "deep", dropout, l2)
    return Model(inputs, probability([crossed, deep], [first]), name=name)
