"""The models whose saved forms are golden files; see make_golden.py."""

from typing import Any

import keras
import method_row
import methods
import numpy as np
from keras import ops

import keras_pss
from keras_pss.training import WarmupDecay

# Outputs that are rows as they are stored, or elementwise of few of them.
GATHERED = ("full", "hash", "qr", "robe", "quantized", "memcom")
DIMS = (40, 31, 3, 9)


def stir(model: keras.Model) -> None:
    """Moves every weight, so that no two that start alike stay alike.

    Quantized tables are on their grid and stay there.
    """
    random = np.random.RandomState(7)
    for layer in model.layers:
        if layer.name.startswith("quantized"):
            continue
        for weight in layer.trainable_weights:
            noise = random.normal(scale=0.1, size=weight.shape)
            value = ops.convert_to_numpy(weight) + noise
            weight.assign(value.astype("float32"))


def gathered(names: Any) -> list[str]:
    sums = ("hash_sum", "hash_embeddings")
    return sorted(
        name
        for name in names
        if name.startswith(GATHERED) and not name.startswith(sums)
    )


def layers() -> tuple:
    """Every row of methods.py: each class with each of its options."""
    random = np.random.RandomState(1)
    ids = random.randint(0, methods.DIM, (4, 6)).astype("int32")
    ids[0, :4] = method_row.HOT_IDS
    ids[1, :2] = 0, methods.DIM - 1
    inputs = keras.Input((None,), dtype="int32", name="ids")
    found = {}
    for method in methods.METHODS:
        layer = method.make(name=method.id)
        if isinstance(layer, keras_pss.HotRows):
            layer(ids, training=True)  # counters, which are saved as well
        found[method.id] = layer(inputs)
    memory = keras_pss.SharedMemory(101, name="memory")
    for number, (rows, width) in enumerate([(60, 8), (70, 4)]):
        layer = keras_pss.ROBEEmbedding(
            rows, width, block_size=4, memory=memory, name=f"robe_of_{number}"
        )
        found[layer.name] = layer(inputs)
    layer = keras_pss.FullEmbedding(
        60,
        4,
        embeddings_regularizer="l2",
        embeddings_constraint="non_neg",
        mask_zero=True,
        gradient="sparse",
        dtype="mixed_bfloat16",
        name="full_of_options",
    )
    found[layer.name] = layer(inputs)
    model = keras.Model({"ids": inputs}, found, name="layers")
    stir(model)
    return model, {"ids": ids}, gathered(found)


def bags() -> tuple:
    """Bags of each combiner, and an embedding beside its bag."""
    ids = np.array([[1, 2, 3, 0], [59, 0, 0, 0], [7, 7, 8, 9]], "int32")
    weights = np.linspace(0.5, 1.5, 12, dtype="float32").reshape(3, 4)
    inputs = {
        "ids": keras.Input((4,), dtype="int32", name="ids"),
        "weights": keras.Input((4,), name="weights"),
    }
    rows = keras_pss.ROBEEmbedding(60, 4, memory_size=48, name="robe_beside")
    tables = {
        "sum": rows,
        "mean": keras_pss.TTEmbedding(60, 4, rank=2, mask_zero=True),
        "sqrtn": keras_pss.QREmbedding(60, 4, num_buckets=7),
    }
    found = {"robe_beside": rows(inputs["ids"])}
    for combiner, table in tables.items():
        bag = keras_pss.EmbeddingBag(table, combiner, name=f"bag_{combiner}")
        found[bag.name] = bag(inputs["ids"])
        found[f"{bag.name}_weighted"] = bag(
            inputs["ids"], weights=inputs["weights"]
        )
    model = keras.Model(inputs, found, name="bags")
    stir(model)
    return model, {"ids": ids, "weights": weights}, ["robe_beside"]


def collections() -> tuple:
    """Every method string, and the forms that ROBE and hashing have."""
    forms: dict[str, dict[str, Any]] = {
        "full": {"method": "full"},
        "robe_budget": {"method": "robe", "budget": "3x"},
        "robe_all": {"method": "robe", "budget": 64, "min_rows": 1},
        "robe_fold": {
            "method": "robe",
            "budget": "3x",
            "options": {"mapping": "fold"},
        },
        "robe_sign": {
            "method": "robe",
            "budget": None,
            "options": {"memory_size": 50, "sign": True, "block_size": 2},
        },
        "hash_budget": {"method": "hash", "budget": "3x"},
        "hash_universal": {
            "method": "hash",
            "budget": None,
            "options": {"num_buckets": 5, "hash": "universal"},
        },
        "tt_rank": {"method": "tt", "budget": None, "options": {"rank": 2}},
    }
    names = ("tt", "qr", "fpd", "memcom", "mixed_dimension", "tensor_ring")
    names += ("sketch", "quantized", "deep_hash", "clustered")
    for name in names:
        forms[f"{name}_budget"] = {"method": name, "budget": "1.3x"}
    ids = np.array([[0, 0, 0, 0], [39, 30, 2, 8], [17, 4, 1, 5]], "int32")
    inputs = keras.Input((len(DIMS),), dtype="int32", name="ids")
    found = {}
    for name, form in forms.items():
        layer = keras_pss.EmbeddingCollection(DIMS, 8, **form, name=name)
        found[name] = layer(inputs)
    open_ids = (None, 31, None, 9)
    for name in ("robe", "hash"):
        layer = keras_pss.EmbeddingCollection(
            open_ids, 4, name, 120, name=f"{name}_open"
        )
        found[layer.name] = layer(inputs)
    kept = keras_pss.EmbeddingCollection((20, 9, 3, 4), 4, "full", name="kept")
    layer = keras_pss.FrequencyFilter(kept, DIMS, name="full_filtered")
    found[layer.name] = layer(inputs)
    model = keras.Model({"ids": inputs}, found, name="collections")
    stir(model)
    exact = ("full", "robe", "hash", "quantized")
    names = sorted(name for name in found if name.startswith(exact))
    return model, {"ids": ids}, names


def popularity() -> tuple:
    """Rows by popularity, of one table and of collections."""
    rows = [m for m in methods.METHODS if m.id.startswith("popularity")]
    random = np.random.RandomState(4)
    ids = random.randint(0, 7, (5, 3)).astype("int32")
    ids[0] = 58, 59, 40
    inputs = keras.Input((3,), dtype="int32", name="ids")
    found = {m.id: m.make(name=m.id)(inputs) for m in rows}
    counts = [[3, *range(70, 11, -1)], [0, *range(11, 70)], [1] + [20, 30] * 30]
    forms: dict[str, dict[str, Any]] = {
        "of_counts": {"budget": 90},
        "of_bytes": {"budget": "150B"},
        "of_bands": {"budget": 300, "inner_dim": (3, 1), "tail": "robe"},
        "of_hashed_rows": {"budget": "300B", "tail": "hash"},
    }
    for name, form in forms.items():
        layer = keras_pss.EmbeddingCollection.from_counts(
            counts, 4, **form, name=name
        )
        found[name] = layer(inputs)
    for name, budget in {"of_size": "3x", "of_size_in_bytes": "300B"}.items():
        layer = keras_pss.EmbeddingCollection(
            [60, 60, 61], 4, "popularity", budget, name=name
        )
        found[name] = layer(inputs)
    model = keras.Model({"ids": inputs}, found, name="popularity")
    stir(model)
    return model, {"ids": ids}, []


def ranked() -> tuple:
    """Blocks of mixed dimensions, and hot rows that several tables share."""
    random = np.random.RandomState(5)
    ids = random.randint(0, 60, (5, 3)).astype("int32")
    inputs = keras.Input((3,), dtype="int32", name="ids")
    blocks = keras_pss.MixedDimensionEmbedding(
        60, 6, inner_dim=(6, 3, 1), num_rows=(4, 9, 20), name="blocks"
    )
    by_counts = keras_pss.EmbeddingCollection(
        [60, 60, 61],
        6,
        "mixed_dimension",
        None,
        options={
            "num_rows": ((9, 21), (60,), (5, 10, 20)),
            "inner_dim": ((6, 2), (3,), (4, 2, 1)),
        },
        name="by_counts",
    )
    hot = keras_pss.EmbeddingCollection(
        [60, 60, 61],
        6,
        "hot_rows",
        "2x",
        options={"inner": "robe", "counts": "slots"},
        name="shared_hot",
    )
    hot(ids, training=True)  # counters, which are saved as well
    found = {layer.name: layer(inputs) for layer in (blocks, by_counts, hot)}
    model = keras.Model({"ids": inputs}, found, name="ranked")
    stir(model)
    return model, {"ids": ids}, []


def interactions() -> tuple:
    """All interactions, in each of their forms."""
    random = np.random.RandomState(2)
    given = {
        "fields": random.normal(size=(3, 6, 4)).astype("float32"),
        "x0": random.normal(size=(3, 7)).astype("float32"),
        "x": random.normal(size=(3, 7)).astype("float32"),
    }
    inputs = {
        name: keras.Input(value.shape[1:], name=name)
        for name, value in given.items()
    }
    of_fields = [
        keras_pss.FieldSum(),
        keras_pss.BiInteraction(),
        keras_pss.FactorizationMachine(),
        keras_pss.DotInteraction(),
        keras_pss.FieldAttention(3, 5),
        keras_pss.CompressedInteraction((8, 6, 5)),
        keras_pss.CompressedInteraction((7, 5), False, "linear"),
        keras_pss.SqueezeExcitation(2),
        keras_pss.BilinearInteraction("interaction"),
        keras_pss.BilinearInteraction("each"),
        keras_pss.BilinearInteraction("all"),
    ]
    crosses = [
        keras_pss.VectorCross(),
        keras_pss.MatrixCross(),
        keras_pss.MatrixCross(rank=2),
    ]
    found = {layer.name: layer(inputs["fields"]) for layer in of_fields}
    for layer in crosses:
        found[layer.name] = layer(inputs["x0"], inputs["x"])
    model = keras.Model(inputs, found, name="interactions")
    stir(model)
    return model, given, []


def more_objects() -> dict[str, Any]:
    """What is saved as a part of other things alone."""
    return {
        "memory": keras_pss.SharedMemory(101, "normal", "l2", name="memory"),
        "sketch_counts": keras_pss.HotRows(
            keras_pss.QREmbedding(600, 4, num_buckets=7, name="rows"),
            8,
            counts="sketch",
            sketch_width=128,
            embeddings_regularizer="l1",
            name="hot",
        ),
        "schedule": WarmupDecay(0.01, 2, "polynomial", 3, 20, 1e-4),
    }


SETS = {
    "layers": layers,
    "bags": bags,
    "collections": collections,
    "interactions": interactions,
    "popularity": popularity,
    "ranked": ranked,
}
