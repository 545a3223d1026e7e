"""`compress_model`: methods, budgets, counts, the report and its refusals."""

import json
import logging

import keras
import numpy as np
import pytest
from convert.models import ROWS, embedding, flat, ids, outputs, scaled
from keras import layers
from small_models import DIMS, batch, model_of

import keras_pss


def of_tables(tables, head=True):
    """A model of stock tables, each with an input of its own name."""
    inputs = {
        f"{t.name}_id": keras.Input((2,), dtype="int32", name=f"{t.name}_id")
        for t in tables
    }
    pairs = zip(tables, inputs.values(), strict=True)
    x = [flat(t, given) for t, given in pairs]
    out = layers.Concatenate()(x) if len(x) > 1 else x[0]
    return keras.Model(inputs, layers.Dense(1)(out) if head else out)


def table(name, rows, width=4, **kwargs):
    return layers.Embedding(rows, width, name=name, **kwargs)


def skewed(rows, seed=0):
    """Counts that descend from id 1 on."""
    counts = np.sort(np.random.RandomState(seed).zipf(1.3, rows) % 5000)[::-1]
    return np.concatenate([[3], counts[:-1]])


@pytest.fixture(scope="module")
def three():
    return scaled(
        of_tables([table("users", 900), table("items", 400), table("days", 7)])
    )


def parameters(model):
    return sum(
        x.memory_report().parameters
        for x in model.layers
        if hasattr(x, "memory_report")
    )


@pytest.mark.parametrize("method", ["robe", "hash", "qr", "memcom", "sketch"])
def test_tables_share_a_budget(method, three):
    new, report = keras_pss.compress_model(three, method, "3x")
    by_name = {row.layer: row for row in report.tables}
    assert list(by_name) == ["users", "items", "days"]
    assert by_name["days"].method == "full"
    assert by_name["days"].why == "small enough to stay"
    assert by_name["users"].method == by_name["items"].method == method
    assert by_name["users"].parameters_after > by_name["items"].parameters_after
    assert report.parameters == 4 * (900 + 400 + 7)
    assert parameters(new) + 7 * 4 <= report.parameters_after
    assert report.parameters_after <= report.parameters / 3
    assert report.compression >= 3
    for name in ("users", "items"):
        layer = new.get_layer(name)
        rows = keras.ops.convert_to_numpy(three.get_layer(name).embeddings)
        error = np.linalg.norm(layer.materialize() - rows)
        assert by_name[name].relative_error == pytest.approx(
            error / np.linalg.norm(rows), rel=1e-4
        )


def test_the_report_is_a_table(three):
    _, report = keras_pss.compress_model(
        three,
        "hash",
        "4x",
        layers=["users"],
        counts={"users": skewed(900)},
        data=lambda model: {"size": np.float32(model.count_params())},
    )
    lines = str(report).splitlines()
    assert lines[0].split()[:4] == ["table", "rows", "width", "method"]
    assert lines[2].split()[:5] == ["users", "900", "4", "hash", "3,600"]
    assert lines[3].endswith("not asked for")
    assert lines[6].startswith("all tables")
    assert "3.6 kB" in lines[6]
    before, after = report.before["size"], report.after["size"]
    assert before - after >= 0.7 * 3600
    assert lines[7].startswith(f"size: {before:.4f} before, {after:.4f} after")
    assert json.loads(json.dumps(report.as_dict()))["compression"] >= 4
    users = report.tables[0]
    assert 0 < users.weighted_relative_error < users.relative_error


def test_metrics_are_those_of_evaluate(three):
    three.compile(loss="mse", metrics=["mae"])
    sizes = {"users": 900, "items": 400, "days": 7}
    x = {f"{name}_id": ids(8, 2) % n for name, n in sizes.items()}
    y = np.ones((8, 1))
    new, report = keras_pss.compress_model(three, "hash", "4x", data=(x, y))
    for model, found in ((three, report.before), (new, report.after)):
        expected = model.evaluate(x, y, verbose=0, return_dict=True)
        assert found == pytest.approx(expected)
    assert report.before["mae"] != report.after["mae"]
    for data in ((x, y, np.ones(8)), [(x, y), (x, y)]):
        _, again = keras_pss.compress_model(three, "hash", "4x", data=data)
        assert again.after == pytest.approx(report.after)
    for data, match in (
        (iter([(x, y)]), "`data` is read several times"),
        ((x,), r"`data` must be a tuple of arrays \(x, y\)"),
    ):
        with pytest.raises(ValueError, match=match):
            keras_pss.compress_model(three, "hash", "4x", data=data)


def test_min_rows_leaves_tables(three):
    _, report = keras_pss.compress_model(three, "hash", "2x", min_rows=500)
    assert [row.method for row in report.tables] == ["hash", "full", "full"]
    assert report.parameters_after <= report.parameters / 2


def test_tables_of_many_widths_share_a_budget():
    small = [table("month", 12, 6), table("day", 7, 3)]
    model = of_tables([table("users", 900, 8), *small], head=False)
    whole = 900 * 8 + 12 * 6 + 7 * 3

    def methods(budget, allowed, **kwargs):
        _, report = keras_pss.compress_model(model, "hash", budget, **kwargs)
        assert 0.8 * allowed < report.parameters_after <= allowed
        return [row.method for row in report.tables]

    # A quarter of the budget is for the smallest.
    assert methods("10x", whole // 10) == ["hash", "full", "full"]
    assert methods("100x", whole // 100) == ["hash", "hash", "hash"]
    assert methods("70x", whole // 70, min_rows=10) == ["hash", "hash", "full"]
    with pytest.raises(ValueError, match=r"in place of 7200, besides 93 of"):
        methods(90, 90, min_rows=20)


@pytest.mark.parametrize("form", ["sorted", "any order"])
def test_counts_choose_rows_of_all_tables_together(form):
    model = scaled(of_tables([table("users", 900), table("items", 400)]))
    counts = {"users": skewed(900), "items": skewed(400, 1)}
    if form == "any order":
        random = np.random.RandomState(0)
        counts = {name: random.permutation(c) for name, c in counts.items()}
    new, report = keras_pss.compress_model(
        model, "popularity", "8x", counts=counts
    )
    assert report.parameters_after <= report.parameters / 8
    assert report.parameters_after > report.parameters / 10
    kept, dropped = [], []
    for name, seen in counts.items():
        found = new.get_layer(name).materialize()
        # Ids without a row have that of id 0.
        own = ~(found == found[0]).all(axis=1)
        own[0] = False
        kept += seen[own].tolist()
        dropped += np.delete(seen[1:], np.flatnonzero(own[1:])).tolist()
    assert min(kept) >= max(dropped)  # one threshold for all tables


def test_counts_in_any_order_choose_rows_of_a_collection():
    dims, random = (300, 200, 3), np.random.RandomState(0)
    tables = keras_pss.EmbeddingCollection(dims, 4, "full", name="tables")
    model = keras_pss.models.DLRM(
        tables, num_dense=0, bottom_units=(4,), top_units=(4,)
    )
    x = {"categorical": np.array([[299, 7, 2], [0, 199, 1]], "int32")}
    before = outputs(model, x)
    counts = [random.permutation(skewed(n)) for n in dims]
    new, report = keras_pss.compress_model(
        model, "popularity", "8x", 10, counts=counts
    )
    assert np.array_equal(outputs(model, x), before)
    assert np.isfinite(outputs(new, x)).all()
    assert report.parameters / 10 < report.parameters_after
    assert report.parameters_after <= report.parameters / 8
    kept, dropped = [], []
    for place, seen in enumerate(counts[:2]):
        every = [np.arange(dims[place], dtype="int32") % n for n in dims]
        found = new.get_layer("tables").rows_at(every)[place]
        own = ~(found == found[0]).all(axis=1)
        kept += seen[own].tolist()
        dropped += seen[1:][~own[1:]].tolist()
    assert min(kept) >= max(dropped)


def test_auto_says_what_counts_cannot_do():
    names = {"a": 60, "b": keras_pss.TableConfig(40, output_dim=4)}
    tables = keras_pss.EmbeddingCollection(names, 8, "full", name="tables")
    model = keras_pss.models.DLRM(
        tables, num_dense=0, bottom_units=(4,), top_units=(4,)
    )
    counts = {"a": skewed(60), "b": skewed(40)}
    _, report = keras_pss.compress_model(model, "auto", "6x", counts=counts)
    assert "Rows by counts are for tables of one width" in report.why["tables"]


def test_auto_takes_bits_then_counts_then_low_rank(three):
    counts = {name: skewed(n) for name, n in (("users", 900), ("items", 400))}

    def chosen(budget, **kwargs):
        new, report = keras_pss.compress_model(
            three, "auto", budget, layers=["users", "items"], **kwargs
        )
        assert report.compression >= float(budget[:-1])
        assert set(report.why) == {"users", "items"}
        return {type(new.get_layer(n)).__name__ for n in ("users", "items")}

    assert chosen("2x") == {"QuantizedEmbedding"}
    assert chosen("10x", counts=counts) == {"PopularityEmbedding"}
    assert chosen("3.5x") == {"MixedDimensionEmbedding"}
    assert chosen("20x") == {"TTEmbedding"}


def test_collections_of_a_model():
    model = model_of("DeepFM")
    x = batch()
    model.predict(x, verbose=0)
    new, report = keras_pss.compress_model(model, "hash", 40, min_rows=6)
    assert type(new) is keras_pss.models.Model
    names = [(row.layer, row.table) for row in report.tables]
    assert names == [
        (layer, str(place))
        for layer in ("embeddings", "wide")
        for place in range(len(DIMS))
    ]
    assert report.parameters_after <= 40
    assert [row.method for row in report.tables[:4]] == ["full", *["hash"] * 3]
    assert np.isfinite(new.predict(x, verbose=0)).all()


def test_tables_within_a_filter_and_with_names():
    names = {"user": 60, "item": keras_pss.TableConfig(40, output_dim=4)}
    tables = keras_pss.EmbeddingCollection(names, 8, "full", name="tables")
    limited = keras_pss.FrequencyFilter(tables, {"user": 90, "item": 40})
    model = keras_pss.models.DLRM(
        limited, num_dense=0, bottom_units=(4,), top_units=(4,)
    )
    x = {"categorical": np.array([[89, 3], [1, 39]], "int32")}
    counts = {"user": skewed(60), "item": skewed(40)}
    before = outputs(model, x)
    new, report = keras_pss.compress_model(model, "hash", "4x", counts=counts)
    assert [row.table for row in report.tables] == ["user", "item"]
    assert report.parameters_after <= report.parameters / 4
    assert all(row.weighted_relative_error < 1 for row in report.tables)
    kept = new.get_layer(limited.name)
    assert type(kept) is type(limited)
    assert np.array_equal(outputs(model, x), before)
    assert np.abs(outputs(new, x) - before).max() < 0.1


def test_what_stands_in_the_way():
    given = keras.Input((4,), dtype="int32")
    tied = layers.ReversibleEmbedding(ROWS, 4, name="tied")
    output = tied(layers.Dense(4)(tied(given)), reverse=True)
    inside = layers.TimeDistributed(embedding("inside"))
    more = inside(layers.Reshape((4, 1))(given))
    lora = embedding("lora")
    rest = [
        lora(given),
        keras_pss.HashedEmbedding(ROWS, 4, num_buckets=9)(given),
    ]
    model = keras.Model(given, [output, more, *rest])
    lora.enable_lora(2)
    with pytest.raises(ValueError, match="must have an uncompressed") as error:
        keras_pss.compress_model(model)
    text = str(error.value)
    assert "'tied': its table is tied to an output" in text
    assert "'inside': it is inside 'time_distributed" in text
    assert "'lora': it has LoRA weights" in text
    assert "it is compressed (HashedEmbedding)" in text
    with pytest.raises(ValueError, match="'tied' cannot be replaced"):
        keras_pss.compress_model(model, layers=["tied"])


class Written(keras.Model):
    def __init__(self):
        super().__init__()
        self.table = embedding()

    def call(self, inputs):
        return self.table(inputs)


def test_mistakes(three):
    def refused(match, model=three, **kwargs):
        with pytest.raises(ValueError, match=match):
            keras_pss.compress_model(model, **{"method": "hash", **kwargs})

    refused("`budget` must be a ratio", budget="ten")
    refused("allow a parameter.*5228.*budget='10000x'", budget="10000x")
    refused("`layers` must be a list of names", layers=[])
    refused(
        r"by its name: 'users', 'items', 'days'.*names 'user', 'items'",
        counts={"user": skewed(900), "items": skewed(400)},
    )
    for bad, shown in ((np.nan, "nan"), (-1.0, "-1.0"), (np.inf, "inf")):
        wrong = {"items": np.append(np.ones(399), bad)}
        match = rf"finite numbers of at least 0.*\['items'\].*{shown}"
        refused(match, counts=wrong)
    refused(
        "by the name of the layer, 'users'", layers=["users"], counts={"x": 1}
    )
    refused("`data` must return a dict.*3 from it", data=lambda model: 3)
    refused("fit into the budget as they are", budget="1x")
    refused("needs a budget of at least", budget=3)
    refused(r"embedding layers of the model: 'users'", layers=["user"])
    refused("`layers` must be a list", layers="users")
    refused("`counts` must be a dict", counts=skewed(900))
    refused(
        r"900 for \['users'\].*of shape \(3,\)", counts={"users": [1, 2, 3]}
    )
    refused("`method` must be one of", method="best")
    refused("`method` must compress", method="full")
    refused("must be 0 or a positive integer", min_rows=-1)
    refused("`options` must be a dict", options=3)
    refused("allowed `options`", options={"rank": 3})
    refused("must be a Keras model", model="model.keras")
    refused("must be built", model=keras.Sequential([embedding()]))
    plain = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    refused("with no embedding layer", model=plain)
    uncompiled = of_tables([table("users", 900)])
    refused("`data` needs a compiled", model=uncompiled, data=(1, 2))
    written = Written()
    written(ids())
    refused(r"its config does not have table.*\(Written\)", model=written)


def test_a_shared_part_of_two_layers_is_refused():
    class Head(layers.Layer):
        def __init__(self, part, **kwargs):
            super().__init__(**kwargs)
            self.part = part

        def call(self, inputs):
            return self.part(inputs)

    given, dense = keras.Input((4,), dtype="int32"), layers.Dense(4)
    rows = embedding()(given)
    for other in (dense, Head(dense)):
        model = keras.Model(given, [Head(dense)(rows), other(rows)])
        with pytest.raises(ValueError, match="share layer 'dense"):
            keras_pss.compress_model(model, "hash", "4x")


def test_no_chatter(three, caplog):
    with caplog.at_level(logging.WARNING):
        keras_pss.compress_model(three, "hash", "4x")
    assert not caplog.records
