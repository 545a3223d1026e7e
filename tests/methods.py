"""One row a method: how to make it, and its formula (see formulas.py).

A new layer gets a row here, and the whole contract runs on it.
"""

from typing import Any

import formulas
import keras
import numpy as np
import pytest
from keras import ops
from method_row import DIM, WIDTH, Method, rows

import keras_pss


def weights(layer: Any) -> dict[str, np.ndarray]:
    """Tables by name in float64, those of a shared memory included."""
    owners = [layer, *layer.parts()]
    return {
        name: ops.convert_to_numpy(getattr(owner, f"{name}_table")).astype(
            np.float64
        )
        for owner in owners
        for name in owner.tables()
    }


METHODS = [
    Method("full", keras_pss.FullEmbedding, {}, formulas.full, DIM * WIDTH),
    *rows(
        keras_pss.HashedEmbedding,
        formulas.hashed,
        {"num_buckets": 2_000},
        {
            "hash": ({"num_buckets": 17}, 17 * WIDTH),
            "hash_universal": (
                {"num_buckets": 17, "hash": "universal", "seed": 5},
                17 * WIDTH,
            ),
            "hash_sum": ({"num_buckets": 17, "num_hashes": 3}, 17 * WIDTH),
            "hash_embeddings": (
                {
                    "num_buckets": 17,
                    "num_hashes": 2,
                    "weighted": True,
                    "importance_rows": 31,
                },
                17 * WIDTH + 31 * 2,
            ),
            "hash_embeddings_own_importance": (
                {
                    "num_buckets": 9,
                    "num_hashes": 3,
                    "weighted": True,
                    "hash": "universal",
                },
                9 * WIDTH + DIM * 3,
            ),
        },
    ),
    *rows(
        keras_pss.QREmbedding,
        formulas.quotient_remainder,
        {"num_buckets": 300},
        {
            "qr_mult": ({"num_buckets": 7}, (7 + 9) * WIDTH),
            "qr_add": ({"num_buckets": 7, "operation": "add"}, 16 * WIDTH),
            "qr_concat": (
                {"num_buckets": 7, "operation": "concat"},
                16 * WIDTH // 2,
            ),
        },
    ),
    *rows(
        keras_pss.QREmbedding,
        formulas.quotient_remainder,
        {"num_buckets": 40},
        {
            "qr_three": (
                {"num_buckets": 4, "num_partitions": 3},
                (4 + 4 + 4) * WIDTH,
            ),
            "qr_mixed_radix": (
                {"num_buckets": (3, 5), "operation": "concat"},
                (3 + 5 + 4) * WIDTH // 3,
            ),
        },
    ),
    *rows(
        keras_pss.ROBEEmbedding,
        formulas.robe,
        {"memory_size": 48_000},
        {
            f"robe_{name}": (
                {"memory_size": 101, **arguments},
                arguments.get("memory_size", 101),
            )
            for name, arguments in {
                "default": {},
                "shared": {"share": True, "block_size": 4},
                "hashednet": {"block_size": 1},
                "short_last_chunk": {"block_size": 5},
                "sign": {"block_size": 4, "sign": True, "seed": 9},
                "row": {"block_size": WIDTH},
                "ids_share_a_chunk": {"block_size": 4 * WIDTH, "sign": True},
                "fold": {"mapping": "fold", "memory_size": 96},
                "universal": {
                    "hash": "universal",
                    "block_size": 4,
                    "sign": True,
                },
                "power_of_two": {"memory_size": 128, "block_size": 4},
                "whole_memory": {"memory_size": 24, "block_size": 24},
                "scaled": {"output_scale": 0.5},
            }.items()
        },
    ),
    *rows(
        keras_pss.TTEmbedding,
        formulas.tensor_train,
        {"rank": 16, "row_shape": "balanced", "column_shape": None},
        {
            "tt_default": (
                {"rank": 3},
                3 * 2 * 3 + 4 * 3 * 2 * 3 + 5 * 3 * 3,
            ),
            "tt_two_cores": (
                {"rank": 3, "num_cores": 2},
                6 * 3 * 3 + 10 * 3 * 4,
            ),
            "tt_four_cores": (
                {
                    "row_shape": (2, 3, 3, 4),
                    "rank": (2, 3, 2),
                    "num_cores": 4,
                },
                2 * 2 + 3 * 2 * 2 * 3 + 3 * 3 * 2 * 2 + 4 * 2 * 3,
            ),
            "tt_last_core": (
                {"rank": 3, "gauge": "last_core", "column_shape": (3, 2, 2)},
                3 * 3 * 3 + 4 * 3 * 2 * 3 + 5 * 3 * 2,
            ),
            "tt_min_params": ({"row_shape": "min_params", "rank": 2}, 0),
        },
        meanless=True,
    ),
    *rows(
        keras_pss.TensorRingEmbedding,
        formulas.tensor_ring,
        {"rank": 6, "row_shape": "balanced", "column_shape": None},
        {
            "tensor_ring": (
                {"rank": 2},
                (3 * 2 + 4 * 2 + 5 * 3) * 2 * 2,
            ),
            "tensor_ring_ranks": (
                {"rank": (2, 3), "row_shape": (7, 9), "num_cores": 2},
                7 * 2 * 3 * 3 + 9 * 3 * 4 * 2,
            ),
        },
        meanless=True,
    ),
    *rows(
        keras_pss.FPDEmbedding,
        formulas.decomposed,
        {"rank": 8, "terms": 4},
        {
            "fpd": ({"rank": 3, "terms": 2}, 3 * (2 * 16 + WIDTH)),
            "fpd_one_term": ({"rank": 5}, 5 * (16 + WIDTH)),
        },
        meanless=True,
    ),
    *rows(
        keras_pss.MEMComEmbedding,
        formulas.memcom,
        {"num_buckets": 2_000},
        {
            "memcom": ({"num_buckets": 7}, 7 * WIDTH + DIM),
            "memcom_bias": (
                {"num_buckets": 7, "bias": True},
                7 * WIDTH + 2 * DIM,
            ),
        },
    ),
    *rows(
        keras_pss.MixedDimensionEmbedding,
        formulas.low_rank,
        {"inner_dim": 4},
        {
            "mixed_dimension": ({"inner_dim": 3}, 3 * (DIM + WIDTH)),
            "mixed_dimension_full": ({"inner_dim": WIDTH}, DIM * WIDTH),
        },
    ),
    *rows(
        keras_pss.MixedDimensionEmbedding,
        formulas.blocks,
        {"inner_dim": (8, 2), "num_rows": (20_000, 80_000)},
        {
            "mixed_dimension_blocks": (
                {"inner_dim": (WIDTH, 3, 1), "num_rows": (5, 9, 46)},
                5 * WIDTH + 3 * (9 + WIDTH) + 46 + WIDTH,
            ),
            "mixed_dimension_shared": (
                {"inner_dim": (3, 3, 1, 1), "num_rows": (5, 9, 11, 13)},
                3 * (14 + 2 * WIDTH) + 24 + 2 * WIDTH,
            ),
        },
    ),
    *rows(
        keras_pss.PopularityEmbedding,
        formulas.popularity,
        {"num_rows": 100_000, "inner_dim": 4},
        {
            "popularity": ({"num_rows": 20, "inner_dim": 3}, 3 * (20 + WIDTH)),
            "popularity_filter": (
                {"num_rows": 20, "inner_dim": WIDTH},
                20 * WIDTH,
            ),
            "popularity_bands": (
                {"num_rows": (5, 9, 20), "inner_dim": (WIDTH, 3, 1)},
                5 * WIDTH + 3 * (9 + WIDTH) + 20 + WIDTH,
            ),
            "popularity_hash": (
                {"num_rows": 20, "inner_dim": 3, "tail": "hash", "buckets": 7},
                3 * (27 + WIDTH),
            ),
            "popularity_bands_hash": (
                {
                    "num_rows": (4, 9),
                    "inner_dim": (6, 2),
                    "tail": "hash",
                    "buckets": 5,
                    "hash": "universal",
                    "seed": 3,
                },
                6 * (4 + WIDTH) + 2 * (14 + WIDTH),
            ),
        },
    ),
    Method(
        "popularity_robe",
        keras_pss.PopularityEmbedding,
        {"num_rows": 20, "inner_dim": 3, "tail": "robe", "memory_size": 31},
        formulas.popularity,
        3 * (20 + WIDTH) + 31,
        {"num_rows": 20_000, "inner_dim": 4, "memory_size": 48_000},
        variant=True,
    ),
    Method(
        "popularity_ids",
        keras_pss.PopularityEmbedding,
        {
            "num_rows": (4, 5),
            "inner_dim": (6, 2),
            "ids": [40, 7, 59, 8, 3, 30, 31, 2],
            "seed": 2,
        },
        formulas.popularity,
        6 * (4 + WIDTH) + 2 * (5 + WIDTH),
        {"num_rows": 100_000, "inner_dim": 4, "ids": np.arange(99_999, 0, -1)},
        variant=True,
    ),
    *(
        Method(
            f"popularity_{storage}",
            keras_pss.PopularityEmbedding,
            {"storage": storage, **arguments},
            formulas.popularity,
            size,
            {"num_rows": 100_000, "inner_dim": 4, "storage": storage},
            variant=True,
            rounds=True,
        )
        for storage, arguments, size in [
            ("int4", {"num_rows": 20, "inner_dim": 3}, 3 * (20 + WIDTH)),
            (
                "int8",
                {
                    "num_rows": (5, 20),
                    "inner_dim": (4, 1),
                    "tail": "robe",
                    "memory_size": 48,
                },
                4 * (5 + WIDTH) + 20 + WIDTH + 48,
            ),
        ]
    ),
    *rows(
        keras_pss.SketchEmbedding,
        formulas.sketch,
        {"num_buckets": 2_000},
        {
            "sketch": ({"num_buckets": 17}, 17 * WIDTH),
            "sketch_one": (
                {"num_buckets": 17, "num_nonzeros": 1, "seed": 3},
                17 * WIDTH,
            ),
        },
        meanless=True,
    ),
    *rows(
        keras_pss.DeepHashEmbedding,
        formulas.network,
        {"hidden_units": (64, 64), "num_hashes": 64},
        {
            "deep_hash": (
                {"hidden_units": (8, 6), "num_hashes": 5},
                6 * 8 + 9 * 6 + 7 * WIDTH,
            ),
        },
        linear=False,
    ),
    *(
        Method(
            f"quantized_{storage}",
            keras_pss.QuantizedEmbedding,
            {"storage": storage},
            formulas.full,
            DIM * WIDTH,
            variant=storage != "int8",
            grid=grid,
        )
        for storage, grid in {
            "int8": 1 / 127,
            "int4": 1 / 7,
            "float16": 2**-11,
        }.items()
    ),
    *rows(
        keras_pss.HotRows,
        formulas.hot_rows,
        {"capacity": 1_000, "rank": 16},
        {
            name: (
                {"capacity": 7, "rank": 3, **counts},
                7 * WIDTH + 3 * 2 * 3 + 4 * 3 * 2 * 3 + 5 * 3 * 3,
            )
            for name, counts in {
                "hot_rows": {},
                "hot_rows_slots": {"counts": "slots"},
            }.items()
        },
        meanless=True,  # of a tensor train
    ),
    *rows(
        keras_pss.ClusteredEmbedding,
        formulas.clustered,
        {"num_clusters": 1_000},
        {
            "clustered": ({"num_clusters": 7}, 2 * 7 * WIDTH),
            "clustered_two_columns": (
                {"num_clusters": 5, "num_columns": 2, "seed": 3},
                2 * 5 * WIDTH,
            ),
        },
    ),
]

# One row a class, for what the base class does alike for all of its options.
CLASSES = [method for method in METHODS if not method.variant]

# Every row's formula is checked on every backend, by JAX among the slow tests.
# What else depends on options is on TensorFlow, and once a class elsewhere: JAX
# compiles each operation for each shape, which takes it most of a test.
ROWS = METHODS if keras.backend.backend() == "tensorflow" else CLASSES

every_method = pytest.mark.parametrize(
    "method",
    [
        pytest.param(m, marks=[pytest.mark.slow_on_jax] if m.variant else [])
        for m in METHODS
    ],
    ids=lambda m: m.id,
)
every_row = pytest.mark.parametrize("method", ROWS, ids=lambda m: m.id)
every_class = pytest.mark.parametrize("method", CLASSES, ids=lambda m: m.id)
