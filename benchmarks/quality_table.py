"""Table and plot of test AUCs by method and size, for movielens_quality.py."""

import itertools
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

# Lines of results, one per seed, by name of the table row and budget.
Rows = dict[str, dict[str, list[dict[str, Any]]]]


def table(
    rows: Rows,
    budgets: list[str],
    floor: dict[str, float],
) -> str:
    """Markdown: mean ± standard deviation of the test AUC."""
    budgets = [budget for budget in budgets if budget != "1x"]
    text = [
        f"| method | 1x | {' | '.join(budgets)} |",
        "|---" * (2 + len(budgets)) + "|",
    ]
    reasons = []
    for name, cells in rows.items():
        shown = []
        for budget in ["1x", *budgets]:
            lines = cells.get(budget, [])
            if lines and "infeasible" in lines[0]:
                shown.append("–")
                reasons.append(f"- {name}, {budget}: {lines[0]['infeasible']}")
            else:
                shown.append(_spread([line["test_auc"] for line in lines]))
        text.append(f"| {name} | {' | '.join(shown)} |")
    text += [
        "",
        "Test AUC. Baseline without interactions of user and item (logistic "
        f"regression on both): {floor['test']:.4f}.",
    ]
    text += _pointers(rows)
    if reasons:
        text += ["", "–: the method cannot fit the budget:", ""]
        text += reasons
    return "\n".join(text) + "\n"


def _pointers(rows: Rows) -> list[str]:
    """Sizes of index tables, which parameter counts do not include."""
    found = []
    for name, cells in rows.items():
        largest = max(
            (line.get("index_bytes", 0) for c in cells.values() for line in c),
            default=0,
        )
        if largest:
            found += ["", f"{name}: plus {largest:,} bytes of pointers."]
    return found


def _spread(aucs: list[float]) -> str:
    if len(aucs) < 2:
        return "".join(f"{auc:.4f}" for auc in aucs)
    return f"{statistics.mean(aucs):.4f} ± {_deviation(aucs):.4f}"


def _deviation(aucs: list[float]) -> float:
    return statistics.stdev(aucs) if len(aucs) > 1 else 0.0


def plot(rows: Rows, floor: float, path: Path) -> None:
    """Plots AUC over the achieved compression, one line per method."""
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    colors = itertools.cycle(plt.get_cmap("tab20").colors)
    markers = itertools.cycle("osD^v<>P*X")
    for name, cells in rows.items():
        points = [
            (
                lines[0]["compression"],
                statistics.mean(line["test_auc"] for line in lines),
                _deviation([line["test_auc"] for line in lines]),
            )
            for lines in cells.values()
            if "infeasible" not in lines[0]
        ]
        if "1x" in cells:
            axes.axhline(points[0][1], color="0.3", label=name)
        elif points:
            compression, mean, spread = zip(*sorted(points), strict=True)
            axes.errorbar(
                compression,
                mean,
                spread,
                marker=next(markers),
                color=next(colors),
                capsize=3,
                label=name,
            )
    axes.axhline(floor, color="0.6", linestyle=":", label="no interaction")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.set(xlabel="times fewer parameters", ylabel="test AUC")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=120)
    plt.close(figure)
