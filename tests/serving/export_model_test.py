"""Exports in every format: equal to Keras, or refused and nothing written."""

import json

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.serving import export_formats as exporting
from keras_pss.serving.check_rows import ROWS, check_rows, id_limits
from keras_pss.serving.export_formats import FORMATS, export_model
from keras_pss.serving.formats import litert, onnx, openvino
from keras_pss.serving.formats.portable import NumberRules
from keras_pss.serving.saved_model import export_saved_model
from keras_pss.serving.warm_up import FILE, SIZES, _prediction_log

pytestmark = [
    pytest.mark.tf_only,
    # Converters use what NumPy and Python deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
MODULES = {"litert": litert, "onnx": onnx, "openvino": openvino}
METHODS = (
    "full",
    "robe",
    "tt",
    "qr",
    "hash",
    "fpd",
    "memcom",
    "mixed_dimension",
    "tensor_ring",
    "sketch",
    "quantized",
    "deep_hash",
    "clustered",
    "popularity",
    "hot_rows",
)
HUGE = (3, 50, 2**25 + 7)


def model_of(method="robe", sizes=(3, 50, None), budget=400, **more):
    keras.utils.set_random_seed(1)
    tables = keras_pss.EmbeddingCollection(
        list(sizes), 4, method, budget=budget, **more
    )
    model = keras_pss.models.DLRM(tables, 2, bottom_units=(), top_units=(4,))
    for weight in model.trainable_variables:
        weight.assign(weight * 3)
    return model


@pytest.fixture(scope="module")
def robe():
    return model_of()


def score(form, path):
    """The probabilities of an export for a dictionary of arrays."""
    import tensorflow as tf

    if form != "tf_saved_model":
        return MODULES[form].load(path)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    return lambda rows: serve(**rows)["probability"].numpy()


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_equals_keras(robe, form, tmp_path):
    path = export_model(robe, tmp_path / "shop" / "1", form)
    rows = check_rows(robe, seed=7)  # others than those of the check
    assert rows["categorical"].max() == 2**31 - 2
    wanted = robe.predict(rows, batch_size=ROWS, verbose=0)[:, 0]
    assert wanted.std() > 0.05
    call = score(form, path)
    np.testing.assert_allclose(call(rows), wanted, atol=1e-5)
    few = {name: x[:3] for name, x in rows.items()}
    np.testing.assert_allclose(call(few), wanted[:3], atol=1e-5)
    card = json.loads((path / "model_card.json").read_text())
    assert card["format"] == form
    assert card["checked"]["largest_difference_from_keras"] < 1e-5
    columns = card["inputs"][
        [x["name"] for x in card["inputs"]].index("categorical")
    ]["columns"]
    assert [c["ids"] for c in columns] == [3, 50, 2**31 - 1]
    assert (
        "`categorical` | int32 | (batch, 3)" in (path / "README.md").read_text()
    )


@pytest.mark.parametrize("form", MODULES)
def test_named_tables_lists_and_weights(form, tmp_path):
    tables = keras_pss.EmbeddingCollection(
        {"user": 5000, "item": 900, "day": 7},
        4,
        "robe",
        budget=600,
        features={
            "user": "user",
            "viewed": keras_pss.FeatureConfig("item", 5, weighted=True),
            "item": "item",
            "day": "day",
        },
    )
    model = keras_pss.models.DCN(tables, hidden_units=(4,))
    path = export_model(model, tmp_path / "m", form)
    rows = check_rows(model, seed=7)
    wanted = model.predict(rows, batch_size=ROWS, verbose=0)[:, 0]
    call = score(form, path)
    np.testing.assert_allclose(call(rows), wanted, atol=1e-5)
    for wrong in (900, -2):
        ids = rows["viewed"].copy()
        ids[1, 0] = wrong
        found = call({**rows, "viewed": ids})
        assert np.flatnonzero(np.isnan(found)).tolist() == [1]


@pytest.mark.parametrize("form", ["litert", "onnx"])
def test_logarithms_of_raw_numbers(form, tmp_path):
    import tensorflow as tf

    from keras_pss.serving.endpoints import traced

    rules = NumberRules(
        ("a", "b"),
        np.array([3, 0.5], "f4"),
        np.array([-1e38, -2], "f4"),
        np.array([1e38, 2], "f4"),
        np.array([True, False]),
        np.array([1, 0], "f4"),
        np.array([2, 0], "f4"),
    )
    spec = {"numbers": tf.TensorSpec((None, 2), name="numbers")}
    call = traced(
        lambda given: {
            "probability": tf.reduce_sum(rules(given["numbers"]), 1)
        },
        spec,
    )
    MODULES[form].write(call, tmp_path, 0)
    nan = np.nan
    numbers = [[0, 0], [nan, nan], [1e6, 9], [1e-4, -9], [2**25 + 1, 1]]
    found = MODULES[form].load(tmp_path)({"numbers": np.array(numbers, "f4")})
    logs = np.log1p([0, 3, 1e6, 1e-4, 2**25 + 1])
    wanted = (logs - 1) / 2 + [0, 0.5, 2, -2, 1]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", MODULES)
def test_ids_out_of_range_are_nan(robe, form, tmp_path):
    call = score(form, export_model(robe, tmp_path / "m", form))
    rows = {name: x[:2] for name, x in check_rows(robe).items()}
    for wrong in (50, 2**24 + 1, -1, -(2**31)):
        ids = rows["categorical"].copy()
        ids[0, 1] = wrong
        found = call({**rows, "categorical": ids})
        assert np.isnan(found).tolist() == [True, False], wrong


@pytest.mark.parametrize("form", ["litert", "onnx"])
def test_large_ids_are_divided_exactly(form, tmp_path):
    model = model_of("qr", HUGE, "1000x")
    path = export_model(model, tmp_path / "m", form)
    rows = check_rows(model, seed=7)
    wanted = model.predict(rows, batch_size=ROWS, verbose=0)[:, 0]
    np.testing.assert_allclose(score(form, path)(rows), wanted, atol=1e-5)


def test_a_runtime_that_rounds_ids_is_refused(tmp_path):
    model = model_of("qr", HUGE, "1000x")
    with pytest.raises(
        ValueError,
        match=r"openvino cannot hold this model exactly: it computes Divide.*"
        r"of integers in float32, which does not give the exact quotient of "
        r"all ids. Nothing was written. Try another format: tf_saved_model",
    ):
        export_model(model, tmp_path / "m", "openvino")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", FORMATS)
def test_other_probabilities_are_refused(robe, form, tmp_path, monkeypatch):
    right = exporting._probabilities

    def other(*args):
        found = right(*args)
        found[5] += 2e-5
        return found

    monkeypatch.setattr(exporting, "_probabilities", other)
    with pytest.raises(ValueError, match=r"1 of 256 probabilities differ from"):
        export_model(robe, tmp_path / "m", form)
    assert not list(tmp_path.iterdir())


def test_a_failed_conversion_is_refused(robe, tmp_path, monkeypatch):
    def fail(*args):
        raise RuntimeError("no such operation: FlexX\nstack")

    monkeypatch.setattr(onnx, "write", fail)
    with pytest.raises(ValueError, match=r"exactly: no such operation: FlexX"):
        export_model(robe, tmp_path / "m", "onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(robe, tmp_path, monkeypatch):
    monkeypatch.setattr(
        exporting, "find_spec", lambda name: None if name == "onnx" else 1
    )
    with pytest.raises(
        ValueError, match=r"not installed: onnx\. Install .*keras-pss\[export\]"
    ):
        export_model(robe, tmp_path / "m", "onnx")
    export_model(robe, tmp_path / "m", "litert")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ImportError("no flatbuffers"), r"cannot be imported: no flatbuf.*pip"),
        (OSError(28, "No space left on device"), r"^\[Errno 28\] No space"),
    ],
)
def test_other_failures_say_nothing_of_the_format(
    robe, tmp_path, monkeypatch, error, shown
):
    def fail(*args):
        raise error

    monkeypatch.setattr(onnx, "write", fail)
    with pytest.raises((ValueError, OSError), match=shown):
        export_model(robe, tmp_path / "m", "onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_documents_is_no_export(robe, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("my notes")
    with pytest.raises(ValueError, match="an export and nothing else"):
        export_model(robe, tmp_path, "litert", overwrite=True)
    with pytest.raises(ValueError, match="a SavedModel and nothing else"):
        export_saved_model(robe, tmp_path, overwrite=True)
    assert page.read_text() == "my notes"


def test_wrong_arguments(robe, tmp_path):
    with pytest.raises(ValueError, match="`format` must be one of tf_saved_mo"):
        export_model(robe, tmp_path / "m", "tflite")
    kept = tmp_path / "run"
    kept.mkdir()
    (kept / "report.json").write_text("{}")
    with pytest.raises(ValueError, match="an export and nothing else"):
        export_model(robe, kept, "litert", overwrite=True)
    export_model(robe, tmp_path / "m", "litert")
    with pytest.raises(ValueError, match="already exists"):
        export_model(robe, tmp_path / "m", "litert")
    export_model(robe, tmp_path / "m", "onnx", overwrite=True)
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "model.onnx",
        "model_card.json",
        "README.md",
    }
    x = keras.Input((3,), dtype="int32", name="ids")
    rows = keras_pss.ROBEEmbedding(100, 4, memory_size=50)(x)
    flat = keras.layers.Flatten()(rows)
    one = keras.Model(x, keras.layers.Dense(1)(flat))
    with pytest.raises(ValueError, match=r"must be those of an EmbeddingColl"):
        export_model(one, tmp_path / "n", "litert")
    given = {"ids": np.arange(60, dtype="int32").reshape(20, 3)}
    export_model(one, tmp_path / "n", "litert", rows=given)
    with pytest.raises(ValueError, match="one output of shape"):
        export_model(keras.Model(x, flat), tmp_path / "o", "onnx", rows=given)


def test_rows_of_the_check_reach_all_ids():
    named = keras_pss.EmbeddingCollection(
        {"user": None, "item": 2**26, "day": 7},
        4,
        "robe",
        budget=1000,
        features={
            "user": "user",
            "viewed": keras_pss.FeatureConfig("item", 5, weighted=True),
            "day": "day",
        },
    )
    model = keras_pss.models.DCN(named, hidden_units=(4,))
    assert id_limits(model) == {
        "categorical": [2**31 - 1, 7],
        "viewed": [2**26],
    }
    rows = check_rows(model)
    assert {2**24 - 1, 2**24, 2**24 + 1, 2**31 - 2, 0} <= set(
        rows["categorical"][:, 0]
    )
    assert set(rows["categorical"][:, 1]) == set(range(7))
    lists = rows["viewed"]
    assert lists.max() == 2**26 - 1
    assert set((lists >= 0).sum(1)) == set(range(6))
    assert (rows["viewed_weights"] >= 0).all()


def test_rows_of_the_check_have_rare_ids():
    tables = keras_pss.EmbeddingCollection([3, 40], 4, "full")
    tables = keras_pss.FrequencyFilter(tables, input_dims=[3, 2**25])
    model = keras_pss.models.DCN(tables, num_dense=1, hidden_units=(4,))
    assert id_limits(model) == {"categorical": [3, 2**25]}
    named = keras_pss.EmbeddingCollection({"a": 5, "b": 6}, 4, "full")
    named = keras_pss.FrequencyFilter(named, input_dims={"a": 50, "b": 6})
    model = keras_pss.models.DCN(named, hidden_units=(4,))
    assert id_limits(model) == {"categorical": [50, 6]}


def test_warm_up_requests_are_valid(robe, tmp_path):
    import tensorflow as tf

    path = export_model(robe, tmp_path / "shop" / "3")
    served = tf.saved_model.load(path).signatures
    log = _prediction_log()
    found = []
    for record in tf.data.TFRecordDataset(str(path / FILE)):
        request = log.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "shop"
        name = request.model_spec.signature_name
        given = {
            key: tf.io.parse_tensor(value, _dtype(served[name], key))
            for key, value in request.inputs.items()
        }
        answer = served[name](**given)["probability"]
        found.append((name, len(answer)))
    assert found == [
        (name, size)
        for name in ("serving_default", "serve_examples")
        for size in SIZES
    ]


def _dtype(signature, key):
    return signature.structured_input_signature[1][key].dtype


# Methods that a format may refuse; docs/export.md says why.
LACKING = {
    "tf_saved_model": set(),
    "litert": {"clustered", "deep_hash", "hot_rows"},
    "onnx": {"hot_rows"},
    "openvino": {
        *("tt", "tensor_ring", "qr", "fpd", "memcom"),
        *("deep_hash", "hot_rows"),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_every_method_is_equal_or_refused(form, tmp_path):
    sizes = 3, 500, 20_000
    counts = [np.arange(n, 0, -1) for n in sizes]
    budgets: dict[str, str | int] = {"full": "1x", "deep_hash": 60_000}
    # These keep a number for each id, a quarter of rows of 4, and more.
    for method in ("memcom", "mixed_dimension"):
        budgets[method] = "3x"
    # 16 bits for each number, and pointers of clusters.
    budgets |= {"quantized": "2x", "clustered": "1.9x"}
    refused: dict[str, str] = {}
    for method in METHODS:
        budget = budgets.get(method, "4x")
        counted = method in ("mixed_dimension", "popularity")
        more = {"counts": counts} if counted else {}
        model = model_of(method, sizes, budget, **more)
        try:
            path = export_model(model, tmp_path / method, form)
        except ValueError as error:
            refused[method] = str(error)
            continue
        rows = check_rows(model, seed=7)
        wanted = model.predict(rows, batch_size=ROWS, verbose=0)[:, 0]
        np.testing.assert_allclose(
            score(form, path)(rows), wanted, atol=1e-5, err_msg=method
        )
    assert refused.keys() <= LACKING[form], refused
    for reason in refused.values():
        assert f"{form} cannot hold this model exactly" in reason
