"""Bounds of `keras_pss.planning.theory` beside errors on a trained table.

    python benchmarks/theory.py [--rows 60000] [--plot theory.png]

Trains a DLRM with uncompressed tables on a synthetic click log, takes all its
rows as one table, and compresses that by random projections:

    rows      it is added into ROBE memories (Z = d, signs), and rows are read
    products  inner products of two important rows that are read from them
    shared    it is projected to k rows by independent signs (macro, micro PSS)

Prints a JSON line for each measurement, with the bound beside the error.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

import keras_pss
from keras_pss.data import criteo, synthetic
from keras_pss.ops import hashing
from keras_pss.ops.methods import robe
from keras_pss.planning import theory
from keras_pss.training.environment import machine, versions

DIM = 16
SHARES = (2, 10, 100, 1000)
IMPORTANT = 50
DELTA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--draws", type=int, default=24, help="hashes drawn")
    parser.add_argument("--table", type=Path, help="reads or keeps the table")
    parser.add_argument("--plot", type=Path, help="PNG or SVG file to write")
    arguments = parser.parse_args()
    if arguments.table and arguments.table.exists():
        table = np.load(arguments.table)
    else:
        table = trained_table(arguments.rows, arguments.epochs)
        if arguments.table:
            np.save(arguments.table, table)
    results = [
        *rows_and_products(table, arguments.draws),
        *shared(table, max(2, arguments.draws // 4)),
    ]
    common = {
        "ids": len(table),
        "dim": DIM,
        "machine": machine(),
        "versions": versions(),
    }
    for line in results:
        print(json.dumps({**line, **common}))
    if arguments.plot:
        plot(results, arguments.plot)


def trained_table(rows: int, epochs: int) -> np.ndarray:
    """The rows of all columns of a trained model, `(n, d)`."""
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "clicks.tsv"
        synthetic.generate(log, rows=rows)
        data = criteo.prepare(log, Path(folder) / "data")
        sizes = list(data.cardinalities)
        tables = keras_pss.EmbeddingCollection(sizes, DIM, method="full")
        model = keras_pss.models.DLRM(tables)
        model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
        model.fit(
            criteo.dataset(data, "train", batch_size=512),
            epochs=epochs,
            verbose=0,
        )
    print(f"{sum(sizes):,} ids in {len(sizes)} columns", file=sys.stderr)
    parts = []
    for column, size in enumerate(sizes):
        ids = np.zeros((size, len(sizes)), "int32")
        ids[:, column] = np.arange(size)
        parts.append(ops.convert_to_numpy(tables(ids)[:, column]))
    return np.concatenate(parts).astype("float64")


def rows_and_products(table: np.ndarray, draws: int) -> list[dict[str, Any]]:
    """Errors of what is read from ROBE memories, over independent hashes."""
    count = len(table)
    ids = np.arange(count, dtype="int32")
    norms = np.linalg.norm(table, axis=1)
    important = np.argsort(-norms)[:IMPORTANT]
    pairs = list(zip(important[::2], important[1::2], strict=True))
    exact = np.array([table[a] @ table[b] for a, b in pairs])
    lines = []
    for share in SHARES:
        size = table.size // share
        errors, products = [], []
        for draw in range(draws):
            layout = robe.Tables(size, DIM, DIM, table=draw, sign=True)
            at = ops.convert_to_numpy(robe.positions(layout, ids))
            signs = ops.convert_to_numpy(hashing.signs(ids, DIM, **layout.hash))
            memory = np.bincount(at.ravel(), (signs * table).ravel(), size)
            read = signs * memory[at]
            errors.append(np.sum((read - table) ** 2, axis=1))
            products.append([read[a] @ read[b] for a, b in pairs])
        for name, kept in (("all", ids), ("important", important)):
            scale = np.mean(norms[kept] ** 2)
            bound = theory.row_error(table, size, DIM)[kept].mean()
            lines.append(
                {
                    "what": "rows",
                    "kind": name,
                    "compression": share,
                    "measured": float(
                        np.sqrt(np.mean(np.array(errors)[:, kept]) / scale)
                    ),
                    "bound": float(np.sqrt(bound / scale)),
                }
            )
        squares = (np.array(products) - exact) ** 2
        lines.append(
            {
                "what": "products",
                "compression": share,
                "measured": float(np.sqrt(squares.mean())),
                "bound": _root_mean(
                    [
                        theory.lookup_product_variance(
                            table, int(a), int(b), size, DIM
                        )
                        for a, b in pairs
                    ]
                ),
                "theorem": _root_mean(
                    [
                        theory.lookup_product_bound(table, int(a), int(b), size)
                        for a, b in pairs
                    ]
                ),
            }
        )
    return lines


def shared(table: np.ndarray, draws: int) -> list[dict[str, Any]]:
    """The largest errors of projections by independent signs."""
    found = theory.importance(table)
    important = np.argsort(-found)[:IMPORTANT]
    rho = float(found[important].min())
    basis, _ = np.linalg.qr(table)
    norms = np.linalg.norm(table[important], axis=1)
    lines = []
    for rows in (32, 128, 512, 2048):
        macro, micro = [], []
        for draw in range(draws):
            memory, kept = np.zeros((rows, DIM)), np.zeros((rows, DIM))
            for begin in range(0, len(table), 8192):
                part = slice(begin, begin + 8192)
                signs = _signs(np.arange(len(table))[part], rows, draw)
                memory += signs.T @ table[part]
                kept += signs.T @ basis[part]
            macro.append(np.linalg.norm(kept.T @ kept - np.eye(DIM), 2))
            read = _signs(important, rows, draw) @ memory
            error = np.linalg.norm(read - table[important], axis=1) / norms
            micro.append(error.max())
        size = rows * DIM
        common = {"compression": table.size / size, "parameters": size}
        lines.append(
            {
                "what": "shared",
                "kind": "macro",
                **common,
                "measured": float(np.max(macro)),
                "bound": theory.macro_pss_error(size, DIM, DELTA),
            }
        )
        lines.append(
            {
                "what": "shared",
                "kind": "micro",
                "rho": rho,
                **common,
                "measured": float(np.max(micro)),
                "bound": theory.micro_pss_error(
                    size, len(table), DIM, DELTA, rho
                ),
            }
        )
    return lines


def _signs(ids: np.ndarray, rows: int, draw: int) -> np.ndarray:
    signs = hashing.signs(ids.astype("int32"), rows, seed=1, table=draw)
    return ops.convert_to_numpy(signs) / np.sqrt(rows)


def _root_mean(values: list[float]) -> float:
    return float(np.sqrt(np.mean(values)))


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """One panel for each of the three, measured points on the bounds' lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    curves = (
        (0, "rows", "all", "all rows"),
        (0, "rows", "important", "50 largest"),
        (1, "products", None, "all terms"),
        (2, "shared", "macro", "macro, theorem 6"),
        (2, "shared", "micro", "micro, theorem 7"),
    )
    for k, (panel, what, kind, label) in enumerate(curves):
        kept = [
            r for r in results if r["what"] == what and r.get("kind") == kind
        ]
        x = [r["compression"] for r in kept]
        line = axes[panel].plot(
            x, [r["bound"] for r in kept], color=f"C{k}", label=label
        )
        axes[panel].plot(
            x,
            [r["measured"] for r in kept],
            "o",
            color=line[0].get_color(),
            label="measured",
        )
    kept = [r for r in results if r["what"] == "products"]
    axes[1].plot(
        [r["compression"] for r in kept],
        [r["theorem"] for r in kept],
        "--",
        color="grey",
        label="theorem 2",
    )
    for axis, title, label in zip(
        axes,
        ("rows read from ROBE", "products of two rows", "dense signs (PSS)"),
        ("relative error", "standard deviation", "largest relative error"),
        strict=True,
    ):
        axis.set(xscale="log", yscale="log", title=title, ylabel=label)
        axis.set_xlabel("times fewer parameters")
        axis.xaxis.set_major_formatter("{x:g}x")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    main()
