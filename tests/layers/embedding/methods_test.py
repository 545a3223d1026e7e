"""What is particular to a method: golden sizes, sharing, errors."""

import inspect
import math
import pkgutil
import re
from importlib import import_module

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.embedding.methods import METHODS
from keras_pss.layers.embedding.qr_embedding import _limit, _most_buckets, _rows

# Ids of Criteo Kaggle's 26 columns.
KAGGLE = [
    1460,
    583,
    10131227,
    2202608,
    305,
    24,
    12517,
    633,
    3,
    93145,
    5683,
    8351593,
    3194,
    27,
    14992,
    5461306,
    10,
    5652,
    2173,
    4,
    7046547,
    18,
    15,
    286181,
    105,
    142572,
]


def test_every_method_has_a_name_and_is_exported():
    """A class without its line in methods.py is none."""
    classes = set()
    for room in ("embedding", "composite"):
        package = import_module(f"keras_pss.layers.{room}")
        for file in pkgutil.iter_modules(package.__path__):
            module = import_module(f"{package.__name__}.{file.name}")
            classes |= {
                value
                for value in vars(module).values()
                if inspect.isclass(value)
                and issubclass(value, CompressedEmbedding)
                and value.__module__ == module.__name__
            }
    assert classes == set(METHODS.values())
    assert len(classes) == len(METHODS)
    for cls in classes:
        assert getattr(keras_pss, cls.__name__) is cls
        assert getattr(keras_pss.layers, cls.__name__) is cls
        assert cls.__name__ in dir(keras_pss)
    listed = re.findall(r'`"(\w+)"`', keras_pss.embedding.__doc__)
    assert set(METHODS) <= set(listed)


@pytest.mark.parametrize("method", METHODS)
def test_every_name_makes_its_class_within_a_budget(method):
    layer = keras_pss.embedding(5000, 8, method=method, budget="2x")
    assert type(layer) is METHODS[method]
    assert METHODS[method].compresses == (layer.budget_size() <= 20_000)


@pytest.mark.parametrize(
    ("method", "group"),
    [("full", "FullGroup"), ("robe", "ROBEGroup"), ("hash", None)],
)
def test_what_many_tables_become_is_the_methods(method, group):
    fused = METHODS[method].fuse([50, 40], 8, (0, 3), 64, name="together")
    assert (None if fused is None else type(fused).__name__) == group
    if fused is None:
        return
    fused.build()
    assert fused.budget_size() == (90 * 8 if method == "full" else 64)
    rows = fused(ops.convert_to_tensor([[49, 39], [0, 1]]))
    assert rows.shape == (2, 2, 8)


@pytest.mark.parametrize(
    ("collisions", "rows"),
    [(4, 8440878), (10, 3376633), (60, 564002), (250, 139764)],
)
def test_qr_rows_on_criteo_kaggle_are_dlrms(collisions, rows):
    """DLRM's `--qr-collisions`, tables of 200 ids and fewer left full."""
    found = sum(_rows(n, collisions) if n > 200 else n for n in KAGGLE)
    assert found == rows


def test_qr_has_a_floor():
    """Two tables of ceil(sqrt(n)) rows: 28,813 for Criteo Kaggle."""
    smallest = [keras_pss.QREmbedding.smallest_size(n, 1) for n in KAGGLE]
    floor = sum(min(n, s) for n, s in zip(KAGGLE, smallest, strict=True))
    roots = [math.isqrt(n - 1) + 1 for n in KAGGLE]
    assert (
        sum(min(n, 2 * r) for n, r in zip(KAGGLE, roots, strict=True)) == 28813
    )
    assert 28800 <= floor <= 28813
    with pytest.raises(ValueError, match=r"at least 128 parameters \(15.6x\)"):
        keras_pss.QREmbedding.from_budget(1000, 2, 127)
    assert keras_pss.QREmbedding.from_budget(1000, 2, 128).num_buckets == 36


@pytest.mark.parametrize("partitions", [2, 3, 4])
@given(rows=st.integers(1, 3000), extra=st.integers(0, 500))
def test_qr_takes_the_largest_remainder_tables_that_fit(
    partitions, rows, extra
):
    smallest = keras_pss.QREmbedding.smallest_size(
        rows, 1, num_partitions=partitions
    )
    budget = smallest + extra
    sizes = {
        c: _rows(rows, c, partitions)
        for c in range(1, _limit(rows, partitions) + 1)
    }
    assert smallest == min(sizes.values())
    fitting = [c for c, size in sizes.items() if size <= budget]
    assert _most_buckets(rows, budget, partitions) == max(fitting)


def test_qr_partitions_must_fit_each_other():
    make = keras_pss.QREmbedding
    with pytest.raises(ValueError, match=r"one integer for each partition"):
        make(60, 12, num_buckets=(3, 4), num_partitions=2)
    with pytest.raises(ValueError, match=r"`num_partitions` must be at least"):
        make(60, 12, num_buckets=4, num_partitions=1)
    with pytest.raises(ValueError, match=r"`num_partitions` must be at least"):
        make.from_budget(1000, 16, "4x", num_partitions=1)
    with pytest.raises(ValueError, match=r"as 5 do 20.*output_dim=12"):
        make(60, 12, num_buckets=2, num_partitions=5, operation="concat")


# Ids of the five largest columns of Criteo 1TB with rare values dropped, and
# of the others.
TERABYTE = [8165896, 7912889, 7156453, 5554114, 2675940]
OTHERS = [
    33823, 17139, 7339, 20046, 4, 7105, 1382, 63, 582469, 245828, 11, 2209,
    10667, 104, 4, 968, 15, 302516, 12022, 97, 35,
]  # fmt: skip


def mebibytes(tables):
    """The review rounds each table's size before it adds them."""
    return round(sum(round(4 * size / 2**20, 4) for size in tables), 4)


@pytest.mark.parametrize(
    ("tables", "rank", "terms", "size"),
    [
        (5, 8, 1, 0.7739),
        (5, 8, 2, 1.5284),
        (5, 8, 4, 3.0371),
        (5, 16, 2, 3.0566),
        (5, 16, 4, 6.0742),
        (4, 8, 1, 0.6699),
        (4, 8, 2, 1.3243),
        (4, 16, 2, 2.6484),
    ],
)
def test_fpd_has_the_sizes_of_the_review(tables, rank, terms, size):
    found = []
    for rows in TERABYTE[:tables]:
        layer = keras_pss.FPDEmbedding(rows, 128, rank=rank, terms=terms)
        found.append(sum(table.size for table in layer.tables().values()))
    assert mebibytes(found) == size


def test_the_review_counts_the_other_tables_alike():
    full = [128 * rows for rows in TERABYTE]
    others = [128 * rows for rows in OTHERS]
    assert mebibytes(full) == pytest.approx(15363.912, abs=2e-4)
    assert mebibytes(others) == 607.3469
    assert mebibytes([*others, full[4]]) == 1913.9582


def test_fpd_spends_its_budget_on_rank_and_terms():
    layer = keras_pss.FPDEmbedding.from_budget(6040, 32, "16x")
    assert layer.memory_report().compression == pytest.approx(16, rel=0.03)
    assert (layer.rank, layer.terms) == (9, 8)
    given = keras_pss.FPDEmbedding.from_budget(6040, 32, "16x", terms=2)
    assert (given.rank, given.terms) == (32, 2)
    with pytest.raises(ValueError, match="`rank` must be a positive integer"):
        keras_pss.FPDEmbedding(100, 8, rank=9)


def test_memcom_starts_as_shared_rows_and_has_a_floor():
    layer = keras_pss.MEMComEmbedding(50, 8, num_buckets=10, bias=True)
    table = layer.materialize()
    np.testing.assert_array_equal(table[:10], table[10:20])
    with pytest.raises(ValueError, match=r"at least 1032 parameters \(31x\)"):
        keras_pss.MEMComEmbedding.from_budget(1000, 32, "32x")


def test_low_rank_has_the_rank_that_fits():
    make = keras_pss.MixedDimensionEmbedding
    layer = make.from_budget(1000, 32, "16x")
    assert layer.inner_dim == 1
    assert np.linalg.matrix_rank(layer.materialize(), tol=1e-6) == 1
    assert make.from_budget(1000, 32, "1x").inner_dim == 32
    assert make.from_budget(1000, 32, "1.1x").inner_dim == 28


@pytest.mark.parametrize(
    "make", [keras_pss.TTEmbedding, keras_pss.TensorRingEmbedding]
)
@pytest.mark.parametrize("shape", ["balanced", "min_params"])
def test_ranks_spend_the_budget_and_are_nearly_equal(make, shape):
    layer = make.from_budget(6040, 32, "16x", row_shape=shape)
    assert 0.97 < layer.budget_size() / (6040 * 32 // 16) <= 1
    ranks = [right for *_, right in layer._cores]
    ranks = ranks[:-1] if make is keras_pss.TTEmbedding else ranks
    assert max(ranks) - min(ranks) <= 2
    # Raising any of them would not fit.
    for k in range(len(ranks)):
        more = [rank + (j == k) for j, rank in enumerate(ranks)]
        larger = make(6040, 32, rank=more, row_shape=layer.row_shape)
        size = sum(table.size for table in larger.tables().values())
        assert size > 6040 * 32 // 16


@pytest.mark.parametrize(
    ("make", "rank"),
    [
        (keras_pss.TTEmbedding, (4, 3)),
        (keras_pss.TensorRingEmbedding, (3, 4, 2)),
    ],
)
def test_many_ids_and_few_read_the_same_rows(make, rank):
    """Many of them out of the whole table, which is built at once."""
    layer = make(90, 12, rank=rank, row_shape=(3, 6, 5))
    few = [layer.materialize(np.arange(k, k + 9)) for k in range(0, 90, 9)]
    np.testing.assert_allclose(
        layer.materialize(), np.concatenate(few), rtol=1e-5, atol=1e-8
    )
    four = make(81, 16, rank=2, num_cores=4)
    few = [four.materialize(np.arange(k, k + 9)) for k in range(0, 81, 9)]
    np.testing.assert_allclose(
        four.materialize(), np.concatenate(few), rtol=1e-5, atol=1e-8
    )


def test_tensor_ring_of_rank_one_is_the_train_of_rank_one():
    shape = {"row_shape": (3, 4, 5), "column_shape": (2, 2, 3)}
    ring = keras_pss.TensorRingEmbedding(60, 12, rank=1, **shape)
    train = keras_pss.TTEmbedding(60, 12, rank=1, **shape)
    ring.build()
    train.build()
    for mine, theirs in zip(ring.weights, train.weights, strict=True):
        theirs.assign(mine)
    np.testing.assert_allclose(
        ring.materialize(), train.materialize(), rtol=1e-6
    )
    with pytest.raises(ValueError, match=r"`rank` must be one integer or 3"):
        keras_pss.TensorRingEmbedding(60, 12, rank=(2, 2))


def test_hash_embeddings_start_as_the_plain_sum():
    shape = {"num_buckets": 9, "num_hashes": 2}
    initial = keras.initializers.RandomUniform(-1, 1, seed=1)
    plain = keras_pss.HashedEmbedding(60, 4, initial, **shape)
    weighted = keras_pss.HashedEmbedding(60, 4, initial, weighted=True, **shape)
    assert weighted.importance_rows == 60
    np.testing.assert_allclose(
        weighted.materialize(), plain.materialize(), rtol=1e-6, atol=1e-7
    )
    with pytest.raises(ValueError, match="needs weighted=True"):
        keras_pss.HashedEmbedding(60, 4, importance_rows=5, **shape)


def test_a_table_that_fits_is_not_compressed(caplog):
    layer = keras_pss.embedding(
        100, 8, method="robe", budget=800, block_size=4, gradient="dense"
    )
    assert type(layer) is keras_pss.FullEmbedding
    assert layer.gradient == "dense"
    assert "fits into budget=800 uncompressed" in caplog.text
    layer = keras_pss.embedding(100, 8, method="robe", budget=799)
    assert type(layer) is keras_pss.ROBEEmbedding


def test_tables_of_a_shared_memory_read_other_places():
    memory = keras_pss.SharedMemory(1000)
    first = keras_pss.ROBEEmbedding(500, 8, memory=memory)
    second = keras_pss.ROBEEmbedding(400, 16, memory=memory)
    ids = np.arange(400, dtype="int32")
    assert (first.table, second.table) == (0, 1)
    rows = first.materialize(ids), second.materialize(ids)
    # By chance a row in a thousand starts at the same place.
    assert (rows[0] == rows[1][:, :8]).all(axis=1).mean() < 0.02
    with pytest.raises(ValueError, match="already has a table 1"):
        keras_pss.ROBEEmbedding(5, 8, memory=memory, table=1)
    assert keras_pss.ROBEEmbedding(5, 8, memory=memory, table=7).table == 7
    assert keras_pss.ROBEEmbedding(5, 8, memory=memory).table == 8


def test_a_shared_memory_is_counted_trained_and_saved_once(tmp_path):
    memory = keras_pss.SharedMemory(300)
    ids = keras.Input((2,), dtype="int32")
    joined = keras.layers.Concatenate()(
        [
            keras_pss.ROBEEmbedding(500, 8, memory=memory)(ids),
            keras_pss.ROBEEmbedding(900, 4, memory=memory)(ids),
        ]
    )
    model = keras.Model(ids, joined)
    assert model.count_params() == 300
    assert len(model.trainable_weights) == 1
    model.compile("adam", "mse")
    batch = np.array([[1, 2], [3, 499]], "int32")
    model.fit(batch, np.ones((2, 2, 12)), verbose=0)
    before = model.predict(batch, verbose=0)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after.predict(batch, verbose=0), before)
    first, second = (
        layer for layer in after.layers if hasattr(layer, "memory_size")
    )
    assert first.memory is second.memory
    assert after.count_params() == 300
    after.fit(batch, np.ones((2, 2, 12)), verbose=0)


def test_fold_at_ratio_one_is_the_table_itself():
    """The memory holds each row once, so nothing is shared at 1x."""
    layer = keras_pss.ROBEEmbedding(50, 4, memory_size=200, mapping="fold")
    places = ops.convert_to_numpy(layer.positions(np.arange(50, dtype="int32")))
    assert sorted(places.ravel()) == list(range(200))


def test_fold_loads_the_memory_evenly():
    layer = keras_pss.ROBEEmbedding(500, 4, memory_size=200, mapping="fold")
    ids = np.arange(500, dtype="int32")
    places = ops.convert_to_numpy(layer.positions(ids))
    np.testing.assert_array_equal(np.bincount(places.ravel()), 10)


def test_open_vocabularies_take_any_id():
    wide = np.array([0, 2**31 - 1], "int32")
    if keras.backend.backend() != "jax":
        wide = np.array([0, 2**31 + 5, 2**62 + 1])
    for cls, arguments in (
        (keras_pss.ROBEEmbedding, {"memory_size": 100}),
        (keras_pss.ROBEEmbedding, {"memory_size": 96, "mapping": "fold"}),
        (keras_pss.HashedEmbedding, {"num_buckets": 10}),
        (
            keras_pss.HashedEmbedding,
            {"num_buckets": 10, "num_hashes": 2, "weighted": True},
        ),
        (keras_pss.SketchEmbedding, {"num_buckets": 10}),
        (keras_pss.DeepHashEmbedding, {"hidden_units": (8,)}),
    ):
        layer = cls(None, 8, **arguments)
        rows = ops.convert_to_numpy(layer(ops.convert_to_tensor(wide)))
        assert np.isfinite(rows).all()
        assert layer.memory_report().compression is None
        with pytest.raises(ValueError, match="non-negative integers"):
            layer(np.array([-1], "int32"))
        with pytest.raises(ValueError, match=r"no last row. Give `ids`"):
            layer.materialize()
        with pytest.raises(ValueError, match=r"an open vocabulary.*rounded"):
            layer(np.array([1.0], "float32"))


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
        with pytest.raises(ValueError, match=f"decides about `{name}`"):
            cls.from_budget(1000, 8, 4000, **arguments)
    large = keras_pss.ROBEEmbedding.from_budget(300_000_000, 16, "1x")
    assert large.memory_size == 2**31 - 1
    assert keras_pss.HashedEmbedding.from_budget(10, 4, 10**5).num_buckets == 10


@pytest.mark.parametrize("seed", [None, -1, 1.5, True])
def test_hash_seeds_are_checked_at_once(seed):
    for cls, size in (
        (keras_pss.ROBEEmbedding, {"memory_size": 64}),
        (keras_pss.HashedEmbedding, {"num_buckets": 4}),
    ):
        with pytest.raises(ValueError, match="`seed` must be 0 or a pos"):
            cls(100, 8, seed=seed, **size)


def test_an_initializer_of_ones_own_needs_no_config():
    class Threes(keras.initializers.Initializer):
        def __init__(self, value):
            self.value = value

        def __call__(self, shape, dtype=None):
            return ops.full(shape, self.value, dtype)

    layer = keras_pss.FullEmbedding(5, 2, Threes(3.0))
    np.testing.assert_array_equal(layer.materialize(), np.full((5, 2), 3.0))


def test_materialize_checks_ids_as_a_call_does():
    with pytest.raises(ValueError, match="rounded to another"):
        keras_pss.HashedEmbedding(2**25, 2, num_buckets=3).materialize(
            np.array([1.0], "float32")
        )
    if keras.backend.backend() == "jax":
        for wide in (2**32 + 5, -(2**32) + 5):
            layer = keras_pss.FullEmbedding(10, 2)
            for look_up in (layer, layer.materialize):
                with pytest.raises(ValueError, match="cut to 32 bits"):
                    look_up(np.array([wide]))


def test_wide_ids_are_used_whole_or_refused():
    """An id above 32 bits must not read the row of its low word."""
    layer = keras_pss.ROBEEmbedding(None, 8, memory_size=1000)
    wide = np.array([2**33 + 1])
    if keras.backend.backend() == "jax":
        with pytest.raises(ValueError, match=r"cut to 32 bits.*8589934593"):
            layer(wide)
        return
    low, whole = layer(np.array([1])), layer(wide)
    assert np.any(ops.convert_to_numpy(low) != ops.convert_to_numpy(whole))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either `memory_size`.*or `memory`"),
        ({"memory_size": 7}, "at least `output_dim`"),
        ({"memory_size": 100, "block_size": 101}, "not exceed `memory_size`"),
        ({"memory_size": 100, "block_size": 20}, "such as 16. Received"),
        ({"memory_size": 100, "mapping": "fold"}, "such as 96. Received"),
        ({"memory_size": 100, "mapping": "flod"}, "'block', 'fold'"),
        ({"memory_size": 100, "hash": "md5"}, "'pss1', 'universal'"),
        ({"memory": "m"}, "must be a `keras_pss.SharedMemory`"),
        ({"memory_size": 2**31}, "positive integer of at most 2147483647"),
    ],
)
def test_robe_errors_name_the_fix(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.ROBEEmbedding(50, 8, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "`rank` must be a positive integer"),
        ({"rank": (2, 2, 2)}, "one integer or 2, one for each place where two"),
        ({"rank": 2, "num_cores": 1}, "two or more cores"),
        ({"rank": 2, "row_shape": (2, 3, 4)}, r"at least input_dim=50, such"),
        ({"rank": 2, "row_shape": "square"}, "'min_params' or factors"),
        ({"rank": 2, "column_shape": (2, 2, 3)}, r"as of \(2, 2, 2\)"),
        ({"rank": 2, "column_shape": (2, 4), "num_cores": 3}, "one factor of"),
        ({"rank": 2, "gauge": "left"}, "'balanced', 'last_core'"),
    ],
)
def test_tensor_train_errors_name_the_fix(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.TTEmbedding(50, 8, **arguments)


def test_products_refuse_an_initializer_that_cannot_train():
    for layer in (
        keras_pss.TTEmbedding(50, 8, "zeros", rank=2),
        keras_pss.QREmbedding(50, 8, "ones", num_buckets=7),
    ):
        with pytest.raises(ValueError, match="multiplies its parameters"):
            layer.build()


def test_tables_of_one_initializer_start_differently():
    layer = keras_pss.QREmbedding(
        49, 8, keras.initializers.RandomUniform(seed=3), num_buckets=7
    )
    layer.build()
    quotient, remainder = (ops.convert_to_numpy(w) for w in layer.weights)
    assert quotient.shape == remainder.shape
    assert not np.any(quotient == remainder)


def test_last_core_gauge_moves_a_row_as_a_dense_table_does():
    """Squared partials of an entry sum to about 1; balanced, to far less."""
    sums = {}
    for gauge in ("balanced", "last_core"):
        layer = keras_pss.TTEmbedding(
            100_000,
            16,
            keras.initializers.RandomUniform(-0.003, 0.003),
            rank=8,
            gauge=gauge,
        )
        layer.build()
        rows, columns = layer.row_shape, layer.column_shape
        squares = [np.mean(ops.convert_to_numpy(w) ** 2) for w in layer.weights]
        variance = np.prod(squares) * 8 * 8
        # Leaving one core out of the product: one partial derivative each,
        # as many as paths run through it.
        sums[gauge] = sum(variance / s for s in squares)
        assert len(rows) == len(columns) == 3
    assert sums["last_core"] == pytest.approx(1, rel=0.1)
    assert sums["balanced"] < 0.01


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


def test_model_add_as_a_reader_of_the_readme_types_it():
    model = keras.Sequential()
    model.add(keras.Input((4,), dtype="int32"))
    model.add(keras_pss.ROBEEmbedding(10_000, 8, memory_size=1000))
    model.add(keras.layers.GlobalAveragePooling1D())
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    model.compile("adam", "binary_crossentropy")
    ids = np.random.RandomState(0).randint(0, 10_000, (64, 4))
    history = model.fit(ids, ids[:, 0] % 2, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    no_input = keras.Sequential(
        [keras_pss.ROBEEmbedding(100, 8, memory_size=50)]
    )
    assert no_input(np.array([[1, 99]])).shape == (1, 2, 8)


def test_regularizer_and_constraint_reach_the_parameters():
    layer = keras_pss.HashedEmbedding(
        100,
        4,
        embeddings_regularizer=keras.regularizers.L2(0.5),
        embeddings_constraint="non_neg",
        num_buckets=5,
    )
    layer(np.array([1]))
    weight = ops.convert_to_numpy(layer.weights[0])
    loss = float(ops.convert_to_numpy(layer.losses[0]))
    assert loss == pytest.approx(0.5 * (weight**2).sum(), rel=1e-5)
    assert layer.weights[0].constraint is not None


@pytest.mark.parametrize("rows", [1, 60])
def test_a_network_with_dead_units_starts_finite(rows):
    for seed in range(12):
        layer = keras_pss.DeepHashEmbedding(
            rows,
            8,
            keras.initializers.RandomUniform(-0.1, 0.1, seed=seed),
            hidden_units=(1, 1),
            num_hashes=2,
            activation="relu",
        )
        assert np.isfinite(layer.materialize()).all()


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
    assert 4 * tables.budget_size() > 80_000 or (
        method in ("mixed_dimension", "quantized", "memcom")
    )


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.export")
def test_jax_exports_a_train_for_any_number_of_ids():
    import jax

    layer = keras_pss.TTEmbedding(90, 12, rank=3)
    layer.build()
    ids = np.arange(90, dtype="int32").reshape(30, 3)
    exported = jax.export.export(jax.jit(lambda ids: layer(ids)))(
        jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 3"), "int32")
    )
    np.testing.assert_allclose(
        exported.call(ids), layer.materialize()[ids], rtol=1e-5, atol=1e-7
    )
