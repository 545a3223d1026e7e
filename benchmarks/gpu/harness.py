"""What the benchmarks of this folder share: their cases and their JSON lines.

The time of a lookup on a GPU is some microseconds, less than a call from Python
takes. So a way repeats its work within one call (`REPEATS` times, each time
with other ids, so that nothing can be computed once for all), and the time of
the same loop without a lookup is subtracted.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import timing

# Ways to compute something by name, "NAME|lookup" or "NAME|both".
Ways = dict[str, Callable[[], Any]]

KAGGLE = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683,
    8351593, 3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15,
    286181, 105, 142572,
)  # fmt: skip
LARGEST_MEMORY = 1 << 30  # parameters
LARGEST_TABLE = 1 << 33  # of EmbeddingBag: 32 GB and its gradient's rows
# Added to the ids of a repeat, in the range of their column.
STRIDE = 7919


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("robe", "train"))
    parser.add_argument("--out", type=Path, help="file that lines are added to")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="tiny sizes, on whatever device there is: only the code is tried",
    )
    return parser.parse_args()


def repeats(dry: bool) -> int:
    return 2 if dry else 50


def robe_cases(dry: bool) -> Iterator[dict[str, Any]]:
    """Table 2 (batch 10,240, d = 128) and Criteo, what matters most first."""
    if dry:
        yield _robe((4000,), 16, 8, 64, 10)
        yield _robe((50, 3, 700), 16, 16, 32, 10)
        return
    million = 1_000_000
    for compression in (1000, 100):
        for n in (4, 16, 64, 256):
            yield _robe((n * million,), 128, 32, 10240, compression)
    yield _robe(KAGGLE, 16, 16, 2048, 1000)
    yield _robe(KAGGLE, 16, 16, 16384, 1000)
    for compression in (10, 10000):
        for n in (4, 16, 64, 256):
            yield _robe((n * million,), 128, 32, 10240, compression)
    for n in (4, 64):
        for block in (1, 4, 16, 128):
            yield _robe((n * million,), 128, block, 10240, 1000)


def _robe(
    rows: tuple[int, ...], dim: int, block: int, batch: int, compression: int
) -> dict[str, Any]:
    return {
        "rows": rows,
        "dim": dim,
        "block": block,
        "batch": batch,
        "compression": compression,
    }


def memory_of(case: dict[str, Any]) -> int:
    return sum(case["rows"]) * case["dim"] // case["compression"]


def robe_ids(case: dict[str, Any]) -> np.ndarray:
    """Uniform ids `(batch, tables)`, int32."""
    random = np.random.default_rng(0)
    rows = np.array(case["rows"])
    return (random.random((case["batch"], len(rows))) * rows).astype(np.int32)


def train_cases(dry: bool) -> Iterator[dict[str, Any]]:
    """Tables of 10 million rows of 16 numbers; and rank 64, 64 numbers."""
    if dry:
        yield _train(5000, (10, 20, 25), (2, 2, 4), 3, 200, "zipf")
        yield _train(5000, (10, 20, 25), (2, 2, 4), 3, 200, "uniform")
        return
    for stream in ("uniform", "zipf"):
        for rank, count in ((34, 53_248), (32, 16_384), (34, 524_288)):
            yield _train(
                10_000_000, (200, 200, 250), (2, 2, 4), rank, count, stream
            )
        yield _train(10_000_000, (200, 200, 250), (4, 4, 4), 64, 16_384, stream)


def _train(
    rows: int,
    row_shape: tuple[int, ...],
    column_shape: tuple[int, ...],
    rank: int,
    count: int,
    stream: str,
) -> dict[str, Any]:
    return {
        "rows": rows,
        "row_shape": row_shape,
        "column_shape": column_shape,
        "rank": rank,
        "ids": count,
        "stream": stream,
    }


def train_shapes(case: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """The shape (p, r, q, r') of each core."""
    pairs = list(zip(case["row_shape"], case["column_shape"], strict=True))
    last = len(pairs) - 1
    return [
        (p, 1 if k == 0 else case["rank"], q, 1 if k == last else case["rank"])
        for k, (p, q) in enumerate(pairs)
    ]


def train_ids(case: dict[str, Any]) -> np.ndarray:
    """Ids `(n,)`, int32: uniform, or by Zipf's law and scattered."""
    random = np.random.default_rng(0)
    rows, count = case["rows"], case["ids"]
    if case["stream"] == "uniform":
        return random.integers(0, rows, count).astype(np.int32)
    weights = np.arange(1, rows + 1) ** -1.05
    ranks = np.searchsorted(
        np.cumsum(weights) / weights.sum(), random.random(count)
    )
    return (np.minimum(ranks, rows - 1) * 7_368_787 % rows).astype(np.int32)


def measured(
    ways: Ways, rounds: int, count: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of a repeat of each way, without those of the way "loop"."""
    times = timing.in_turns(ways, rounds, least_ms=1)
    empty = times.get("loop", 0.0)
    found: dict[str, dict[str, float]] = {}
    for name, ms in times.items():
        if "|" in name:
            way, step = name.split("|")
            found.setdefault(way, {})[step] = (ms - empty) / count
    if "loop" in times:
        found["loop"] = {"lookup": empty / count}
    return found


def write(
    out: Path | None,
    what: str,
    backend: str,
    case: dict[str, Any],
    ms: dict[str, dict[str, float]],
    **more: Any,
) -> None:
    """Prints a JSON line, and adds it to a file."""
    line = {
        "what": what,
        "backend": backend,
        "case": case,
        "ms": ms,
        **more,
        "commit": timing.commit(),
    }
    text = json.dumps(line)
    print(text, flush=True)
    if out:
        with out.open("a") as file:
            file.write(text + "\n")


def done(out: Path | None, what: str, backend: str) -> list[dict[str, Any]]:
    """The cases that a file has already."""
    if out is None or not out.is_file():
        return []
    lines = [json.loads(text) for text in out.read_text().splitlines()]
    return [
        line["case"]
        for line in lines
        if (line["what"], line["backend"]) == (what, backend)
    ]


def left(out: Path | None, what: str, backend: str, dry: bool) -> Iterator[Any]:
    """The cases that are to be measured."""
    known = done(out, what, backend)
    for case in robe_cases(dry) if what == "robe" else train_cases(dry):
        if json.loads(json.dumps(case)) not in known:
            yield case
