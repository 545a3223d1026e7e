"""The tables of docs/kernels.md from the JSON lines of `run.sh`.

    python benchmarks/gpu/summary.py RESULTS.jsonl [...]

One Markdown table for ROBE and one for tensor trains: a row for each case, and
microseconds of each way, first of the lookup and then of the lookup and its
gradient. Lines of a dry run are named as such: their times mean nothing.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Names of columns, and the backend and way that they show.
COLUMNS = {
    "kernels, JAX": ("jax", "kernels"),
    "XLA, JAX": ("jax", "XLA"),
    "XLA in float32": ("jax", "XLA, float32"),
    "copy, JAX": ("jax", "copy"),
    "kernels, TensorFlow": ("tensorflow", "kernels"),
    "XLA, TensorFlow": ("tensorflow", "XLA"),
    "graph, TensorFlow": ("tensorflow", "graph"),
    "EmbeddingBag": ("torch", "EmbeddingBag"),
    "bmm": ("torch", "bmm"),
    "tensorly-torch": ("torch", "tensorly-torch"),
    "FBTT": ("torch", "FBTT"),
}
TITLES = {"robe": "ROBE", "train": "Tensor trains"}


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    lines = []
    for name in sys.argv[1:]:
        path = Path(name)
        if path.is_file():
            lines += [
                json.loads(text) for text in path.read_text().splitlines()
            ]
    print(report(lines))


def report(lines: list[dict[str, Any]]) -> str:
    """The tables, as Markdown."""
    if not lines:
        return "No results."
    parts = []
    if any(line["dry"] for line in lines):
        parts.append("**A dry run: nothing here was measured on a GPU.**")
    devices = sorted({line["gpu"] for line in lines if line["gpu"]})
    parts.append(f"GPU: {', '.join(devices) or 'none'}. Microseconds.")
    for what, title in TITLES.items():
        own = [line for line in lines if line["what"] == what]
        if own:
            parts += [f"### {title}", table(own)]
    return "\n\n".join(parts)


def table(lines: list[dict[str, Any]]) -> str:
    """One row for each case; columns without a number are left out."""
    cases: dict[str, dict[tuple[str, str, str], float]] = {}
    for line in lines:
        cells = cases.setdefault(named(line["case"]), {})
        for way, steps in line["ms"].items():
            for step, ms in steps.items():
                cells[line["backend"], way, step] = 1e3 * ms
    head, keys = [], []
    for step in ("lookup", "both"):
        for name, (backend, way) in COLUMNS.items():
            key = backend, way, step
            if any(key in cells for cells in cases.values()):
                head.append(f"{name}, both" if step == "both" else name)
                keys.append(key)
    rows = [["case", *head], ["---", *["--:"] * len(head)]]
    for case, cells in cases.items():
        rows.append([case, *(shown(cells.get(key)) for key in keys)])
    return "\n".join(row(cells) for cells in rows)


def row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def shown(microseconds: float | None) -> str:
    if microseconds is None:
        return ""
    # Less than the loop around it: too short to tell.
    if microseconds <= 0:
        return "< 0.1"
    digits = 1 if microseconds < 100 else 0
    return f"{microseconds:,.{digits}f}"


def named(case: dict[str, Any]) -> str:
    if "block" in case:
        return (
            f"{sum(case['rows']):,} x {case['dim']} at {case['compression']}x, "
            f"Z = {case['block']}, {case['batch'] * len(case['rows']):,} ids"
        )
    dim = 1
    for width in case["column_shape"]:
        dim *= width
    return (
        f"{case['rows']:,} x {dim}, rank {case['rank']}, {case['ids']:,} ids, "
        f"{case['stream']}"
    )


if __name__ == "__main__":
    main()
