"""DeepFM."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.feature_interaction.factorization_machine import (
    FactorizationMachine,
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


def DeepFM(
    embeddings: Any,
    wide: Any = None,
    num_dense: int | None = None,
    hidden_units: Sequence[int] = (400,) * 3,
    dropout: float = 0.5,
    l2: float = 0.0,
    name: str = "deepfm",
) -> Model:
    """DeepFM: a factorization machine and a deep net on the same embeddings.

        first = Σ_i w_i + v · dense;  second = Σ_{i<j} e_i · e_j
        p = sigmoid(first + second + w · deep(e_1 .. e_F, dense) + c)

    Args:
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        wide: Layer with separate tables for the same ids, with
            `output_dim=1`: the first-order weights w_i. Default: None, which
            creates it by `embeddings.twin(1)`.
        num_dense: Number of dense features, at least 0. They are not fields of
            the second-order part. Default: None, those that a collection with
            named tables knows, and 13 with other layers.
        hidden_units: Widths of the deep net's hidden layers.
        dropout: Dropout rate after each ReLU of the deep net.
        l2: Weight of the L2 penalty on the deep net's kernels in the loss.
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
    model = keras_pss.models.DeepFM(
        keras_pss.EmbeddingCollection(sizes, 16, budget="10x"),
        wide=keras_pss.EmbeddingCollection(sizes, 1, budget="10x"),
    )
    model.compile("adam", "binary_crossentropy")
    ```

    References: Guo et al., "DeepFM: A factorization-machine based neural
    network for CTR prediction" (IJCAI 2017). Widths and dropout: Desai et al.,
    "Random Offset Block Embedding (ROBE)", table 8.
    """
    check_net(
        name,
        dropout,
        l2,
        hidden_units=hidden_units,
    )
    inputs = inputs_of(embeddings, num_dense)
    vectors = looked_up(embeddings, inputs)
    first = wide_logit(wide, embeddings, inputs)
    second = FactorizationMachine(dtype="float32", name="fm")(vectors)
    deep = mlp(joined(vectors, inputs), hidden_units, "deep", dropout, l2)
    return Model(inputs, probability([deep], [first, second]), name=name)
