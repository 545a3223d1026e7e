"""What an older version saved loads, and gives the same bits.

The files are in tests/golden; make_golden.py there says how they were made.
Only public names are used, so that modules may move.
"""

import gc
import json

import golden_files
import keras
import numpy as np
import pytest
from golden_files import (
    SAVED,
    arrays,
    manifest,
    read_json,
    same,
    same_variables,
    signed,
    unpacked,
)
from keras import ops

import keras_pss

SETS = sorted(
    path.name.removesuffix("_int8.keras") for path in SAVED.glob("*_int8.keras")
)
# Packed, the models have the tables of `dlrm` and layers of Keras.
ALIKE = ("autoint", "dcn", "dcnv2", "deepfm", "fibinet", "neuralcf", "xdeepfm")
every_file = pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, "float") for name in SETS),
        *(
            pytest.param(
                *(name, "int8"),
                marks=pytest.mark.slow if name in ALIKE else [],
            )
            for name in SETS
        ),
    ],
)
every_set = pytest.mark.parametrize("name", SETS)
TF = keras.backend.backend() == "tensorflow"


def stem(name, form):
    return SAVED / (name if form == "float" else f"{name}_int8")


def loaded(name, form):
    return keras.saving.load_model(f"{stem(name, form)}.keras")


def weights_file(name, form, folder):
    packed = stem(name, form)
    return unpacked(packed.with_name(f"{packed.name}.weights.h5"), folder)


def check_outputs(model, name, form):
    """Rows that are gathered have equal bits, all others all but the last."""
    path = SAVED / f"{name}.npz"
    expected = arrays(path, f"{form}/")
    found = golden_files.outputs(model, arrays(path, "in/"))
    assert set(found) == set(expected)
    exact = read_json(SAVED / f"{name}.json")["exact"]
    for key, value in expected.items():
        same(found[key], value, TF and key in exact, f"{name} {form} {key}")


@pytest.fixture
def frozen():
    """Keras collects garbage for each variable that it deletes."""
    gc.freeze()
    yield
    gc.unfreeze()


@every_file
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_a_file_gives_the_same_model(name, form, tmp_path, frozen):
    """A `.keras` file; then one of weights fills what was emptied."""
    model = loaded(name, form)
    stored = read_json(SAVED / f"{name}.json")[form]
    same_variables(model.weights, stored)
    check_outputs(model, name, form)
    for weight in model.weights:
        weight.assign(ops.zeros(weight.shape, weight.dtype))
    model.load_weights(weights_file(name, form, tmp_path))
    same_variables(model.weights, stored)
    if form == "float" and name not in ALIKE:
        check_packing(model, name)


def check_packing(model, name):
    """The int8 twin is the same if it is made again of the float weights."""
    model.quantize("int8")
    found = signed(manifest(model.weights))
    stored = signed(read_json(SAVED / f"{name}.json")["int8"])
    # A file's model has them in the order of its layers' building.
    assert sorted(row[1:] for row in found) == sorted(row[1:] for row in stored)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_packing_gives_the_stored_bits(name, frozen):
    check_packing(loaded(name, "float"), name)


# Keras keeps what two layers share in files alone.
SHARING = ("bags", "layers")


@every_set
def test_a_stored_config_keeps_its_keys_and_weights(name, tmp_path):
    """A new object of a config, not one of a file."""
    stored = read_json(SAVED / f"{name}.json")
    model = keras.saving.deserialize_keras_object(stored["config"])
    twin = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    check_kept(twin, stored["config"], name)
    if name not in SHARING:
        model.load_weights(weights_file(name, "float", tmp_path))
        same_variables(model.weights, stored["float"])


def check_kept(found, stored, where):
    """All that was stored is there with its value; more may be there.

    A module's name is where a class is today, and the number of a shared
    object is that of a place in memory.
    """
    if isinstance(stored, dict):
        for key, value in stored.items():
            if key not in ("module", "shared_object_id"):
                assert key in found, f"{where}/{key}"
                check_kept(found[key], value, f"{where}/{key}")
    elif isinstance(stored, list):
        assert len(found) == len(stored), where
        for index, value in enumerate(stored):
            check_kept(found[index], value, f"{where}/{index}")
    else:
        assert found == stored, where


CONFIGS = read_json(SAVED / "configs.json")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_keeps_its_keys(name):
    stored = CONFIGS[name]
    if "WarmupDecay" in stored["class_name"]:
        pytest.importorskip("tensorflow")
        import keras_pss.training  # noqa: F401
    value = keras.saving.deserialize_keras_object(stored)
    found = keras.saving.serialize_keras_object(value)
    check_kept(json.loads(json.dumps(found)), stored, name)


def registered(config):
    """Names of the package's classes in a config, at any depth."""
    if isinstance(config, list):
        return set().union(*map(registered, config))
    if not isinstance(config, dict):
        return set()
    package, _, name = str(config.get("registered_name")).partition(">")
    found = {name} if package == "keras_pss" else set()
    return found.union(*map(registered, config.values()))


def test_no_class_has_lost_its_name():
    """Those that are new get sets before a release; see make_golden.py."""
    stored = registered([read_json(path) for path in SAVED.glob("*.json")])
    assert len(stored) > 25
    assert stored - {"WarmupDecay"} <= set(golden_files.public_classes())


@pytest.mark.tf_only
def test_a_trained_model_goes_on():
    """Its optimizer's state and its schedule were saved as well."""
    import keras_pss.training  # noqa: F401

    stored = read_json(SAVED / "trained.json")
    model = keras.saving.load_model(SAVED / "trained.keras")
    same_variables(model.weights, stored["weights"])
    same_variables(model.optimizer.variables, stored["optimizer"])
    compiled = json.loads(json.dumps(model.get_compile_config()))
    check_kept(compiled, stored["compile"], "compile")
    schedule = model.optimizer._learning_rate
    rates = [float(schedule(step)) for step in range(25)]
    np.testing.assert_allclose(rates, stored["rates"], rtol=1e-6, atol=1e-9)
    given = arrays(SAVED / "trained.npz", "in/")
    with np.load(SAVED / "trained.npz") as file:
        labels, expected = file["labels"], file["output"]
    same(model(given), expected, exact=False)
    assert model.optimizer.iterations == 3
    model.train_on_batch(given, labels)
    assert model.optimizer.iterations == 4


@pytest.mark.tf_only
@pytest.mark.parametrize(
    "path", sorted(SAVED.glob("exported_*")), ids=lambda path: path.name
)
def test_a_saved_model_answers(path):
    import tensorflow as tf

    name = path.name.removeprefix("exported_")
    served = tf.saved_model.load(str(path))
    given = arrays(SAVED / "exported.npz", f"{name}/in/")
    features = {key: tf.constant(value) for key, value in given.items()}
    (expected,) = arrays(SAVED / "exported.npz", f"{name}/out").values()
    same(served.serve(features), expected, exact=False)
    features["ids" if "ids" in given else "categorical"] *= -1000
    with pytest.raises(tf.errors.InvalidArgumentError, match="integers"):
        served.serve(features)


def test_the_names_of_the_package_are_all_there():
    """Those that the files and this test use."""
    for name in ("DLRM", "DCN", "DCNv2", "AutoInt", "DeepFM", "XDeepFM"):
        assert callable(getattr(keras_pss.models, name))
    assert callable(keras_pss.models.FiBiNET)
    assert callable(keras_pss.models.NeuralCF)
