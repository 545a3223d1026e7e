"""Layers that several layers hold: copies share them, or are refused."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss
from keras_pss.layers.base import sharing

IDS = np.array([[3, 49], [0, 3]], "int32")


def on_a_memory():
    memory = keras_pss.SharedMemory(100)
    return [
        keras_pss.ROBEEmbedding(50, 4, memory=memory, name="users"),
        keras_pss.ROBEEmbedding(60, 4, memory=memory, name="items"),
    ]


def bags():
    inner = keras_pss.QREmbedding(50, 4, num_buckets=7)
    return [
        keras_pss.EmbeddingBag(inner, "mean", name="mean"),
        keras_pss.EmbeddingBag(inner, name="sum"),
    ]


def hot_and_bag():
    inner = keras_pss.TTEmbedding(50, 4, rank=2)
    hot = keras_pss.HotRows(inner, 5)
    return [hot, keras_pss.EmbeddingBag(inner)]


def filters():
    inner = keras_pss.EmbeddingCollection([50, 40], 4, "hash", "2x")
    return [keras_pss.FrequencyFilter(inner, n) for n in ([50, 50], [60, 60])]


every_pair = pytest.mark.parametrize(
    "pair", [on_a_memory, bags, hot_and_bag, filters]
)


def model_of(layers):
    ids = keras.Input((2,), dtype="int32")
    rows = [keras.layers.Flatten()(layer(ids)) for layer in layers]
    return keras.Model(ids, keras.layers.Concatenate()(rows))


def saved(model, path):
    model.save(path)
    return keras.saving.load_model(path)


COPIES = {
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "keras": lambda model, path: saved(model, path / "model.keras"),
}
COPIES_BY_CONFIG = {
    "clone_model": lambda model, path: keras.models.clone_model(model),
    "from_config": lambda model, path: keras.Model.from_config(
        model.get_config()
    ),
    "json": lambda model, path: keras.models.model_from_json(model.to_json()),
    "h5": lambda model, path: saved(model, path / "model.h5"),
}
every_way = pytest.mark.parametrize("way", COPIES)
every_way_by_config = pytest.mark.parametrize("way", COPIES_BY_CONFIG)


@every_pair
@every_way
def test_copies_of_models_share_what_the_model_shares(pair, way, tmp_path):
    model = model_of(pair())
    for _ in range(2):
        twin = COPIES[way](model, tmp_path)
        assert len(twin.weights) == len(model.weights)
        assert twin.count_params() == model.count_params()
        assert not {id(w) for w in twin.weights} & {
            id(w) for w in model.weights
        }
        # No graphs: each copy would be compiled for itself.
        np.testing.assert_array_equal(
            ops.convert_to_numpy(twin(IDS)), ops.convert_to_numpy(model(IDS))
        )


@every_pair
@every_way_by_config
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_by_config_are_refused(pair, way, tmp_path):
    layers = pair()
    nested = nested_of(layers[0])
    expected = "|".join(
        f"'{layer.name}' shares layer '{nested.name}', which is also held by "
        rf"'{other.name}'\. A copy .*copy.deepcopy\(model\)`.*`.keras` file.*"
        rf"Received: get_config\(\) of layer '{layer.name}'"
        for layer, other in (layers, reversed(layers))
    )
    model = model_of(layers)
    with pytest.raises(ValueError, match=expected):
        COPIES_BY_CONFIG[way](model, tmp_path)
    with pytest.raises(ValueError, match="which is also held by"):
        layers[1].get_config()


@every_pair
@every_way_by_config
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_by_config_share_with_no_other_copy(pair, way, tmp_path):
    """Once the other holder is deleted, nothing is shared."""
    layer = pair()[0]
    model = model_of([layer])
    stray = type(layer).from_config(layer.get_config())
    twins = [COPIES_BY_CONFIG[way](model, tmp_path) for _ in range(2)]
    found = [stray, *(twin.get_layer(layer.name) for twin in twins), layer]
    assert len({id(nested_of(each)) for each in found}) == 4
    assert [len(twin.weights) for twin in twins] == [len(model.weights)] * 2


def test_a_layer_shared_at_any_depth_is_refused():
    inner = keras_pss.QREmbedding(50, 4, num_buckets=7, name="inner")
    hot = keras_pss.HotRows(inner, 5, name="hot")
    outer = keras_pss.EmbeddingBag(hot, name="outer")
    beside = keras_pss.EmbeddingBag(inner, name="beside")
    for layer, name in (outer, "hot"), (beside, "beside"):
        with pytest.raises(ValueError, match=f"'{name}' shares layer 'inner'"):
            layer.get_config()
    twins = copy.deepcopy([beside, outer])
    assert twins[0].embedding is twins[1].embedding.embedding is not inner


@every_pair
def test_weights_are_saved_once(pair, tmp_path):
    model, other = model_of(pair()), model_of(pair())
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(other(IDS)), ops.convert_to_numpy(model(IDS))
    )


@every_pair
@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda given: pickle.loads(pickle.dumps(given))]
)
def test_copies_of_layers_share_among_each_other(pair, built, copied):
    layers = pair()
    if built:
        for layer in layers:
            layer.build()
    twins = copied(layers)
    assert nested_of(twins[0]) is nested_of(twins[1])
    assert nested_of(twins[0]) is not nested_of(layers[0])
    assert [twin.built for twin in twins] == [built] * 2
    if built:
        for layer, twin in zip(layers, twins, strict=True):
            np.testing.assert_array_equal(
                ops.convert_to_numpy(twin(IDS)),
                ops.convert_to_numpy(layer(IDS)),
            )


@every_pair
def test_a_shallow_copy_is_independent_as_of_any_keras_layer(pair):
    layer = pair()[0]
    layer.build()
    twin = copy.copy(layer)
    expected = ops.convert_to_numpy(layer(IDS))
    np.testing.assert_array_equal(ops.convert_to_numpy(twin(IDS)), expected)
    for weight in twin.weights:
        weight.assign(ops.zeros(weight.shape, weight.dtype))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(IDS)), expected)


@every_pair
def test_a_nested_layer_is_copied_once_beside_its_holders(pair):
    layers = pair()
    nested = nested_of(layers[0])
    twins = copy.deepcopy({"nested": nested, "layers": layers})
    for twin in twins["layers"]:
        assert nested_of(twin) is twins["nested"]
    assert twins["nested"] is not nested


def nested_of(layer):
    return getattr(layer, layer.nested[0])


@pytest.mark.parametrize("way", [*COPIES, *COPIES_BY_CONFIG])
@pytest.mark.parametrize("outer", ["bag", "hot"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_layer_beside_its_holder_stays_shared_or_is_refused(
    way, outer, tmp_path
):
    inner = keras_pss.QREmbedding(50, 4, num_buckets=7, name="inner")
    holder = {
        "bag": lambda: keras_pss.EmbeddingBag(inner, name="outer"),
        "hot": lambda: keras_pss.HotRows(inner, 5, name="outer"),
    }[outer]()
    model = model_of([inner, holder])
    if way in COPIES:
        twin = COPIES[way](model, tmp_path)
        assert len(twin.weights) == len(model.weights)
        return
    with pytest.raises(
        ValueError,
        match=r"'outer' shares layer 'inner', which is also called directly "
        r".*even if that is deleted.*copy.deepcopy\(model\).*Received",
    ):
        COPIES_BY_CONFIG[way](model, tmp_path)


def test_an_error_names_all_other_uses():
    inner = keras_pss.QREmbedding(50, 4, num_buckets=7, name="inner")
    bags = [keras_pss.EmbeddingBag(inner, name=name) for name in "cab"]
    inner(keras.Input((2,), dtype="int32"))
    with pytest.raises(
        ValueError, match=r"also held by 'a', 'b' and also called directly \("
    ):
        bags[0].get_config()


def test_garbage_is_collected_only_before_an_error(monkeypatch, tmp_path):
    collections = []
    monkeypatch.setattr(sharing.gc, "collect", lambda: collections.append(0))
    layers = on_a_memory()
    model = model_of(layers)
    buffer = pickle.dumps(layers)
    model.save(tmp_path / "model.keras")
    twins = copy.deepcopy(layers), pickle.loads(buffer)
    hot_and_bag()[0].embedding.get_config()
    assert len(twins) == 2
    assert not collections
    with pytest.raises(ValueError, match="shares layer"):
        keras.models.clone_model(model)
    assert len(collections) == 1


def test_a_copy_computes_no_config_of_nested_layers(monkeypatch):
    calls = []
    layers = on_a_memory()
    memory = layers[0].memory
    monkeypatch.setattr(
        type(memory), "get_config", lambda self: calls.append(self)
    )
    twin = keras_pss.SharedMemory(100)
    twins = copy.deepcopy(layers, {id(memory): twin})
    assert not calls
    assert [layer.memory for layer in twins] == [twin, twin]


@pytest.mark.parametrize("make", [bags, on_a_memory, hot_and_bag, filters])
def test_configs_of_what_is_not_shared_are_equal(make):
    configs = []
    for _ in range(2):
        keras.utils.clear_session()
        layer = make()[0]  # the other layer is deleted
        configs.append(layer.get_config())
    assert configs[0] == configs[1]
    assert "shared_object_id" not in json.dumps(configs[0])


def test_configs_written_by_hand():
    inner = keras_pss.QREmbedding(50, 4, num_buckets=7)
    config = {"input_dim": 5, "output_dim": 4, "memory_size": 30}
    assert keras_pss.ROBEEmbedding.from_config(config).memory_size == 30
    for embedding in inner, keras.saving.serialize_keras_object(inner):
        bag = keras_pss.EmbeddingBag.from_config({"embedding": embedding})
        assert bag.embedding.num_buckets == 7
    config = keras.saving.serialize_keras_object(inner)
    with pytest.raises(ValueError, match=r"development version.*Received.*=1"):
        keras_pss.EmbeddingBag.from_config(
            {"embedding": {**config, "holder": 1}}
        )
    with pytest.raises(TypeError, match=r"missing.* 'embedding'"):
        keras_pss.EmbeddingBag.from_config({})
