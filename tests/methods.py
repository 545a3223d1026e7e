"""One row a method: how to make it, and its formula in NumPy.

A new layer gets a row here, and the whole contract runs on it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import keras_pss
from keras_pss.ops import pss1, universal

DIM = 60
WIDTH = 12


def weights(layer: Any) -> dict[str, np.ndarray]:
    """Tables by name in float64, those of a shared memory included."""
    owners = [layer, *layer.parts()]
    return {
        name: np.array(getattr(owner, f"{name}_table").numpy(), np.float64)
        for owner in owners
        for name in owner.tables()
    }


@dataclass(frozen=True)
class Method:
    """A layer class with arguments, and the table it stands for."""

    id: str
    cls: type
    arguments: dict[str, Any]
    formula: Callable[[Any, dict[str, np.ndarray]], np.ndarray]
    parameters: int
    arguments_large: dict[str, Any] = field(default_factory=dict)

    def make(self, **changes: Any) -> Any:
        arguments = {"input_dim": DIM, "output_dim": WIDTH}
        arguments |= self.arguments | changes
        if arguments.pop("share", False):
            memory = keras_pss.SharedMemory(
                arguments.pop("memory_size"),
                arguments.get("embeddings_initializer", "uniform"),
                dtype=arguments.get("dtype"),
            )
            # Another table is there first, so that this one is number 1.
            keras_pss.ROBEEmbedding(5, 3, memory=memory)
            arguments["memory"] = memory
        return self.cls(**arguments)


def full(layer: Any, tables: dict[str, np.ndarray]) -> np.ndarray:
    return tables["embeddings"]


def hashed(layer: Any, tables: dict[str, np.ndarray]) -> np.ndarray:
    ids = np.arange(layer.input_dim)
    if layer.hash == "universal":
        bucket = universal.starts(ids, layer.num_buckets, layer.seed)
    else:
        bucket = pss1.starts(ids, layer.num_buckets, layer.seed)[:, 0]
    return tables["buckets"][bucket]


def quotient_remainder(layer: Any, tables: dict[str, np.ndarray]) -> np.ndarray:
    ids = np.arange(layer.input_dim)
    quotient = tables["quotient"][ids // layer.num_buckets]
    remainder = tables["remainder"][ids % layer.num_buckets]
    if layer.operation == "concat":
        return np.concatenate([quotient, remainder], axis=1)
    product = quotient * remainder
    return product if layer.operation == "mult" else quotient + remainder


def robe(layer: Any, tables: dict[str, np.ndarray]) -> np.ndarray:
    """ROBE's equation, element by element."""
    memory = tables["memory"][:, 0]
    m, d, z = len(memory), layer.output_dim, layer.block_size
    where = {"seed": layer.seed, "table": layer.table}

    def h(x: int, c: int) -> int:
        if layer.hash == "universal":
            return int(universal.starts(x, m, chunk=c, **where))
        return int(pss1.starts(np.array([x]), m, chunks=(c,), **where)[0, 0])

    def g(x: int) -> np.ndarray:
        if not layer.sign:
            return np.ones(d)
        if layer.hash == "universal":
            c = universal.constants(layer.seed, 1)
            mixed = [
                (c.table * layer.table + c.id * x + c.chunk * j + c.add)
                % universal.PRIME
                for j in range(d)
            ]
            return 2.0 * (np.array(mixed) % 2) - 1
        return pss1.signs(np.array([x]), d, **where)[0, 0].astype(float)

    table = np.empty((layer.input_dim, d))
    for i in range(layer.input_dim):
        for j in range(d):
            if z <= d:
                at = h(i, j // z) + j % z
            else:
                at = h(i // (z // d), 0) + i % (z // d) * d + j
            table[i, j] = memory[at % m]
        table[i] *= g(i)
    return table * layer.output_scale


def tensor_train(layer: Any, tables: dict[str, np.ndarray]) -> np.ndarray:
    """The whole train as one tensor, rows and columns unravelled in C order."""
    product = np.ones((1, 1, 1))  # (rows, columns, rank)
    for k, (p, left, q, right) in enumerate(layer._cores):
        core = tables[f"core{k}"].reshape(p, left, q, right)
        product = np.einsum("acr,prqs->apcqs", product, core)
        rows, _, columns, *_ = product.shape
        product = product.reshape(rows * p, columns * q, right)
    return product[: layer.input_dim, :, 0]


ROBE, QR, TT = (
    keras_pss.ROBEEmbedding,
    keras_pss.QREmbedding,
    keras_pss.TTEmbedding,
)
LARGE_ROBE = {"memory_size": 48_000}
LARGE_TT = {"rank": 16, "row_shape": "balanced", "column_shape": None}

METHODS = [
    Method("full", keras_pss.FullEmbedding, {}, full, DIM * WIDTH),
    Method(
        "hash",
        keras_pss.HashedEmbedding,
        {"num_buckets": 17},
        hashed,
        17 * WIDTH,
        {"num_buckets": 2_000},
    ),
    Method(
        "hash_universal",
        keras_pss.HashedEmbedding,
        {"num_buckets": 17, "hash": "universal", "seed": 5},
        hashed,
        17 * WIDTH,
        {"num_buckets": 2_000},
    ),
    *(
        Method(
            f"qr_{operation}",
            QR,
            {"num_buckets": 7, "operation": operation},
            quotient_remainder,
            (7 + 9) * (WIDTH // 2 if operation == "concat" else WIDTH),
            {"num_buckets": 300},
        )
        for operation in ("mult", "add", "concat")
    ),
    *(
        Method(
            f"robe_{name}",
            ROBE,
            {"memory_size": 101, **arguments},
            robe,
            arguments.get("memory_size", 101),
            LARGE_ROBE,
        )
        for name, arguments in {
            "default": {},
            "hashednet": {"block_size": 1},
            "short_last_chunk": {"block_size": 5},
            "sign": {"block_size": 4, "sign": True, "seed": 9},
            "row": {"block_size": WIDTH},
            "ids_share_a_chunk": {"block_size": 4 * WIDTH, "sign": True},
            "fold": {"mapping": "fold", "memory_size": 96},
            "universal": {"hash": "universal", "block_size": 4, "sign": True},
            "power_of_two": {"memory_size": 128, "block_size": 4},
            "whole_memory": {"memory_size": 24, "block_size": 24},
            "scaled": {"output_scale": 0.5},
            "shared": {"share": True, "block_size": 4},
        }.items()
    ),
    *(
        Method(
            f"tt_{name}",
            TT,
            {"rank": 3, **arguments},
            tensor_train,
            size,
            large,
        )
        for name, arguments, size, large in (
            ("default", {}, 3 * 2 * 3 + 4 * 3 * 2 * 3 + 5 * 3 * 3, LARGE_TT),
            (
                "two_cores",
                {"num_cores": 2},
                6 * 3 * 3 + 10 * 3 * 4,
                LARGE_TT | {"num_cores": 2},
            ),
            (
                "four_cores",
                {"row_shape": (2, 3, 3, 4), "rank": (2, 3, 2)},
                2 * 2 + 3 * 2 * 2 * 3 + 3 * 3 * 2 * 2 + 4 * 2 * 3,
                LARGE_TT | {"num_cores": 4},
            ),
            (
                "last_core",
                {"gauge": "last_core", "column_shape": (3, 2, 2)},
                3 * 3 * 3 + 4 * 3 * 2 * 3 + 5 * 3 * 2,
                LARGE_TT,
            ),
            (
                "min_params",
                {"row_shape": "min_params", "rank": 2},
                0,
                LARGE_TT | {"row_shape": "min_params"},
            ),
        )
    ),
]
