"""AUC of methods before and after the traffic changes.

    python benchmarks/drift.py [--rows 400000] [--budgets 1000x,10000x]

Trains DLRM in one pass over generated rows. Each batch is scored before the
model trains on it, so all AUCs are those of unseen rows (prequential). In the
middle of the stream the ids of each column are exchanged at random, with those
that have not occurred yet as well, as if other values had become frequent: what
a row has learned no longer fits the ids that read it.

    hash            a hashed table for each column
    robe            ROBE, one memory for all columns
    adaptive        hot rows found by slots, over hashed rows: all of its memory
                    counts in the budget, as that of the others
    adaptive_robe   the same over ROBE
    static          adaptive, without a refresh after the first part
    popularity      narrow rows for the ids that were frequent in the first
                    part, which only a method that knows it has

Prints a table of AUCs over windows of the stream, writes `drift.png`, and
prints a JSON line with the settings and all numbers.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import numpy as np
import timing

import keras_pss
from keras_pss.data.synthetic.bayes import expected_auc
from keras_pss.data.synthetic.world import BLOCK_ROWS, World
from keras_pss.layers.base.walk import every
from keras_pss.layers.composite.hot.hot_cache import HotCache
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.optimizers.slots import reset_rows
from keras_pss.training.environment import machine, versions

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DIM = 16
METHODS = ("hash", "robe", "adaptive", "adaptive_robe", "popularity")
WINDOWS = 16
# Length of the adaptive rows in memory.
ROW_DIM = 4


def main() -> None:
    """Trains each method at each size, and compares."""
    arguments = _arguments()
    log = Stream(arguments.rows, arguments.scale, arguments.seed)
    results = []
    for budget in arguments.budgets.split(","):
        for method in arguments.methods.split(","):
            results.append(trained(log, method, budget, arguments))
            print(line_of(results[-1]), flush=True)
    print()
    print(table(results))
    plot(results, log.best, arguments.out)
    about = {
        "arguments": {k: str(v) for k, v in vars(arguments).items()},
        "machine": machine(),
        "versions": versions(),
        "commit": timing.commit(),
    }
    print(json.dumps({"results": results, "best_auc": log.best, **about}))


class Stream:
    """Generated rows whose ids are exchanged in the middle.

    Attributes:
        counts: Occurrences of each id in the first part, in descending order
            from id 1 on, for each column.
        best: Expected AUC of the true probabilities.
    """

    def __init__(self, rows: int, scale: float, seed: int) -> None:
        blocks = -(-rows // BLOCK_ROWS)
        world = World(scale)
        parts = [world.block(seed, index) for index in range(blocks)]
        self.labels = np.concatenate([part.labels for part in parts])
        integers = np.concatenate([part.integers for part in parts])
        self.dense = np.log1p(np.maximum(integers, 0)).astype(np.float32)
        self.best = expected_auc(np.concatenate([p.logits for p in parts]))
        values = np.concatenate([part.categories for part in parts])
        middle = len(values) // 2
        random = np.random.default_rng(seed)
        ids, self.counts = [], []
        for column, size in zip(values.T, world.cardinalities, strict=True):
            found, counts = _ranked(column, middle, size)
            exchanged = 1 + random.permutation(len(counts) - 1)
            found[middle:] = exchanged[found[middle:] - 1]
            ids.append(found)
            self.counts.append(counts)
        self.ids = np.stack(ids, axis=1).astype(np.int32)


def _ranked(values: Any, middle: int, size: int) -> tuple[Any, Any]:
    """Ids from 1 on by frequency in the first part, and their counts.

    Args:
        values: Raw values of a column.
        middle: Number of rows of the first part.
        size: Number of values that the column may have.
    """
    _, ids = np.unique(values, return_inverse=True)
    counts = np.bincount(ids[:middle], minlength=max(size, ids.max() + 1))
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = 1 + np.arange(len(order))
    return rank[ids], np.append(0, counts[order])


def tables(log: Stream, method: str, budget: str) -> Any:
    """The embedding tables of a method."""
    if method == "popularity":
        return keras_pss.EmbeddingCollection.from_counts(
            log.counts, DIM, budget
        )
    options: dict[str, Any] = {}
    if method in ("adaptive", "adaptive_robe", "static"):
        inner = "robe" if method == "adaptive_robe" else "hash"
        options = {"inner": inner, "counts": "slots", "row_dim": ROW_DIM}
        method = "hot_rows"
    dims = [len(counts) for counts in log.counts]
    return keras_pss.EmbeddingCollection(
        dims, DIM, method, budget, options=options
    )


def trained(
    log: Stream, method: str, budget: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Trains a model in one pass, and scores each batch before."""
    keras.utils.set_random_seed(arguments.seed)
    start = time.perf_counter()
    collection = tables(log, method, budget)
    model = keras_pss.models.DLRM(
        collection, bottom_units=[64, 32], top_units=[64, 32]
    )
    model.compile(
        keras.optimizers.Adam(arguments.learning_rate), "binary_crossentropy"
    )
    steps = len(log.labels) // arguments.batch
    scores = []
    for step in range(steps):
        if not step % arguments.every and step:
            _refresh(model, frozen=method == "static" and 2 * step > steps)
        rows = slice(step * arguments.batch, (step + 1) * arguments.batch)
        x = {"dense": log.dense[rows], "categorical": log.ids[rows]}
        scores.append(np.ravel(model.predict_on_batch(x)))
        model.train_on_batch(x, log.labels[rows, None].astype(np.float32))
    report = collection.memory_report()
    windows = np.array_split(np.arange(steps), WINDOWS)
    aucs = []
    for window in windows:
        chosen = slice(
            window[0] * arguments.batch, (window[-1] + 1) * arguments.batch
        )
        found = np.concatenate([scores[step] for step in window])
        aucs.append(Metrics.of(log.labels[chosen], found).auc)
    return {
        "method": method,
        "budget": budget,
        "aucs": [round(auc, 5) for auc in aucs],
        **summary(aucs),
        "parameters": report.parameters,
        "budget_size": collection.budget_size(),
        "serving_bytes": report.serving_bytes,
        "training_bytes": report.training_bytes,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _refresh(model: keras.Model, frozen: bool) -> None:
    for layer in every(model, HotCache):
        if not frozen:
            change = layer.refresh()
            reset_rows(model.optimizer, layer.hot.hot_table, change.slots)


def summary(aucs: list[float]) -> dict[str, float]:
    """Mean AUC of a quarter of the windows before and after the drift."""
    half, few = len(aucs) // 2, len(aucs) // 4
    parts = {
        "before": aucs[half - few : half],
        "after": aucs[half : half + few],
        "end": aucs[-few:],
    }
    return {name: round(float(np.mean(p)), 5) for name, p in parts.items()}


def line_of(result: dict[str, Any]) -> str:
    return "  ".join(
        f"{key}={value}" for key, value in result.items() if key != "aucs"
    )


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: AUCs of the last windows before and the first after."""
    names = ("before", "after", "end", "serving_bytes", "training_bytes")
    text = [
        f"| size | method | {' | '.join(names)} |",
        "|---" * (2 + len(names)) + "|",
    ]
    for result in results:
        cells = [
            f"{result[name]:,}"
            if isinstance(result[name], int)
            else f"{result[name]:.4f}"
            for name in names
        ]
        head = f"| {result['budget']} | {result['method']}"
        text.append(f"{head} | {' | '.join(cells)} |")
    return "\n".join(text)


def plot(results: list[dict[str, Any]], best: float, path: Path) -> None:
    """Plots AUC over the stream, one panel for each size."""
    budgets = list(dict.fromkeys(result["budget"] for result in results))
    figure, panels = plt.subplots(
        1,
        len(budgets),
        figsize=(6 * len(budgets), 4),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for budget, axes in zip(budgets, panels[0], strict=True):
        for result in results:
            if result["budget"] == budget:
                x = (np.arange(WINDOWS) + 0.5) / WINDOWS
                axes.plot(x, result["aucs"], "o-", label=result["method"])
        axes.axvline(0.5, color="0.6", linestyle=":")
        axes.axhline(best, color="0.3", label="true probabilities")
        axes.set(title=budget, xlabel="share of the stream", ylabel="AUC")
        axes.grid(alpha=0.3)
    panels[0][-1].legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--rows", type=int, default=400_000, help="rows of the stream")
    add("--scale", type=float, default=0.01, help="of the cardinalities")
    add("--budgets", default="1000x,10000x")
    add("--methods", default=",".join(METHODS))
    add("--batch", type=int, default=512)
    add("--every", type=int, default=20, help="steps between refreshes")
    add("--learning-rate", type=float, default=0.002, help="of Adam")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("drift.png"), help="file of the plot")
    return parser.parse_args()


if __name__ == "__main__":
    main()
