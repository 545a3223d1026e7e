"""What several layers hold: shared by their copies, or no copies."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss

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
    "clone_model": lambda model, path: keras.models.clone_model(model),
    "from_config": lambda model, path: keras.Model.from_config(
        model.get_config()
    ),
    "json": lambda model, path: keras.models.model_from_json(model.to_json()),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "keras": lambda model, path: saved(model, path / "model.keras"),
    "h5": lambda model, path: saved(model, path / "model.h5"),
}


@every_pair
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_of_models_share_what_the_model_shares(pair, way, tmp_path):
    model = model_of(pair())
    for _ in range(2):
        twin = COPIES[way](model, tmp_path)
        assert len(twin.weights) == len(model.weights)
        assert twin.count_params() == model.count_params()
        assert not {id(w) for w in twin.weights} & {
            id(w) for w in model.weights
        }
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        twin.predict(IDS, verbose=0), model.predict(IDS, verbose=0)
    )


@every_pair
def test_weights_are_saved_once(pair, tmp_path):
    model, other = model_of(pair()), model_of(pair())
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(
        other.predict(IDS, verbose=0), model.predict(IDS, verbose=0)
    )


@every_pair
@pytest.mark.parametrize("built", [False, True])
def test_copies_of_layers_share_among_each_other(pair, built):
    layers = pair()
    (part,) = {id(p): p for p in map(held, layers)}.values()
    if built:
        for layer in layers:
            layer.build()
    twins = copy.deepcopy({"part": part, "layers": layers})
    parts = [twins["part"], *map(held, twins["layers"])]
    assert all(found is parts[0] for found in parts)
    assert parts[0] is not part
    if built:
        for layer, twin in zip(layers, twins["layers"], strict=True):
            np.testing.assert_array_equal(
                ops.convert_to_numpy(twin(IDS)),
                ops.convert_to_numpy(layer(IDS)),
            )
    configs = [json.loads(json.dumps(x.get_config())) for x in layers]
    first, second = (
        [type(x).from_config(c) for x, c in zip(layers, configs, strict=True)]
        for _ in range(2)
    )
    assert held(first[0]) is held(first[1]) is not part
    assert held(second[0]) is held(second[1]) is not held(first[0])


def held(layer):
    return getattr(layer, layer.nested[0])


@pytest.mark.parametrize("way", COPIES)
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
    if way in ("deepcopy", "keras"):
        twin = COPIES[way](model, tmp_path)
        assert len(twin.weights) == len(model.weights)
        return
    with pytest.raises(
        ValueError,
        match=r"'outer' shares layer 'inner'.*copy.deepcopy\(model\).*Received",
    ):
        COPIES[way](model, tmp_path)


def test_a_pickled_layer_that_shares_is_refused():
    layers = bags()
    with pytest.raises(ValueError, match=r"'mean' shares layer .*Received"):
        pickle.dumps(layers)
    alone = on_a_memory()[:1]
    assert len(pickle.loads(pickle.dumps(alone))) == 1


@pytest.mark.parametrize("make", [bags, on_a_memory, hot_and_bag, filters])
def test_configs_of_what_is_not_shared_are_equal(make):
    configs = []
    for _ in range(2):
        keras.utils.clear_session()
        configs.append(make()[0].get_config())
    assert configs[0] == configs[1]
    assert "shared_object_id" not in json.dumps(configs[0])


def test_configs_written_by_hand():
    inner = keras_pss.QREmbedding(50, 4, num_buckets=7)
    config = {"input_dim": 5, "output_dim": 4, "memory_size": 30}
    assert keras_pss.ROBEEmbedding.from_config(config).memory_size == 30
    for embedding in inner, keras.saving.serialize_keras_object(inner):
        bag = keras_pss.EmbeddingBag.from_config({"embedding": embedding})
        assert bag.embedding.num_buckets == 7
    with pytest.raises(TypeError, match=r"missing.* 'embedding'"):
        keras_pss.EmbeddingBag.from_config({})
