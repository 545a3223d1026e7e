"""No argument of a wrong type or size gets past a constructor.

Each argument of each public layer, model and factory is given each of the
wrong values; what comes out is a layer, for a value that can be meant, or a
ValueError that names the argument and the value and is no longer than a
screen.
"""

import gc
import inspect
import tracemalloc

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.layers.embedding.methods import METHODS

VALUES = {
    "none": None,
    "true": True,
    "zero": 0,
    "negative": -3,
    "float": 2.5,
    "nan": float("nan"),
    "text": "1x",
    "empty": "",
    "bytes": b"robe",
    "numpy": np.int64(5),
    "array": np.arange(3),
    "list": ["a"],
    "nested": [[2, 3]],
    "mixed": [2, True, 2.0],
    "huge_list": [10**400] * 3,
    "dict": {"a": []},
    "set": {3},
    "object": object(),
    "class": int,
    "int32": 2**31 - 1,
    "huge": 10**5000,
    "long": "x" * 10**6,
}
# A model takes tens of milliseconds where it takes the value.
OF_MODELS = {"none", "float", "text", "mixed", "dict", "object", "huge", "long"}
# Keras' own: it checks them.
KERAS = {"name", "dtype", "trainable", "kwargs", "self"}


def tables(width=4):
    return keras_pss.EmbeddingCollection([50, 60], width, "hash", "2x")


def named_tables():
    return keras_pss.EmbeddingCollection({"a": 50}, 4, "hash", "2x")


def embedding():
    return keras_pss.HashedEmbedding(50, 4, num_buckets=9)


LAYERS = {
    keras_pss.FullEmbedding: {},
    keras_pss.ROBEEmbedding: {"memory_size": 40},
    keras_pss.TTEmbedding: {"rank": 2},
    keras_pss.TensorRingEmbedding: {"rank": 2},
    keras_pss.QREmbedding: {"num_buckets": 9},
    keras_pss.HashedEmbedding: {"num_buckets": 9},
    keras_pss.FPDEmbedding: {"rank": 2},
    keras_pss.MEMComEmbedding: {"num_buckets": 9},
    keras_pss.MixedDimensionEmbedding: {"inner_dim": 2},
    keras_pss.SketchEmbedding: {"num_buckets": 9},
    keras_pss.QuantizedEmbedding: {},
    keras_pss.DeepHashEmbedding: {"hidden_units": (3,)},
    keras_pss.ClusteredEmbedding: {"num_clusters": 5, "num_columns": 2},
}
MODELS = ["DLRM", "DCN", "DCNv2", "DeepFM", "AutoInt", "XDeepFM", "FiBiNET"]


def cases():
    """(id, constructor, its valid arguments), made anew for each try."""
    for cls, own in LAYERS.items():
        given = {"input_dim": 50, "output_dim": 4, **own}
        yield cls.__name__, cls, lambda given=given: given
    yield (
        "SharedMemory",
        keras_pss.SharedMemory,
        lambda: {"memory_size": 40},
    )
    yield (
        "EmbeddingCollection",
        keras_pss.EmbeddingCollection,
        lambda: {
            "input_dims": [50, 60],
            "output_dim": 4,
            "method": "hash",
            "budget": "2x",
        },
    )
    yield (
        "NamedCollection",
        keras_pss.EmbeddingCollection,
        lambda: {
            "input_dims": {"a": 50, "b": 60},
            "output_dim": 4,
            "method": "hash",
            "budget": "2x",
            "features": {"x": "a", "y": "b"},
            "dense": ["z"],
        },
    )
    yield "TableConfig", keras_pss.TableConfig, lambda: {"input_dim": 50}
    yield "FeatureConfig", keras_pss.FeatureConfig, lambda: {"table": "a"}
    yield (
        "HotRows",
        keras_pss.HotRows,
        lambda: {"embedding": embedding(), "capacity": 3},
    )
    yield (
        "EmbeddingBag",
        keras_pss.EmbeddingBag,
        lambda: {"embedding": embedding()},
    )
    yield (
        "FrequencyFilter",
        keras_pss.FrequencyFilter,
        lambda: {"embeddings": tables(), "input_dims": [50, 60]},
    )
    yield (
        "NamedFilter",
        keras_pss.FrequencyFilter,
        lambda: {"embeddings": named_tables(), "input_dims": {"a": 50}},
    )
    for cls in (
        keras_pss.BilinearInteraction,
        keras_pss.FieldAttention,
        keras_pss.MatrixCross,
        keras_pss.SqueezeExcitation,
    ):
        yield cls.__name__, cls, dict
    yield (
        "CompressedInteraction",
        keras_pss.CompressedInteraction,
        lambda: {"units": [4, 4]},
    )
    for name in MODELS:
        yield name, getattr(keras_pss.models, name), model_arguments(name)
    yield (
        "NeuralCF",
        keras_pss.models.NeuralCF,
        lambda: {"embeddings": tables(), "mlp_embeddings": tables()},
    )
    for method in METHODS:
        yield (
            f"embedding-{method}",
            keras_pss.embedding,
            lambda method=method: {
                "input_dim": 500,
                "output_dim": 4,
                "method": method,
                "budget": "1.5x",
            },
        )


def model_arguments(name):
    make = getattr(keras_pss.models, name)
    wide = "wide" in inspect.signature(make).parameters

    def arguments():
        parts = {"embeddings": tables(), "num_dense": 2}
        return {**parts, "wide": tables(1)} if wide else parts

    return arguments


def is_model(make):
    return make.__module__.startswith("keras_pss.models")


CASES = list(cases())


def refused(make, arguments, name, value):
    """The error's text for a value, or None if it is taken."""
    given = {**arguments, name: value}
    try:
        make(**given)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("make", "arguments"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_wrong_values_are_value_errors_that_name_the_argument(make, arguments):
    names = set(inspect.signature(make).parameters) - KERAS
    wrong = []
    for name in sorted(names):
        for kind, value in VALUES.items():
            if is_model(make) and kind not in OF_MODELS:
                continue
            try:
                text = refused(make, arguments(), name, value)
            except Exception as error:
                wrong.append((name, kind, repr(error)[:150]))
                continue
            if text is None:
                continue
            if name not in text or len(text) > 2000 or "Received" not in text:
                wrong.append((name, kind, text[:150]))
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    assert not wrong, "\n".join(map(str, wrong))


# Arguments that hold a size whatever the class.
SIZES = ("input_dim", "output_dim", "rank", "num_buckets", "capacity", "seed")


@pytest.mark.parametrize(
    ("make", "arguments"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_what_cannot_be_meant_is_refused(make, arguments):
    """Booleans, words and sizes: an attribute would hold it until a call."""
    parameters = inspect.signature(make).parameters
    for name, parameter in parameters.items():
        if name in KERAS or name == "embeddings_initializer":
            continue
        sized = name in SIZES or isinstance(parameter.default, bool | str)
        if not sized or parameter.default == "linear":
            continue
        for kind in ("float", "bytes", "set", "object", "nested"):
            text = refused(make, arguments(), name, VALUES[kind])
            assert text is not None, (name, kind)


def test_an_unknown_name_is_a_type_error_as_in_keras():
    for _, make, arguments in CASES[:3]:
        with pytest.raises((TypeError, ValueError), match="speed"):
            make(**arguments(), speed=3)


def test_a_word_as_size_is_refused_before_it_is_multiplied():
    tracemalloc.start()
    with pytest.raises(ValueError, match="`output_dim` must be a positive"):
        keras_pss.embedding(2147483647, "mean", method="tt", budget="10x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    for row_shape in (True, 3, "cube", {2: 3}):
        with pytest.raises(ValueError, match="`row_shape` must be"):
            keras_pss.TTEmbedding(50, 4, rank=2, row_shape=row_shape)
    for method in ([], {}, None, np.arange(3), "rob", 3):
        with pytest.raises(ValueError, match="`method` must be one of 'full'"):
            keras_pss.embedding(50, 4, method=method)
