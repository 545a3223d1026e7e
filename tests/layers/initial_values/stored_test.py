"""Files of layers whose initializer is refused today still load."""

import copy
import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss

MEAN = {
    "module": "keras.initializers",
    "class_name": "RandomNormal",
    "config": {"mean": 1.0, "stddev": 0.1, "seed": None},
    "registered_name": None,
}


def with_initializer(content, wanted):
    """The same JSON with other initializers of embeddings."""
    if isinstance(content, list):
        return [with_initializer(each, wanted) for each in content]
    if not isinstance(content, dict):
        return content
    return {
        name: wanted
        if name == "embeddings_initializer"
        else with_initializer(value, wanted)
        for name, value in content.items()
    }


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras_pss.TTEmbedding(60, 12, rank=2),
        lambda: keras_pss.EmbeddingCollection([60, 9], 12, "tt", "2x"),
        lambda: keras_pss.EmbeddingBag(keras_pss.FPDEmbedding(60, 12, rank=2)),
        lambda: keras_pss.HotRows(keras_pss.TTEmbedding(60, 12, rank=2), 5),
        lambda: keras_pss.FrequencyFilter(
            keras_pss.EmbeddingCollection([60, 9], 12, "tt", "2x"), [60, 9]
        ),
    ],
    ids=["layer", "collection", "bag", "hot", "filter"],
)
def test_a_file_with_a_refused_initializer_loads_and_is_copied(layer, tmp_path):
    ids = keras.Input((2,), dtype="int32")
    model = keras.Model(ids, layer()(ids))
    given = np.array([[3, 8], [59, 0]], "int32")
    expected = model.predict(given % 9, verbose=0)
    model.save(tmp_path / "model.keras")
    old = tmp_path / "old.keras"
    with (
        zipfile.ZipFile(tmp_path / "model.keras") as source,
        zipfile.ZipFile(old, "w") as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                changed = with_initializer(json.loads(content), MEAN)
                content = json.dumps(changed).encode()
            target.writestr(name, content)
    with pytest.warns(UserWarning, match="refused today.*mean"):
        loaded = keras.saving.load_model(old)
    with pytest.warns(UserWarning, match="copied.*refused today.*mean"):
        copies = copy.deepcopy(loaded), copy.deepcopy(loaded.layers[-1])
    for found in loaded, *copies:
        rows = ops.convert_to_numpy(found(given % 9))
        np.testing.assert_array_equal(rows, expected)


def test_a_new_layer_is_refused_as_before():
    layer = keras_pss.TTEmbedding(
        60, 12, keras.initializers.RandomNormal(1.0, 0.1), rank=2
    )
    with pytest.raises(ValueError, match="mean other than zero"):
        layer.build()
