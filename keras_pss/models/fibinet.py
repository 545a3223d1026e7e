"""FiBiNET."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base.checks import one_of, positive_int
from keras_pss.layers.feature_interaction.bilinear_interaction import (
    KINDS,
    BilinearInteraction,
)
from keras_pss.layers.feature_interaction.squeeze_excitation import (
    SqueezeExcitation,
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


def FiBiNET(
    embeddings: Any,
    wide: Any = None,
    num_dense: int | None = None,
    reduction_ratio: int = 3,
    bilinear: str = "interaction",
    hidden_units: Sequence[int] = (400,) * 3,
    dropout: float = 0.5,
    l2: float = 1e-4 / 2048,
    name: str = "fibinet",
) -> Model:
    """FiBiNET: bilinear products of plain and of re-weighted embeddings.

        s = squeeze_excitation(e_1 .. e_F);  first = Σ_i w_i + v · dense
        p = sigmoid(first + w · deep(bilinear(e), bilinear(s), dense) + c)

    Args:
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        wide: Layer with separate tables for the same ids, with
            `output_dim=1`: the first-order weights w_i. Default: None, which
            creates it by `embeddings.twin(1)`.
        num_dense: Number of dense features, at least 0. They are not fields of
            the interactions. Default: None, those that a collection with named
            tables knows, and 13 with other layers.
        reduction_ratio: Number of fields divided by the bottleneck width of the
            squeeze-and-excitation network.
        bilinear: Number of matrices: `"interaction"` has one for each pair,
            `"each"` one for each first field, `"all"` a single one. Both
            products share them.
        hidden_units: Widths of the deep net's hidden layers.
        dropout: Dropout rate after each ReLU of the deep net.
        l2: Weight of the L2 penalty on the deep net's kernels, which is added
            to the mean loss of a batch. The 1e-4 of ROBE's table 8 was added
            to the sum of 2,048 losses.
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
    model = keras_pss.models.FiBiNET(
        keras_pss.EmbeddingCollection(sizes, 16, budget="10x"),
        wide=keras_pss.EmbeddingCollection(sizes, 1, budget="10x"),
        bilinear="all",
    )
    model.compile("adam", "binary_crossentropy")
    ```

    References: Huang et al., "FiBiNET: Combining feature importance and
    bilinear feature interaction for click-through rate prediction" (RecSys
    2019). Widths, dropout and l2: Desai et al., "Random Offset Block Embedding
    (ROBE)", table 8.
    """
    check_net(
        name,
        dropout,
        l2,
        hidden_units=hidden_units,
    )
    one_of("bilinear", bilinear, KINDS)
    positive_int("reduction_ratio", reduction_ratio)
    inputs = inputs_of(embeddings, num_dense)
    vectors = looked_up(embeddings, inputs)
    first = wide_logit(wide, embeddings, inputs)
    weighted = SqueezeExcitation(reduction_ratio, name="senet")(vectors)
    products = BilinearInteraction(bilinear, name="bilinear")
    # (b, pairs, d), twice -> (b, 2 pairs, d)
    both = keras.layers.Concatenate(axis=1)(
        [products(vectors), products(weighted)]
    )
    deep = mlp(joined(both, inputs), hidden_units, "deep", dropout, l2)
    return Model(inputs, probability([deep], [first]), name=name)
