"""What each method's table is, written out in NumPy.

A formula takes a layer, for its hyperparameters, and its weights in float64,
and returns the `(input_dim, output_dim)` table.
"""

import functools
from typing import Any

import numpy as np

from keras_pss.ops.hash_families import pss1, universal

Tables = dict[str, np.ndarray]


def full(layer: Any, tables: Tables) -> np.ndarray:
    return tables["embeddings"]


def hashes(layer: Any, size: int, count: int = 1, table: int = 0) -> np.ndarray:
    """(n, count) buckets of all ids."""
    ids = np.arange(layer.input_dim)
    if layer.hash == "universal":
        columns = [
            universal.starts(ids, size, layer.seed, table=table, chunk=k)
            for k in range(count)
        ]
        return np.stack(columns, axis=1)
    return pss1.starts(
        ids, size, layer.seed, table=table, chunks=tuple(range(count))
    )


def hashed(layer: Any, tables: Tables) -> np.ndarray:
    bucket = hashes(layer, layer.num_buckets, layer.num_hashes)
    if not layer.weighted:
        return tables["buckets"][bucket].sum(axis=1)
    if layer.importance_rows == layer.input_dim:
        importance = tables["importance"]
    else:
        own = hashes(layer, layer.importance_rows, table=1)[:, 0]
        importance = tables["importance"][own]
    return np.einsum("nk,nkd->nd", importance, tables["buckets"][bucket])


def sketch(layer: Any, tables: Tables) -> np.ndarray:
    """S' M with the sketching matrix written out."""
    s = layer.num_nonzeros
    rows = hashes(layer, layer.num_buckets, s)
    ids = np.arange(layer.input_dim)
    signs = pss1.signs(ids, s, seed=layer.seed, table=0)
    matrix = np.zeros((layer.num_buckets, layer.input_dim))
    for i in ids:
        for k in range(s):
            matrix[rows[i, k], i] += signs.reshape(-1, s)[i, k] / np.sqrt(s)
    return matrix.T @ tables["buckets"]


def popularity(layer: Any, tables: Tables) -> np.ndarray:
    """Id by id."""
    n, kept = layer.input_dim, sum(layer.num_rows)
    bands = list(zip(layer.num_rows, layer.inner_dim, strict=True))
    tables = {
        name: table
        if name.startswith(("projection", "index"))
        else one_grid(table, layer.storage)
        for name, table in tables.items()
    }
    ranks = np.arange(n)
    if "index" in tables:
        ranks = np.full(n, kept)
        ranks[0] = 0
        begin = 0
        for rows, first in zip(
            layer.num_rows, np.cumsum([0, *layer.num_rows]), strict=False
        ):
            count = rows - (first == 0)
            ids = tables["index"][begin : begin + count, 0].astype(int)
            ranks[ids] = max(first, 1) + np.arange(count)
            begin += count
    hashed = hashes(layer, layer.buckets)[:, 0] if layer.buckets else None
    rest = None
    if "memory" in tables:
        starts = hashes(layer, layer.memory_size, 4)
        size = -(-layer.output_dim // 4)
        places = (starts[..., None] + np.arange(size)) % layer.memory_size
        places = places.reshape(n, -1)[:, : layer.output_dim]
        rest = tables["memory"][places, 0]
    table = np.zeros((n, layer.output_dim))
    for i in range(n):
        if ranks[i] >= kept and rest is not None:
            table[i] = rest[i]
            continue
        own = ranks[i] if ranks[i] < kept or hashed is not None else 0
        first = 0
        for band, (rows, _) in enumerate(bands):
            ending = f"_{band}" if band else ""
            place = own - first
            if band == len(bands) - 1 and place >= rows:
                place = rows + hashed[i]
            elif place >= rows:
                first += rows
                continue
            row = tables[f"rows{ending}"][place]
            if f"projection{ending}" in tables:
                row = row @ tables[f"projection{ending}"]
            table[i] = row
            break
    return table


def one_grid(table: np.ndarray, storage: str) -> np.ndarray:
    """A table on the grid of one scale, which has 8 significant bits."""
    if storage == "float32":
        return table
    largest = {"int8": 127, "int4": 7}[storage]
    peak = np.abs(table).max()
    if storage == "int4":
        peak = min(peak, 3 * np.sqrt(np.mean(table**2)))
    fraction, exponent = np.frexp(peak / largest)
    scale = np.ldexp(np.floor(fraction * 256 + 0.5) / 256, exponent)
    return np.clip(np.round(table / scale), -largest, largest) * scale


def quotient_remainder(layer: Any, tables: Tables) -> np.ndarray:
    """The digits of each id by NumPy's own mixed radix."""
    rows = [len(table) for table in tables.values()]
    radix = (rows[0], *reversed(rows[1:]))  # most significant first
    digits = np.unravel_index(np.arange(layer.input_dim), radix)
    digits = [digits[0], *reversed(digits[1:])]
    parts = [t[d] for t, d in zip(tables.values(), digits, strict=True)]
    if layer.operation == "concat":
        return np.concatenate(parts, axis=1)
    stack = np.stack(parts)
    return (
        stack.prod(axis=0) if layer.operation == "mult" else stack.sum(axis=0)
    )


def memcom(layer: Any, tables: Tables) -> np.ndarray:
    ids = np.arange(layer.input_dim)
    rows = tables["scale"] * tables["shared"][ids % layer.num_buckets]
    return rows + tables["bias"] if layer.bias else rows


def low_rank(layer: Any, tables: Tables) -> np.ndarray:
    return tables["narrow"] @ tables.get("projection", np.eye(layer.output_dim))


def blocks(layer: Any, tables: Tables) -> np.ndarray:
    """Block by block; those of a width are stacked in their order."""
    width = layer.output_dim
    used: dict[int, tuple[int, int]] = {}
    parts = []
    for rows, k in zip(layer.num_rows, layer.inner_dim, strict=True):
        first, place = used.get(k, (0, 0))
        part = tables[f"narrow_{k}"][first : first + rows]
        if k < width:
            matrices = tables[f"projection_{k}"]
            part = part @ matrices[place * k : (place + 1) * k]
        parts.append(part)
        used[k] = first + rows, place + 1
    table = np.concatenate(parts)
    others = np.repeat(table[:1], layer.input_dim - len(table), axis=0)
    return np.concatenate([table, others])


def decomposed(layer: Any, tables: Tables) -> np.ndarray:
    """FPD as the sum of rank-(p, p, 1) terms of the (s, s, d) cube."""
    r, p = layer.rank, layer.terms
    first, second = (
        tables[name].reshape(-1, p, r) for name in ("first", "second")
    )
    cube = np.einsum("akr,bkr,rd->abd", first, second, tables["projection"])
    return cube.reshape(-1, layer.output_dim)[: layer.input_dim]


def network(layer: Any, tables: Tables) -> np.ndarray:
    start = hashes(layer, 1_000_000, layer.num_hashes)
    x = 2 * start / 999_999 - 1
    last = len(layer.hidden_units)
    for k in range(last + 1):
        x = x @ tables[f"kernel{k}"] + tables[f"bias{k}"]
        if k < last:
            x = x * np.tanh(np.log1p(np.exp(x)))  # mish
    return x


def robe(layer: Any, tables: Tables) -> np.ndarray:
    memory = tables["memory"][:, 0]
    places, signs = robe_elements(
        (layer.input_dim, layer.output_dim),
        len(memory),
        layer.block_size,
        layer.hash,
        layer.sign,
        layer.seed,
        layer.table,
    )
    return memory[places] * signs * layer.output_scale


@functools.cache  # a gradient needs the tables of many memories
def robe_elements(
    shape: tuple[int, int],
    m: int,
    z: int,
    family: str,
    sign: bool,
    seed: int,
    number: int,
) -> tuple[np.ndarray, np.ndarray]:
    """ROBE's equation, element by element: places in the memory, and signs."""
    rows, d = shape
    where = {"seed": seed, "table": number}

    def h(x: int, c: int) -> int:
        if family == "universal":
            return int(universal.starts(x, m, chunk=c, **where))
        return int(pss1.starts(np.array([x]), m, chunks=(c,), **where)[0, 0])

    def g(x: int) -> np.ndarray:
        if not sign:
            return np.ones(d)
        if family == "universal":
            c = universal.constants(seed, 1)
            mixed = [
                (c.table * number + c.id * x + c.chunk * j + c.add)
                % universal.PRIME
                for j in range(d)
            ]
            return 2.0 * (np.array(mixed) % 2) - 1
        return pss1.signs(np.array([x]), d, **where)[0, 0].astype(float)

    places = np.empty(shape, int)
    for i in range(rows):
        for j in range(d):
            if z <= d:
                at = h(i, j // z) + j % z
            else:
                at = h(i // (z // d), 0) + i % (z // d) * d + j
            places[i, j] = at % m
    return places, np.stack([g(i) for i in range(rows)])


def tensor_train(layer: Any, tables: Tables) -> np.ndarray:
    """The whole train as one tensor, rows and columns unravelled in C order."""
    product = np.ones((1, 1, 1))  # (rows, columns, rank)
    for k, (p, left, q, right) in enumerate(layer._cores):
        core = tables[f"core{k}"].reshape(p, left, q, right)
        product = np.einsum("acr,prqs->apcqs", product, core)
        rows, _, columns, *_ = product.shape
        product = product.reshape(rows * p, columns * q, right)
    return product[: layer.input_dim, :, 0]


def tensor_ring(layer: Any, tables: Tables) -> np.ndarray:
    """The trace over the rank that the first and the last core share."""
    p, left, q, right = layer._cores[0]
    product = tables["core0"].reshape(p, left, q, right)
    product = product.transpose(1, 0, 2, 3)  # (rank, rows, columns, rank)
    for k, (p, left, q, right) in list(enumerate(layer._cores))[1:]:
        core = tables[f"core{k}"].reshape(p, left, q, right)
        product = np.einsum("tacr,prqs->tapcqs", product, core)
        first, rows, _, columns, *_ = product.shape
        product = product.reshape(first, rows * p, columns * q, right)
    return np.einsum("tact->ac", product)[: layer.input_dim]


def clustered(layer: Any, tables: Tables) -> np.ndarray:
    """Centroids by pointer, residuals by a hash of epoch and id."""
    k, c = layer.num_clusters, layer.num_columns
    ids = np.arange(layer.input_dim)
    epoch = int(tables["epoch"][0, 0])
    bucket = pss1.starts(
        (epoch << 32) + ids, k, layer.seed, table=1, chunks=tuple(range(c))
    )
    pointers = tables["pointers"].astype(int)
    columns = [
        tables["centroids"][j * k + pointers[:, j]]
        + tables["residuals"][j * k + bucket[:, j]]
        for j in range(c)
    ]
    return np.concatenate(columns, axis=1)


def hot_rows(layer: Any, tables: Tables) -> np.ndarray:
    """The train's table, with the rows that are hot put in place of its own."""
    table = tensor_train(layer.embedding, tables)
    held = tables["ids"].astype(int)[:, 0]
    slots = tables["slots"].astype(int)[:, 0]
    hot = held < layer.input_dim  # the others are padding
    table[held[hot]] = tables["hot"][slots[hot]]
    return table
