"""Budgets of single tables: their forms, errors and what they decide."""

import pytest

import keras_pss
from keras_pss.layers.embedding.methods import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_every_name_makes_its_class_within_a_budget(method):
    layer = keras_pss.embedding(5000, 8, method=method, budget="2x")
    assert type(layer) is METHODS[method]
    assert METHODS[method].compresses == (layer.budget_size() <= 20_000)


def test_a_table_that_fits_is_not_compressed(caplog):
    layer = keras_pss.embedding(
        100, 8, method="robe", budget=800, block_size=4, gradient="dense"
    )
    assert type(layer) is keras_pss.FullEmbedding
    assert layer.gradient == "dense"
    assert "fits into budget=800 uncompressed" in caplog.text
    layer = keras_pss.embedding(100, 8, method="robe", budget=799)
    assert type(layer) is keras_pss.ROBEEmbedding


def test_a_budget_decides_about_the_size():
    memory = keras_pss.SharedMemory(64)
    for cls, arguments in (
        (keras_pss.TTEmbedding, {"rank": 4}),
        (keras_pss.QREmbedding, {"num_buckets": 4}),
        (keras_pss.HashedEmbedding, {"num_buckets": 4}),
        (keras_pss.ROBEEmbedding, {"memory_size": 400}),
        (keras_pss.ROBEEmbedding, {"memory": memory}),
    ):
        name = next(iter(arguments))
        with pytest.raises(ValueError, match=f"determines `{name}`"):
            cls.from_budget(1000, 8, 4000, **arguments)
    large = keras_pss.ROBEEmbedding.from_budget(300_000_000, 16, "1x")
    assert large.memory_size == 2**31 - 1
    assert keras_pss.HashedEmbedding.from_budget(10, 4, 10**5).num_buckets == 10


def test_factory_builds_any_method_within_its_budget():
    for method in ("robe", "tt", "qr", "hash"):
        layer = keras_pss.embedding(100_000, 16, method, "50x")
        layer.build()
        assert 0.5 * 32_000 < layer.count_params() <= 32_000
    assert keras_pss.embedding(10, 4, "full").input_dim == 10
    with pytest.raises(ValueError, match="one of 'full', 'robe', 'tt', 'qr'"):
        keras_pss.embedding(10, 4, "rob")


@pytest.mark.parametrize(
    "budget", ["0x", "0.5x", "10", "ten", 0, -5, True, "10XB", None, 1.5]
)
def test_budget_errors_list_the_forms(budget):
    with pytest.raises(ValueError, match="`budget` must be a ratio of at"):
        keras_pss.embedding(1000, 16, "robe", budget)


def test_budget_forms():
    for budget, size in {
        "10x": 1600,
        "2.5x": 6400,
        777: 777,
        "4KB": 1000,
        "4KiB": 1024,
        "0.004 mb": 1000,
    }.items():
        assert keras_pss.embedding(1000, 16, "robe", budget).memory_size == size
    with pytest.raises(ValueError, match="`input_dim` is None"):
        keras_pss.embedding(None, 16, "robe", "10x")
    assert keras_pss.embedding(None, 16, "robe", "4KB").memory_size == 1000


@pytest.mark.parametrize("method", METHODS)
def test_bytes_count_index_tables_too(method):
    """Of a layer, and of all layers of a collection."""
    if method == "full":
        return
    options = {"num_columns": 2} if method == "clustered" else {}
    layer = keras_pss.embedding(3000, 16, method, "60KB", **options)
    assert 4 * layer.budget_size() <= 60_000
    tables = keras_pss.EmbeddingCollection(
        [3000, 40, 1000], 16, method, "100KB", options=options
    )
    assert 4 * tables.budget_size() <= 100_000
    # All rows in four bits, which bytes buy, take no more than this.
    most = 34_000 if method == "popularity" else 80_000
    assert 4 * tables.budget_size() > most
