"""Collections for a prepared log, and twins of collections."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from named_tables import batch, make

import keras_pss
from keras_pss import features
from keras_pss.layers.base.budget import Budget

SCHEMA = features.Schema(
    [
        features.Dense("price"),
        features.Categorical("item"),
        features.MultiCategorical(
            "viewed", max_length=4, table="item", combiner="max"
        ),
        features.Dense("age", transform="buckets", num_buckets=3),
        features.MultiCategorical(
            "tags", max_length=3, combiner="sqrtn", weights="tag_weights"
        ),
        features.Dense("vector", size=5),
        features.Cross("both", ["item", "site"], buckets=50),
        features.Categorical("site", ids="hash"),
    ]
)
LOG = SimpleNamespace(
    schema=SCHEMA,
    tables={"item": 900, "age": 4, "both": 50, "site": None, "tags": 70},
)


def test_a_log_has_all_that_a_collection_needs():
    layer = keras_pss.EmbeddingCollection.for_log(
        LOG, 8, "robe", "40KB", name="tables"
    )
    assert layer.name == "tables"
    assert {n: t.input_dim for n, t in layer.input_dims.items()} == LOG.tables
    feature = keras_pss.FeatureConfig
    assert layer.features == {
        "item": feature("item"),
        "age": feature("age"),
        "both": feature("both"),
        "site": feature("site"),
        "viewed": feature("item", 4, "max"),
        "tags": feature("tags", 3, "sqrtn", weighted=True),
    }
    assert layer.dense == {"price": 1, "vector": 5}
    assert layer.inputs() == {
        "categorical": (4, "int32"),
        "viewed": (4, "int32"),
        "tags": (3, "int32"),
        "tags_weights": (3, "float32"),
    }
    assert layer.packed_names() == {
        "dense": {"price": 1, "vector": 5},
        "categorical": {"item": 1, "age": 1, "both": 1, "site": 1},
    }
    model = keras_pss.models.DeepFM(layer)
    assert {name: x.shape for name, x in model.input.items()} == {
        "dense": (None, 6),
        "categorical": (None, 4),
        "viewed": (None, 4),
        "tags": (None, 3),
        "tags_weights": (None, 3),
    }


@pytest.mark.parametrize("log", [None, "prepared", SCHEMA, [5, 6]])
def test_what_is_no_log_is_refused(log):
    with pytest.raises(ValueError, match=r"`log` must be a prepared log.*log="):
        keras_pss.EmbeddingCollection.for_log(log, 8)


def test_a_log_without_ids_is_refused():
    schema = features.Schema([features.Dense("price")])
    log = SimpleNamespace(schema=schema, tables={})
    with pytest.raises(
        ValueError, match=r"one feature with ids.*buckets.*\['price'\]"
    ):
        keras_pss.EmbeddingCollection.for_log(log, 8)


def test_a_twin_has_the_same_tables_and_other_weights():
    for layer, ids in (
        (make("robe", "20x", (None, 4, 6), options={"seed": 4}), batch()),
        (
            keras_pss.EmbeddingCollection(
                [900, 70], 8, "robe", "5x", options={"seed": 4}
            ),
            np.array([[899, 69]]),
        ),
    ):
        twin = layer.twin(name="other")
        assert twin.name == "other"
        assert type(twin) is type(layer)
        own, config = layer.get_config(), twin.get_config()
        differ = {name for name in own if own[name] != config[name]}
        # An initializer without a seed has the same config.
        assert differ == {"name", "options"}
        assert twin.options["seed"] == 5
        found = keras.tree.flatten(twin(ids)), keras.tree.flatten(layer(ids))
        for one, two in zip(*found, strict=True):
            assert one.shape == two.shape
            assert not np.array_equal(
                ops.convert_to_numpy(one), ops.convert_to_numpy(two)
            )


@pytest.mark.parametrize(
    ("budget", "wide"), [("20x", "20x"), (9000, 1250), ("36KB", 1250)]
)
def test_first_order_tables_have_their_share_of_the_budget(budget, wide):
    # Widths 8, 4 and 4: 900 * 8 + 5007 * 4 for 5907 rows.
    layer = make("robe", budget, (None, 8, 4))
    rows, whole = 5907, 900 * 8 + 5000 * 8 + 7 * 4
    if wide == 1250:
        wide = 9000 * rows // whole
    twin = layer.twin(1)
    if wide != "20x":
        assert Budget.parse(twin.budget).parameters(None) == wide
        assert Budget.parse(twin.budget).is_bytes == (budget == "36KB")
    else:
        assert twin.budget == wide
    assert twin(batch()).shape == (30, 7, 1)
    assert twin.method == "robe"
    assert not hasattr(twin, "why")


@pytest.mark.parametrize("named", [False, True])
def test_first_order_tables_are_hashed_where_they_must_be(named, caplog):
    method = "mixed_dimension"
    dims = {"a": 900, "b": keras_pss.TableConfig(70, method="full")}
    layer = keras_pss.EmbeddingCollection(
        dims if named else [900, 70], 8, method, "4x"
    )
    twin = layer.twin(1, "wide")
    assert twin.method == "hash"
    assert twin.why in caplog.text
    assert f"'wide' are hashed instead of method='{method}'" in caplog.text
    if named:
        assert twin.input_dims["b"].method == "full"


def test_options_of_another_width_are_no_reason_to_hash():
    layer = keras_pss.EmbeddingCollection(
        [900, 70], 8, "tt", "4x", options={"column_shape": (2, 2, 2)}
    )
    with pytest.raises(ValueError, match="`column_shape` must be output_dim=1"):
        layer.twin(1)


def test_first_order_tables_need_a_budget():
    layer = keras_pss.EmbeddingCollection(
        [900, 70], 8, "tt", None, options={"rank": 2}
    )
    with pytest.raises(ValueError, match=r"`options` set the size.*'rank': 2"):
        layer.twin(1)
    assert layer.twin().method == "tt"
    full = keras_pss.EmbeddingCollection([900, 70], 8, "full", None).twin(1)
    full.build()
    assert full.count_params() == 970


def test_a_filter_has_twins_too():
    tables = keras_pss.EmbeddingCollection([5, 6], 4, "full")
    layer = keras_pss.FrequencyFilter(tables, [50, 60])
    twin = layer.twin(1, "wide")
    assert twin.input_dims == (50, 60)
    assert twin(np.array([[49, 59]])).shape == (1, 2, 1)


class CountedLog(SimpleNamespace):
    """What a collection reads of a prepared log."""

    def counted_tables(self):
        return tuple(self.counted)

    def table_counts(self, name):
        return np.array(self.counted[name])

    def rows(self, split):
        return {"train": 90, "validation": 10}[split]


@pytest.mark.parametrize("budget", [60, "60B"])
def test_rows_by_popularity_take_the_counts_of_a_log(budget):
    schema = features.Schema(
        [
            features.Categorical("item"),
            features.Dense("age", transform="buckets", num_buckets=3),
        ]
    )
    log = CountedLog(
        schema=schema,
        tables={"item": 6, "age": 4},
        counted={"item": [9, 80, 40, 12, 3, 1]},
    )
    layer = keras_pss.EmbeddingCollection.for_log(
        log, 8, "popularity", budget, options={"seed": 3}
    )
    # Each of four buckets is in a quarter of 100 rows.
    assert layer.options["num_rows"] == (4, 4)
    assert layer.options["seed"] == 3
    assert layer.options["storage"] == (
        "int4" if budget == "60B" else "float32"
    )
    assert layer.budget is None
    layer.build({"categorical": (None, 2)})
    assert layer.budget_size() <= (60 if budget == 60 else 15)
    hashed = keras_pss.EmbeddingCollection.for_log(log, 8, "hash", 40)
    assert hashed.budget == 40
