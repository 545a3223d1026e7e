"""Composites of which `model.quantize` packed some parts, and their copies."""

import copy
import itertools
import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss
from keras_pss import keras_internals

DIMS = [300, 4]
IDS = np.array([[1, 2], [0, 3], [299, 0]], "int32")


def tensor_train():
    return keras_pss.TTEmbedding(DIMS[0], 4, rank=2)


def collection(method="tt"):
    return keras_pss.EmbeddingCollection(DIMS, 8, method, "4x")


def on_a_memory():
    memory = keras_pss.SharedMemory(100)
    return keras_pss.ROBEEmbedding(DIMS[0], 4, memory=memory)


COMPOSITES = {
    "robe": lambda: collection("robe"),
    "tt": collection,
    "hot_rows": lambda: collection("hot_rows"),
    "filter": lambda: keras_pss.FrequencyFilter(collection(), DIMS),
    "hot": lambda: keras_pss.HotRows(tensor_train(), 5),
    "bag": lambda: keras_pss.EmbeddingBag(tensor_train()),
    "bag_of_hot": lambda: keras_pss.EmbeddingBag(
        keras_pss.HotRows(on_a_memory(), 5)
    ),
    "memory": on_a_memory,
}
every_composite = pytest.mark.parametrize("name", COMPOSITES)


def partly_packed(name):
    """Models in which one layer is packed alone, or all but that one."""
    layers = list(keras_internals.all_layers(COMPOSITES[name]()))
    for place, alone in itertools.product(range(len(layers)), (True, False)):
        layer = COMPOSITES[name]()
        chosen = list(keras_internals.all_layers(layer))[place]
        ids = keras.Input(IDS.shape[1:], dtype="int32")
        model = keras.Model(ids, layer(ids))
        model.quantize(
            "int8",
            filters=lambda each, chosen=chosen, alone=alone: (
                (each is chosen) == alone
            ),
        )
        yield layer, model


def forms(layer):
    return sorted((tuple(w.shape), w.dtype) for w in layer.weights)


@every_composite
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_have_the_packed_parts_and_equal_bits(name, tmp_path):
    mixed = 0
    for layer, model in partly_packed(name):
        rows = ops.convert_to_numpy(layer(IDS))
        model.save(tmp_path / "model.keras")
        twins = [
            keras.saving.load_model(tmp_path / "model.keras").layers[-1],
            copy.deepcopy(layer),
        ]
        for twin in twins:
            assert forms(twin) == forms(layer)
            np.testing.assert_array_equal(ops.convert_to_numpy(twin(IDS)), rows)
            assert twin.get_config() == layer.get_config()
        config = json.loads(json.dumps(layer.get_config()))
        fresh = type(layer).from_config(config)
        fresh.build()
        assert forms(fresh) == forms(layer)
        mixed += len({dtype for _, dtype in forms(layer)}) > 1
    assert mixed


@every_composite
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_filters_decide_for_each_part_alone(name):
    """Whether or not the layers that hold the part are excluded too."""
    count = len(list(keras_internals.all_layers(COMPOSITES[name]())))
    for place, holders in itertools.product(range(count), (True, False)):
        layer = COMPOSITES[name]()
        parts = list(keras_internals.all_layers(layer))
        chosen = parts[place]
        excluded = [chosen, *(parts[:1] if holders else [])]
        ids = keras.Input(IDS.shape[1:], dtype="int32")
        model = keras.Model(ids, layer(ids))
        model.quantize(
            "int8",
            filters=lambda each, excluded=excluded: (
                not any(each is x for x in excluded)
            ),
        )
        for part in parts:
            alone = len(list(keras_internals.all_layers(part))) == 1
            packed = alone and part is not chosen
            assert (part.quantization_mode == "int8") == packed


@pytest.mark.parametrize("method", ["robe", "tt", "hot_rows"])
def test_only_a_partly_packed_collection_lists_policies(method):
    """Configs of all others are those that older versions wrote."""
    layer = collection(method)
    assert "part_dtypes" not in layer.get_config()
    layer.build()
    layer.parts()[0].quantize("int8")
    config = layer.get_config()
    assert config["dtype"]["config"]["name"] == "float32"
    policies = map(keras.dtype_policies.get, config["part_dtypes"])
    names = {policy.name for policy in policies}
    assert names == {"float32", "int8_from_float32"}
    layer.quantize("int8")
    config = layer.get_config()
    assert "part_dtypes" not in config
    policy = keras.dtype_policies.get(config["dtype"])
    assert policy.name == "int8_from_float32"
