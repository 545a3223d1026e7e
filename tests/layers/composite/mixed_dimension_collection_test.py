"""Collections whose tables have the widths of the power rule."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.embedding.methods import method_class
from keras_pss.layers.fused.mixed.power_rule import smallest_size
from keras_pss.training.build_model import embedding_parts
from keras_pss.training.config import RunConfig

DIMS = [60, 7, 300, 25]
WIDTH = 8
COUNTS = [
    [3, *np.sort(np.random.RandomState(n).zipf(1.5, n - 1) % 1000)[::-1]]
    for n in DIMS
]
RULE = {"alpha": 0.3}


def ids_of(dims, rows=50, columns=None):
    draw = np.random.RandomState(0)
    columns = range(len(dims)) if columns is None else columns
    return np.stack([draw.randint(0, dims[c], rows) for c in columns], axis=1)


def group_of(collection):
    collection.build()
    return next(part for part in collection.parts() if hasattr(part, "rows_of"))


def tables_of(group):
    """The uncompressed tables, block by block in the order of the widths."""
    found = [np.zeros((n, group.output_dim)) for n in group.input_dims]
    for blocks in group._blocks:
        k, first = blocks[0].width, 0
        rows = ops.convert_to_numpy(getattr(group, f"narrow_{k}_table"))
        for place, block in enumerate(blocks):
            part = rows[first : first + block.rows]
            first += block.rows
            if k < group.output_dim:
                matrices = getattr(group, f"projection_{k}_table")
                matrices = ops.convert_to_numpy(matrices)
                part = part @ matrices[place * k : (place + 1) * k]
            end = block.first + block.rows
            found[block.table][block.first : end] = part
    for table, limit in zip(found, group._limits, strict=True):
        table[limit:] = table[0]
    return found


def by_counts(budget, options=RULE, width=WIDTH):
    cls = method_class("mixed_dimension")
    found = cls.options_from_counts(
        COUNTS, width, Budget.parse(budget), options
    )
    return keras_pss.EmbeddingCollection(
        DIMS,
        width,
        "mixed_dimension",
        None,
        options={**options, **found},
    )


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("budget", ["2x", "4x", 800])
def test_tables_of_several_widths_are_gathered_by_width(budget):
    layer = keras_pss.EmbeddingCollection(
        DIMS, WIDTH, "mixed_dimension", budget, options=RULE
    )
    group = group_of(layer)
    widths = {block.width for blocks in group._blocks for block in blocks}
    assert len(group._blocks) == len(widths)
    assert layer.count_params() <= Budget.parse(budget).parameters(392 * 8)
    ids = ids_of(DIMS)
    (part,) = layer.parts()
    wanted = [t[ids[:, f]] for f, t in enumerate(tables_of(group))]
    assert part is group
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(ids)),
        np.stack(wanted, 1),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("budget", ["2x", "5x", "20x", "60x", 4 * WIDTH])
def test_blocks_of_tables_equal_their_definition(budget):
    layer = by_counts(budget)
    group = group_of(layer)
    assert layer.count_params() <= Budget.parse(budget).parameters(392 * 8)
    ids = ids_of(DIMS)
    wanted = [t[ids[:, f]] for f, t in enumerate(tables_of(group))]
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(ids)),
        np.stack(wanted, 1),
        rtol=1e-5,
        atol=1e-7,
    )


def test_gradients_reach_the_block_of_each_id_alone():
    layer = by_counts("5x")
    group = group_of(layer)
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = [ops.convert_to_numpy(w).copy() for w in group.weights]
    ids = ids_of(DIMS, 2)
    model.fit(ids, np.ones((2, 4, WIDTH), "float32"), verbose=0)
    changed = 0
    for old, new in zip(before, group.weights, strict=True):
        rows = np.abs(ops.convert_to_numpy(new) - old).max(axis=1) > 0
        if "narrow" in new.name:
            changed += rows.sum()
    assert changed == len(
        {
            (f, int(i) if i < group._limits[f] else 0)
            for f in range(4)
            for i in ids[:, f]
        }
    )


@pytest.mark.slow_on_jax
def test_columns_of_a_table_share_its_rows():
    layer = keras_pss.EmbeddingCollection(
        {"item": DIMS[2], "user": DIMS[0]},
        WIDTH,
        "mixed_dimension",
        900,
        options={**RULE},
        features={
            "item": "item",
            "user": "user",
            "seen": keras_pss.FeatureConfig("item", length=3),
        },
    )
    items = np.arange(20)
    seen = np.stack([items, (items + 3) % 20, np.full(20, -1)], axis=1)
    rows = ops.convert_to_numpy(
        layer({"item": items, "user": items, "seen": seen})
    )
    np.testing.assert_allclose(
        rows[:, 2], (rows[:, 0] + rows[(items + 3) % 20, 0]) / 2, rtol=1e-5
    )
    assert layer.count_params() <= 900


def test_without_a_budget_the_smallest_table_is_full():
    layer = keras_pss.EmbeddingCollection(
        DIMS, WIDTH, "mixed_dimension", None, options={"alpha": 0.5}
    )
    group = group_of(layer)
    widths = {b.table: b.width for blocks in group._blocks for b in blocks}
    assert widths == {
        f: int(np.floor(8 * (7 / n) ** 0.5 + 0.5)) for f, n in enumerate(DIMS)
    }
    each = keras_pss.EmbeddingCollection(
        [9, 8], 4, "mixed_dimension", None, options={"inner_dim": (2, 4)}
    )
    assert each.twin(3).options == {"inner_dim": (2, 3)}
    wide = layer.twin(1)
    wide.build()
    assert wide.count_params() == sum(DIMS)


def test_a_budget_below_one_number_for_each_id_needs_counts():
    smallest = smallest_size(DIMS, WIDTH)
    options = {"options": RULE, "method": "mixed_dimension"}
    layer = keras_pss.EmbeddingCollection(
        DIMS, WIDTH, budget=smallest, **options
    )
    layer.build()
    assert layer.count_params() <= smallest
    with pytest.raises(InfeasibleBudget, match=f"at least {smallest} param"):
        keras_pss.EmbeddingCollection(
            DIMS, WIDTH, budget=smallest - 1, **options
        )
    assert by_counts("60x").options["num_rows"] != ()


@pytest.mark.parametrize("mode", [None, "int8", "int4"])
def test_a_model_is_saved_and_packed(tmp_path, mode):
    layer = by_counts("5x")
    model = keras_pss.models.Model(
        inputs := keras.Input((4,), dtype="int32"), layer(inputs)
    )
    ids = ids_of(DIMS)
    before = ops.convert_to_numpy(model(ids))
    if mode is not None:
        layer.quantize(mode)
        packed = ops.convert_to_numpy(model(ids))
        atol = np.abs(before).max() / {"int8": 60, "int4": 3}[mode]
        np.testing.assert_allclose(packed, before, atol=atol)
        before = packed
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(ids)), before)


@pytest.mark.parametrize("budget", ["4x", "20x", "60x"])
def test_a_run_with_counts_divides_tables_into_blocks(budget):
    config = RunConfig(
        model="deepfm",
        method="mixed_dimension",
        options=RULE,
        budget=budget,
        dim=WIDTH,
    )
    parts = embedding_parts(config, DIMS, counts=COUNTS)
    for part in parts.values():
        part.build()
    assert parts["embeddings"].method == "mixed_dimension"
    allowed = Budget.parse(budget).parameters(392 * (WIDTH + 1))
    assert sum(part.count_params() for part in parts.values()) <= allowed


@pytest.mark.parametrize(
    ("budget", "options", "message"),
    [
        ("4x", {"alpha": 3}, "`alpha`, the exponent"),
        ("4x", {**RULE, "num_blocks": 0}, "`num_blocks` must be a positive"),
        ("4x", {"num_blocks": 2}, "`num_blocks` belongs to the power rule"),
        ("4x", {"inner_dim": 2}, "are: num_rows, alpha"),
        ("4x", {**RULE, "inner_dim": 2}, "`options` of method='mixed_dim"),
        (None, {}, "must give the size of a table: `inner_dim`"),
        (None, {"inner_dim": [2, 1]}, "one entry for each table"),
        (
            None,
            {"inner_dim": [[2], [1, 2], [1], [1]], "num_rows": [[5]] * 4},
            "one number for each block",
        ),
    ],
)
def test_wrong_options(budget, options, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.EmbeddingCollection(
            DIMS, WIDTH, "mixed_dimension", budget, options=options
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_rows": (3, 6)}, "at most `input_dim`, the number of ids, over"),
        ({"num_rows": (3,)}, "one number for each block"),
        ({"num_rows": ()}, "a list of one for each block"),
        ({"inner_dim": (1, 2)}, "`inner_dim` must not rise"),
        ({"inner_dim": (9, 1)}, "`inner_dim` must be a positive integer of"),
        ({"num_rows": (3, 0)}, "`num_rows` must be a positive integer"),
        ({"num_rows": None}, "`inner_dim` must be a positive integer of"),
    ],
)
def test_wrong_blocks(change, message):
    arguments = {"num_rows": (3, 2), "inner_dim": (2, 1), **change}
    with pytest.raises(ValueError, match=message):
        keras_pss.MixedDimensionEmbedding(8, 4, **arguments)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"alpha": 0.3}, "`alpha` belongs to the power rule of several"),
        ({"num_blocks": 2}, "`num_blocks` belongs to the power rule"),
        ({"num_rows": (3, 4)}, "A budget determines one width for all ids"),
    ],
)
def test_a_budget_of_one_table_determines_one_width(argument, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.embedding(500, 8, "mixed_dimension", "4x", **argument)
