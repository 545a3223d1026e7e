"""Fits of layers of several tables, and of layers over others."""

import numpy as np
import pytest
from fitting import relative, trained_table
from keras import ops

import keras_pss

N, D = 60, 6
TABLES = [trained_table(n, D, seed=n)[0] for n in (N, 9, 40)]
COUNTS = [trained_table(n, D)[1] for n in (N, 9, 40)]


def rows_of(layer, dims=(N, 9, 40)):
    """The rows of each table of a layer of three columns."""
    ids = np.stack([np.arange(N) % n for n in dims], axis=1)
    rows = ops.convert_to_numpy(layer(ids))
    return [rows[:n, place] for place, n in enumerate(dims)]


def pooled_error(found, weighted=False):
    counts = np.concatenate(COUNTS) if weighted else None
    return relative(np.concatenate(TABLES), np.concatenate(found), counts)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("full", {}),
        ("robe", {"sign": True}),
        ("qr", {}),
        ("mixed_dimension", {"alpha": 0.3}),
        ("popularity", {}),
        ("hot_rows", {"counts": "exact", "method": "robe"}),
    ],
)
def test_a_collection_reports_the_error_of_its_rows(method, options):
    layer = keras_pss.EmbeddingCollection(
        [N, 9, 40], D, method, "3x", options=options
    )
    report = layer.fit_tables(TABLES, COUNTS)
    rows = rows_of(layer)
    assert report.relative_error == pytest.approx(pooled_error(rows), 1e-4)
    assert report.weighted_relative_error == pytest.approx(
        pooled_error(rows, weighted=True), 1e-4
    )
    assert report.relative_error < 1.2
    for part, tables in layer.part_tables():
        if part is layer.full:
            for table in tables:
                np.testing.assert_array_equal(rows[table], TABLES[table])


def test_forms_of_the_tables_and_what_is_refused():
    layer = keras_pss.EmbeddingCollection([N, 9, 40], D, "hash", "3x")
    report = layer.fit_tables(TABLES, COUNTS)
    stacked = np.concatenate(TABLES)
    assert layer.fit_tables(stacked, np.concatenate(COUNTS)) == report
    assert layer.fit_tables(dict(enumerate(TABLES)), COUNTS) == report
    with pytest.raises(ValueError, match=r"each of the 3 tables.*shape \(69"):
        layer.fit_tables(stacked[:69])
    with pytest.raises(ValueError, match=r"`tables\[1\]` must be the trained"):
        layer.fit_tables([TABLES[0]] * 3)
    layer.quantize("int8")
    with pytest.raises(ValueError, match="is packed"):
        layer.fit_tables(TABLES)


def test_named_tables_of_several_widths():
    layer = keras_pss.EmbeddingCollection(
        {
            "user": keras_pss.TableConfig(N, output_dim=4),
            "item": 40,
            "kind": 9,
        },
        D,
        "robe",
        "3x",
        min_rows=10,
        features={
            "user": "user",
            "item": "item",
            "kind": "kind",
            "seen": keras_pss.FeatureConfig("item", length=2),
        },
    )
    tables = {"user": TABLES[0][:, :4], "kind": TABLES[1], "item": TABLES[2]}
    report = layer.fit_tables(tables)
    ids = {name: np.arange(9) for name in ("user", "item", "kind")}
    found = layer({**ids, "seen": np.stack([np.arange(9)] * 2, axis=1)})
    kind = ops.convert_to_numpy(found["kind"])
    np.testing.assert_allclose(kind, TABLES[1], atol=1e-6)
    assert 0 < report.relative_error < 1
    filtered = keras_pss.FrequencyFilter(
        keras_pss.EmbeddingCollection({"a": 5, "b": 9}, D, "full"),
        {"a": N, "b": 9},
    )
    report = filtered.fit_tables({"a": TABLES[0], "b": TABLES[1]})
    assert 0 < report.relative_error < 1


def test_tables_in_a_shared_memory_are_those_of_a_fused_layer():
    fused = keras_pss.EmbeddingCollection(
        [N, 40], D, "robe", None, options={"memory_size": 61}
    )
    tables, counts = [TABLES[0], TABLES[2]], [COUNTS[0], COUNTS[2]]
    report = fused.fit_tables(tables, counts)
    memory = keras_pss.SharedMemory(61)
    layers = [keras_pss.ROBEEmbedding(n, D, memory=memory) for n in (N, 40)]
    assert memory.fit_tables(tables, counts).relative_error == pytest.approx(
        report.relative_error, 1e-6
    )
    with pytest.raises(ValueError, match=r"`memory\.fit_tables"):
        layers[0].fit_table(TABLES[0])


def test_a_filter_gives_rare_ids_their_mean():
    layer = keras_pss.FrequencyFilter(
        keras_pss.EmbeddingCollection([20, 9, 40], D, "full"), [N, 9, 40]
    )
    layer.fit_tables(TABLES, COUNTS)
    rare = [0, *range(20, N)]
    best = TABLES[0].copy()
    best[rare] = np.average(TABLES[0][rare], axis=0, weights=COUNTS[0][rare])
    found = rows_of(layer)
    np.testing.assert_allclose(found[0], best, atol=1e-5)
    np.testing.assert_array_equal(found[1], TABLES[1])


@pytest.mark.parametrize("counts", ["exact", "sketch", "slots"])
def test_hot_ids_have_their_rows_and_leave_the_others_to_the_embedding(counts):
    table, own = TABLES[0], np.random.default_rng(0).permutation(COUNTS[0])
    layer = keras_pss.HotRows(
        keras_pss.ROBEEmbedding(N, D, memory_size=61), 7, counts
    )
    layer.fit_table(table, own)
    hot = np.sort(np.argsort(-own, kind="stable")[:7])
    np.testing.assert_array_equal(layer.ids(), hot)
    rows = layer.materialize()
    np.testing.assert_array_equal(rows[hot], table[hot])
    if counts != "slots":
        rest = np.where(np.isin(np.arange(N), hot), 0, own + 1e-6 * own.mean())
        base = keras_pss.ROBEEmbedding(N, D, memory_size=61)
        base.fit_table(np.where(rest[:, None] > 0, table, 0), rest)
        cold = np.setdiff1d(np.arange(N), hot)
        np.testing.assert_allclose(
            rows[cold], base.materialize(cold), atol=1e-4
        )
        # The counts are known, so that a refresh changes nothing.
        assert not len(layer.refresh().added)
    # Without counts, the hot ids stay, with the rows of the new table.
    layer.fit_table(2 * table)
    np.testing.assert_array_equal(layer.materialize(hot), 2 * table[hot])


def test_an_id_keeps_what_it_has_of_its_own_below_a_hot_row():
    for base in (
        keras_pss.FullEmbedding(N, D),
        keras_pss.MixedDimensionEmbedding(N, D, inner_dim=D - 1),
        keras_pss.MEMComEmbedding(N, D, num_buckets=30),
        keras_pss.ClusteredEmbedding(N, D, num_clusters=50, num_columns=2),
    ):
        layer = keras_pss.HotRows(base, 7)
        layer.fit_table(TABLES[0], COUNTS[0])
        hot = layer.ids()
        found = base.materialize(hot)
        assert relative(TABLES[0][hot], found) < 0.9


def test_hot_rows_of_several_tables_are_narrow_if_asked():
    layer = keras_pss.EmbeddingCollection(
        [N, 9, 40],
        D,
        "hot_rows",
        "2x",
        min_rows=0,
        options={
            "counts": "slots",
            "method": "hash",
            "row_dim": 2,
            "capacity": 9,
        },
    )
    report = layer.fit_tables(TABLES, COUNTS)
    part, own = layer.part_tables()[-1]
    assert len(part.ids()) == 9
    kept = np.concatenate([TABLES[table] for table in own])
    right = np.linalg.svd(kept)[2][:2]
    rows = rows_of(layer)
    for place, i in part.ids():
        best = TABLES[own[place]][i] @ right.T @ right
        np.testing.assert_allclose(rows[own[place]][i], best, atol=1e-5)
    assert report.relative_error == pytest.approx(pooled_error(rows), 1e-4)


def test_a_bag_fits_its_embedding():
    bag = keras_pss.EmbeddingBag(keras_pss.FullEmbedding(N, D))
    assert bag.fit_table(TABLES[0]).relative_error == 0
    np.testing.assert_array_equal(
        ops.convert_to_numpy(bag(np.array([[3]]))), TABLES[0][3:4]
    )
