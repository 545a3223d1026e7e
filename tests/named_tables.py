"""Collections with named tables, and what they must give, in NumPy."""

import numpy as np
from keras import ops

import keras_pss
from keras_pss.layers.fused.robe_group import ROBEGroup

ROWS = {"user": 900, "item": 5000, "genre": 7}
LENGTHS = {"viewed": 5, "liked": 3, "genres": 4, "tags": 2}
SIZE = 30


def features():
    """Single and multi-hot features of three tables, out of order."""
    feature = keras_pss.FeatureConfig
    return {
        "viewed": feature("item", length=5),
        "user": "user",
        "genres": feature("genre", length=4, combiner="max"),
        "item": "item",
        "liked": feature("item", length=3, combiner="sum", weighted=True),
        "main_genre": "genre",
        "tags": feature("user", length=2, combiner="sqrtn", weighted=True),
    }


def make(method="robe", budget="20x", widths=(8, 8, 8), **kwargs):
    """A collection; tables of width None have that of the collection."""
    tables = {
        name: keras_pss.TableConfig(rows, width)
        for (name, rows), width in zip(ROWS.items(), widths, strict=True)
    }
    given = {"features": features(), "dense": {"price": 1, "text": 3}}
    return keras_pss.EmbeddingCollection(
        tables, 8, method, budget, **given | kwargs
    )


def batch(size=SIZE, seed=0):
    """Packed inputs; bags of all lengths, some empty, padding in between."""
    random = np.random.RandomState(seed)
    ids = {}
    for name, feature in features().items():
        table = feature if isinstance(feature, str) else feature.table
        length = LENGTHS.get(name, 1)
        ids[name] = random.randint(0, ROWS[table], (size, length))
        if name in LENGTHS:
            padding = random.uniform(size=ids[name].shape) < 0.4
            ids[name] = np.where(padding, -1, ids[name])
            ids[name][0] = -1
    single = [name for name in ids if name not in LENGTHS]
    packed = {"categorical": np.concatenate([ids[n] for n in single], axis=1)}
    packed |= {name: ids[name] for name in LENGTHS}
    packed = {name: x.astype("int32") for name, x in packed.items()}
    for name in ("liked", "tags"):
        weights = random.uniform(0.1, 2, packed[name].shape).astype("float32")
        packed[f"{name}_weights"] = np.where(packed[name] < 0, np.nan, weights)
    return packed


def by_name(packed):
    """The same inputs with each single-valued feature by its name."""
    single = [name for name in features() if name not in LENGTHS]
    columns = packed["categorical"].T
    others = {k: x for k, x in packed.items() if k != "categorical"}
    return others | dict(zip(single, columns, strict=True))


def tables_of(collection):
    """The uncompressed tables, float32 by name, from the parts' weights."""
    if not collection.built:
        collection.build()
    names, found = list(collection.input_dims), {}
    full = collection._allocation.full
    by_width = {}
    specs = collection.specs()
    for table in full:
        by_width.setdefault(specs[table].width, []).append(table)
    groups = [*by_width.values(), *collection._allocation.units]
    for tables, part in zip(groups, collection.lookups, strict=True):
        if set(tables) <= set(full):
            stacked = ops.convert_to_numpy(part.embeddings_table)
            for table in tables:
                rows = specs[table].rows
                found[names[table]], stacked = stacked[:rows], stacked[rows:]
        elif isinstance(part, ROBEGroup):
            memory = keras_pss.SharedMemory(part.memory_size)
            memory.build()
            memory.memory_table.assign(part.memory_table)
            for table in tables:
                single = keras_pss.ROBEEmbedding(
                    specs[table].rows,
                    specs[table].width,
                    memory=memory,
                    table=table,
                    **specs[table].options,
                )
                found[names[table]] = single.materialize()
        else:
            found[names[tables[0]]] = part.materialize()
    return found


def pooled(rows, ids, weights, combiner):
    """One bag after the other, in float64."""
    out = np.zeros((len(ids), rows.shape[1]))
    for b, bag in enumerate(ids):
        kept = bag != -1
        if not kept.any():
            continue
        own = rows[bag[kept]].astype("float64")
        if combiner == "max":
            out[b] = own.max(axis=0)
            continue
        w = np.ones(kept.sum()) if weights is None else weights[b][kept]
        norm = {
            "sum": 1,
            "mean": w.sum(),
            "sqrtn": np.sqrt((w.astype("float64") ** 2).sum()),
        }[combiner]
        out[b] = (w[:, None] * own).sum(axis=0) / norm
    return out


def expected(collection, packed):
    """The vectors of each feature by name, float64."""
    tables, named = tables_of(collection), by_name(packed)
    return {
        name: pooled(
            tables[feature.table],
            np.reshape(named[name], (len(packed["categorical"]), -1)),
            named.get(f"{name}_weights"),
            feature.combiner,
        )
        for name, feature in collection.features.items()
    }
