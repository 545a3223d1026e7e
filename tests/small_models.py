"""Small models with tables by position, and a batch for them."""

import numpy as np

import keras_pss

DIMS = (5, 6, 7, 8)
WIDE = ("DeepFM", "XDeepFM", "FiBiNET")
MODELS = ("DLRM", "DCN", "DCNv2", "AutoInt", *WIDE, "NeuralCF")
SMALL = {
    "DLRM": {"bottom_units": (6,), "top_units": (5,)},
    "AutoInt": {"num_attention": 1, "attention_units": 3},
    "XDeepFM": {"cross_units": (4, 3)},
}


def parts_of(name, dims, dim):
    def tables(width, label):
        return keras_pss.EmbeddingCollection(dims, width, "full", name=label)

    parts = {"embeddings": tables(dim, "embeddings")}
    if name in WIDE:
        parts["wide"] = tables(1, "wide")
    if name == "NeuralCF":
        parts["mlp_embeddings"] = tables(dim, "mlp_embeddings")
    return parts


def model_of(name, **arguments):
    """Small, with its dropout and l2 off unless they are asked for."""
    small = {"num_dense": 3, "dropout": 0.0, "l2": 0.0}
    small |= SMALL.get(name, {})
    if name != "DLRM":
        small["hidden_units"] = (6, 5)
    model = getattr(keras_pss.models, name)
    return model(**parts_of(name, DIMS, 4), **small | arguments)


def batch(size=5):
    random = np.random.RandomState(0)
    return {
        "dense": random.normal(size=(size, 3)).astype("float32"),
        "categorical": np.stack(
            [random.randint(0, n, size) for n in DIMS], axis=1
        ).astype("int32"),
    }
