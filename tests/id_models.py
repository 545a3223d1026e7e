"""Models of three columns, and batches of ids for them."""

import keras
import numpy as np
import pytest

import keras_pss

BACKEND = keras.backend.backend()
# Other backends would import PyTorch for its loaders, which takes long: one
# process does.
SLOW_BUT_ON_TORCH = (
    []
    if BACKEND == "torch"
    else [pytest.mark.slow, pytest.mark.xdist_group("torch")]
)


DIMS = (1000, 500, 12)
GOOD = np.array([[7, 5, 3], [5, 5, 5]])


def tables(dim=4, **kwargs):
    return keras_pss.EmbeddingCollection(DIMS, dim, budget="10x", **kwargs)


def model_of(name="DCN", embeddings=None, jit_compile="auto"):
    parts = [tables() if embeddings is None else embeddings]
    if name in ("DeepFM", "XDeepFM", "FiBiNET"):
        parts.append(tables(1, name="wide"))
    if name == "NeuralCF":
        parts.append(tables(name="mlp_embeddings"))
    widths = {"hidden_units": (3,)}
    if name == "DLRM":
        widths = {"bottom_units": (3,), "top_units": (3,)}
    model = getattr(keras_pss.models, name)(*parts, num_dense=2, **widths)
    model.compile("sgd", "binary_crossentropy", jit_compile=jit_compile)
    return model


def batch(ids):
    return {"dense": np.zeros((len(ids), 2), "float32"), "categorical": ids}


def errors():
    if BACKEND == "torch":
        return (ValueError,)
    tf = pytest.importorskip("tensorflow")
    return (ValueError, tf.errors.InvalidArgumentError)
