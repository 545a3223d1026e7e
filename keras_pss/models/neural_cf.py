"""Neural collaborative filtering."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.feature_interaction.bi_interaction import BiInteraction
from keras_pss.models.blocks import (
    check_net,
    inputs_of,
    joined,
    looked_up,
    mlp,
    probability,
    second_tables,
)
from keras_pss.models.model import Model


def NeuralCF(
    embeddings: Any,
    mlp_embeddings: Any = None,
    num_dense: int | None = None,
    hidden_units: Sequence[int] = (256, 128, 64),
    dropout: float = 0.0,
    l2: float = 0.0,
    name: str = "neural_cf",
) -> Model:
    """NeuMF: a generalized matrix factorization in parallel to an MLP.

        p = sigmoid(w · (Σ_{i<j} e_i ∘ e_j, deep(m_1 .. m_F, dense)) + c)

    For two fields, user and item, the sum is the paper's single product. For
    more fields it is over all pairs, so the model also works on click logs.

    Args:
        embeddings: Layer that maps `(batch, F)` ids to `(batch, F, d)` vectors
            e and has `input_dims` and `output_dim`, such as
            `keras_pss.EmbeddingCollection`. With named tables, the model has
            inputs for multi-hot features as well; see `keras_pss.models.Model`.
        mlp_embeddings: Layer with separate tables for the same ids and any
            `output_dim`: the vectors m, the input of the MLP. Default: None,
            which creates it by `embeddings.twin()`.
        num_dense: Number of dense features, which are further inputs of the
            MLP. Default: None, those that a collection with named tables knows,
            and 0 with other layers.
        hidden_units: Widths of the MLP's hidden layers.
        dropout: Dropout rate after each ReLU of the MLP.
        l2: Weight of the L2 penalty on the MLP's kernels in the loss.
        name: Name of the model.

    Returns:
        A Functional model from `{"categorical": (batch, F) int32}`, with
        `"dense": (batch, num_dense) float` if there are any, to the
        probability `(batch, 1)`.

    Raises:
        ValueError: If the embeddings are not two such layers for the same
            ids, or if an argument is out of range.

    Example:

    ```python
    users_and_items = [6040, 3706]
    model = keras_pss.models.NeuralCF(
        keras_pss.EmbeddingCollection(users_and_items, 16, budget="10x"),
        keras_pss.EmbeddingCollection(users_and_items, 32, budget="10x"),
    )
    model.compile("adam", "binary_crossentropy")
    ```

    References: He et al., "Neural collaborative filtering" (WWW 2017),
    equation 12; the pooling of more than two fields: He and Chua, "Neural
    factorization machines for sparse predictive analytics" (SIGIR 2017).
    """
    check_net(
        name,
        dropout,
        l2,
        hidden_units=hidden_units,
    )
    inputs = inputs_of(embeddings, num_dense, default=0)
    second = second_tables("mlp_embeddings", mlp_embeddings, embeddings)
    vectors = looked_up(embeddings, inputs)
    product = BiInteraction(dtype="float32", name="gmf")(vectors)
    together = joined(looked_up(second, inputs), inputs)
    deep = mlp(together, hidden_units, "deep", dropout, l2)
    return Model(inputs, probability([product, deep]), name=name)
