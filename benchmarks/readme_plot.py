"""Draws docs/loss_by_size.png, the plot of README, from docs/criteo_dlrm.md.

    python benchmarks/readme_plot.py

The page's table of test AUCs comes from `keras-pss compare`; the page says how.
"""

import re
from pathlib import Path

import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[1] / "docs"
SIZES = (10, 100, 1_000, 10_000)
# Color and label; the others are in the page's own plot.
SHOWN = {
    "auto": ("tab:red", "auto, from counts of ids"),
    "robe": ("tab:orange", "ROBE"),
    "tt": ("tab:purple", "tensor train"),
    "hash": ("tab:blue", "hashing trick"),
}


def main() -> None:
    page = (DOCS / "criteo_dlrm.md").read_text()
    full = number(re.search(r"4,487,968 parameters have (\.\d+)", page)[1])
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axes.axhline(0, color="black", linewidth=1)
    axes.annotate("full tables", (26_000, 0.0008))
    for method, (color, label) in SHOWN.items():
        cells = re.search(rf"\| `{method}` \|(.*)\|", page)[1].split("|")
        losses = [number(cell) - full for cell in cells if cell.strip()]
        sizes = SIZES[: len(losses)]
        axes.plot(sizes, losses, "o-", color=color, linewidth=2)
        axes.annotate(
            label,
            (sizes[-1], losses[-1]),
            (8, -4) if len(sizes) == len(SIZES) else (-44, -18),
            textcoords="offset points",
            color=color,
        )
    axes.set_xscale("log")
    axes.set_xlim(8, 150_000)
    axes.set_xticks(SIZES, [f"{size:,}x" for size in SIZES])
    axes.set_xlabel("times fewer parameters in the embedding tables")
    axes.set_ylabel("test AUC − full tables")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / "loss_by_size.png", dpi=150)


def number(cell: str) -> float:
    return float(cell.strip())


if __name__ == "__main__":
    main()
