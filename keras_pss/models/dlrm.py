"""Deep learning recommendation model."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.dot_interaction import DotInteraction
from keras_pss.models.blocks import mlp


def DLRM(
    embeddings: Any,
    num_dense: int = 13,
    bottom_units: Sequence[int] = (512, 256, 64),
    top_units: Sequence[int] = (512, 256),
    name: str = "dlrm",
) -> keras.Model:
    """DLRM: dense features and embeddings, their inner products, an MLP.

        x = bottom(dense);  z = lower triangle of (x, e_1 .. e_F)'s products
        p = sigmoid(top(x, z))

    Args:
        embeddings: A layer that maps `(batch, F)` ids to `(batch, F, d)`
            vectors, such as `keras_pss.EmbeddingCollection`; it has
            `input_dims` and `output_dim`.
        num_dense: Number of dense features.
        bottom_units: Hidden widths of the bottom MLP; its last layer, of
            width d, is added. With the defaults and d = 16: 13-512-256-64-16.
        top_units: Hidden widths of the top MLP, before the one logit.
        name: Of the model.

    Returns:
        A Functional model from `{"dense": (batch, num_dense) float,
        "categorical": (batch, F) int32}` to the probability `(batch, 1)`.

    Raises:
        ValueError: If `embeddings` has no `input_dims` and `output_dim`.

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
    for attribute in ("input_dims", "output_dim"):
        if not hasattr(embeddings, attribute):
            raise ValueError(
                "`embeddings` must be a layer with `input_dims` and "
                "`output_dim`, such as `keras_pss.EmbeddingCollection`. "
                f"Received: embeddings={embeddings!r}"
            )
    num_tables = len(embeddings.input_dims)
    dense = keras.Input((num_dense,), name="dense")
    categorical = keras.Input((num_tables,), dtype="int32", name="categorical")

    units = (*bottom_units, embeddings.output_dim)
    bottom = mlp(dense, units, "bottom")
    # (b, d), (b, F, d) -> (b, 1 + F, d) -> (b, (1 + F) F / 2)
    first = keras.layers.Reshape((1, embeddings.output_dim))(bottom)
    features = keras.layers.Concatenate(axis=1)(
        [first, embeddings(categorical)]
    )
    products = DotInteraction(name="interaction")(features)
    joined = keras.layers.Concatenate()([bottom, products])
    top = mlp(joined, top_units, "top")
    # float32 also under a mixed policy, where a half-precision sigmoid would
    # round small probabilities away.
    probability = keras.layers.Dense(
        1,
        activation="sigmoid",
        kernel_initializer="glorot_normal",
        dtype="float32",
        name="probability",
    )(top)
    return keras.Model(
        {"dense": dense, "categorical": categorical}, probability, name=name
    )
