"""The collection against its parts and its own saved copies."""

import copy
import json

import keras
import numpy as np
import pytest
from collections_of_tables import DIMS, make
from keras import ops

import keras_pss

CASES = [
    ("full", "1x", {}),
    ("robe", "20x", {}),
    ("robe", "20x", {"sign": True, "block_size": 4, "seed": 5}),
    ("robe", "20x", {"mapping": "fold"}),
    ("hash", "20x", {}),
    ("qr", "8x", {"operation": "add"}),
    ("tt", "20x", {"gauge": "last_core"}),
    ("hash", "20x", {"num_hashes": 2, "weighted": True}),
    ("tensor_ring", "20x", {}),
    ("fpd", "20x", {}),
    ("mixed_dimension", "3x", {}),
    ("memcom", "3x", {}),
    ("sketch", "20x", {"num_nonzeros": 2}),
    ("deep_hash", "20x", {"num_hashes": 8}),
    ("clustered", "5x", {"num_columns": 2}),
    ("quantized", "2x", {"storage": "int8"}),
    ("hot_rows", "20x", {"method": "hash", "capacity": 5, "num_hashes": 2}),
    ("hot_rows", "5x", {"inner": "robe", "counts": "sketch"}),
]
# One of each way to keep and read weights.
KINDS = [
    case
    for case in CASES
    if case[0] in ("robe", "tt", "clustered", "quantized")
]
every_kind = pytest.mark.parametrize(
    ("method", "budget", "options"), KINDS, ids=lambda v: str(v)
)
# As in methods.py.
every_row = pytest.mark.parametrize(
    ("method", "budget", "options"),
    CASES if keras.backend.backend() == "tensorflow" else KINDS,
    ids=lambda v: str(v),
)
IDS = np.stack(
    [np.random.RandomState(0).randint(0, n, 30) for n in DIMS], axis=1
).astype("int32")


def rows_of(lookup):
    """Without a graph, which each copy would compile for itself."""
    return ops.convert_to_numpy(lookup(IDS))


@every_row
def test_columns_are_what_single_layers_would_give(method, budget, options):
    collection = make(method, budget, options)
    found = ops.convert_to_numpy(collection(IDS))
    assert found.shape == (30, len(DIMS), 8)
    allocation = collection._allocation
    assert sorted(allocation.full + allocation.compressed) == list(range(5))
    stacked = None
    if collection.full is not None:
        stacked = ops.convert_to_numpy(collection.full.embeddings_table.value)
    first = 0
    for column in allocation.full:
        rows = stacked[first + IDS[:, column]]
        np.testing.assert_array_equal(found[:, column], rows)
        first += DIMS[column]
    if collection.shared is not None:
        group = collection.shared
        memory = keras_pss.SharedMemory(group.memory_size)
        memory.build()
        memory.memory_table.assign(group.memory_table)
        for column in allocation.compressed:
            single = keras_pss.ROBEEmbedding(
                DIMS[column], 8, memory=memory, table=column, **options
            )
            np.testing.assert_array_equal(
                found[:, column], single.materialize(IDS[:, column])
            )
    for layer, column in zip(
        collection.single, allocation.compressed, strict=False
    ):
        # Up to the order of a matrix product's sums.
        np.testing.assert_allclose(
            found[:, column],
            layer.materialize(IDS[:, column]),
            rtol=1e-6,
            atol=2e-8,
        )


@every_row
def test_the_budget_holds_and_small_tables_stay_full(method, budget, options):
    collection = make(method, budget, options)
    collection.build()
    report = collection.memory_report()
    full = sum(DIMS) * 8
    allowed = full // int(budget[:-1])
    assert report.parameters == sum(
        int(np.prod(weight.shape)) for weight in collection.trainable_weights
    )
    assert report.full_parameters == full
    assert 0.7 * allowed < collection.budget_size() <= allowed
    # Quantized tables are served in fewer bytes per number, and counters of
    # hot rows are not served.
    if method not in ("quantized", "hot_rows"):
        held = report.parameters + -(-report.index_bytes // 4)
        assert held == collection.budget_size()
    if method != "full":
        # 7 x 8 and 40 x 8 parameters are within a quarter of the budget.
        assert {1, 3} <= set(collection._allocation.full)


@every_kind
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_saving_and_int8(method, budget, options, tmp_path):
    inputs = keras.Input((len(DIMS),), dtype="int32")
    model = keras.Model(inputs, make(method, budget, options)(inputs))
    exact = rows_of(model)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(rows_of(after), exact)
    assert after.layers[-1].get_config() == model.layers[-1].get_config()
    model.quantize("int8")
    packed = rows_of(model)
    assert 0 < np.abs(packed - exact).max() < 0.05 * np.abs(exact).max()
    model.save(tmp_path / "packed.keras")
    after = keras.saving.load_model(tmp_path / "packed.keras")
    np.testing.assert_array_equal(rows_of(after), packed)


@every_kind
def test_ids_are_checked_against_their_own_table(method, budget, options):
    collection = make(method, budget, options)
    wrong = IDS[:2].copy()
    wrong[1, 3] = 40
    with pytest.raises(ValueError, match=r"first 40 \(table 3, input_dim=40\)"):
        collection(wrong)
    with pytest.raises(ValueError, match=r"has 5 tables.*shape"):
        collection(IDS[:, :4])
    with pytest.raises(ValueError, match=r"has 5 tables.*shape"):
        collection(keras.Input((4,), dtype="int32"))
    assert collection(IDS.reshape(5, 6, 5)).shape == (5, 6, 5, 8)


@every_row
def test_its_config_is_plain_and_stable(method, budget, options):
    collection = make(method, budget, {**options}, name="tables")
    config = collection.get_config()
    assert copy.deepcopy(config) == config
    assert type(config["options"]) is dict
    assert make(method, budget, options, name="tables").get_config() == config
    assert json.loads(json.dumps(config))["options"] == options


@every_kind
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_and_old_files_give_equal_bits(
    method, budget, options, tmp_path
):
    collection = make(method, budget, options)
    inputs = keras.Input((len(DIMS),), dtype="int32")
    model = keras.Model(inputs, collection(inputs))
    before = model.predict(IDS, verbose=0)
    twin = copy.deepcopy(collection)
    np.testing.assert_array_equal(rows_of(twin), before)
    model.save(tmp_path / "model.h5")
    after = keras.saving.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(rows_of(after), before)
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras.models.clone_model(model)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(rows_of(other), before)


def test_the_parts_have_the_names_that_files_know():
    paths = {
        "robe": ["full/embeddings_table", "shared/memory_table"],
        "hash": [
            "full/embeddings_table",
            *(f"table_{k}/buckets_table" for k in (0, 2, 4)),
        ],
    }
    for method, expected in paths.items():
        collection = make(method, "20x", {}, name="tables")
        collection.build()
        found = [weight.path for weight in collection.weights]
        assert [path.removeprefix("tables/") for path in found] == expected


def test_ragged_ids_keep_their_flag():
    spec = make("robe", "20x", {}).compute_output_spec(
        keras.KerasTensor((None, None, 5), "int32", ragged=True)
    )
    assert spec.ragged
    assert spec.shape == (None, None, 5, 8)


# JAX has no float64 by default.
WIDE = [] if keras.backend.backend() == "jax" else ["float64"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", *WIDE])
def test_other_float_dtypes(dtype):
    collection = make("robe", "20x", {"sign": True}, dtype=dtype)
    rows = collection(IDS)
    assert keras.backend.standardize_dtype(rows.dtype) == dtype
    size = {"bfloat16": 2, "float16": 2, "float64": 8}[dtype]
    report = collection.memory_report()
    assert report.serving_bytes == size * collection.count_params()


def test_each_table_starts_with_its_own_scale():
    """Fan-in initialisers in one shared memory: one scale a table."""
    initializer = keras.initializers.VarianceScaling(mode="fan_in", seed=1)
    collection = keras_pss.EmbeddingCollection(
        [200_000, 30_000, 50],
        16,
        "robe",
        "20x",
        embeddings_initializer=initializer,
    )
    random = np.random.RandomState(0)
    ids = np.stack(
        [random.randint(0, n, 20_000) for n in (200_000, 30_000, 50)], axis=1
    )
    rows = ops.convert_to_numpy(collection(ids.astype("int32")))
    wanted = 1 / np.sqrt([200_000, 30_000, 50])
    np.testing.assert_allclose(rows.std(axis=(0, 2)), wanted, rtol=0.05)
