"""AUC of trained models after their tables are compressed.

    python benchmarks/convert.py --data FOLDER [--seeds 3] [--tune]
        [--methods auto,robe] [--budgets 10x,100x] [--out convert-runs]

Trains DLRM with full tables on a prepared log as the grid `small` does, once
for each seed, and compresses the best checkpoint by each method within each
budget. With --tune, the tables are then trained for an epoch at two low rates,
the network frozen, and the validation rows choose the best state; the full
tables are tuned alike.

A method may have options: `popularity:inner_dim=4`. Prints a JSON line for each
conversion and adds it to `results.jsonl` in --out, where a second call goes on;
at the end it prints a table of the means over the seeds.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import timing

import keras_pss
from keras_pss.data.locate import open_click_log
from keras_pss.named_toml import read_named
from keras_pss.training import RunConfig, train
from keras_pss.training.environment import machine, versions
from keras_pss.training.finished.compress import counts_of, score_of, tuned_on
from keras_pss.training.finished.finished_run import load_model

METHODS = (
    *("auto", "quantized", "mixed_dimension", "popularity", "clustered"),
    *("memcom", "tt", "robe", "fpd", "qr", "hash", "sketch"),
)
Found = dict[str, Any]


def main() -> None:
    """Compresses the models of all seeds by each method at each size."""
    arguments = _arguments()
    log = open_click_log(arguments.data)
    arguments.out.mkdir(parents=True, exist_ok=True)
    stored = arguments.out / "results.jsonl"
    results = _read(stored)
    for seed in range(arguments.seeds):
        run = _trained(log, arguments.out / f"seed-{seed}", seed)
        done = {_key(each) for each in results}
        for found in _conversions(run, log, seed, arguments, done):
            results.append({**found, "seed": seed})
            line = json.dumps(results[-1])
            print(line, flush=True)
            with stored.open("a") as file:
                file.write(line + "\n")
    print()
    print(table(results))
    about = {
        "arguments": {k: str(v) for k, v in vars(arguments).items()},
        "machine": machine(),
        "versions": versions(),
        "commit": timing.commit(),
    }
    print(json.dumps(about))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("convert-runs"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budgets", default="10x,100x,1000x")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--tune", action="store_true")
    return parser.parse_args()


def _read(stored: Path) -> list[Found]:
    if not stored.exists():
        return []
    return [json.loads(line) for line in stored.read_text().splitlines()]


def _key(found: Found) -> tuple[Any, ...]:
    return found["seed"], found["method"], found["budget"], found["tune"]


def _trained(log: Any, out: Path, seed: int) -> Path:
    """The folder of a run with full tables, trained if it is not there."""
    grid = read_named("small", "recipes/grids", "grid")
    config = RunConfig.of(
        {
            **grid["run"],
            "model": "dlrm",
            "method": "full",
            "dim": 16,
            "seed": seed,
            "model_options": grid["model_options"]["dlrm"],
        }
    )
    if not (out / "report.json").exists():
        train(log, config, out, verbose=2, resume=out.exists())
    return out


def _conversions(
    run: Path,
    log: Any,
    seed: int,
    arguments: argparse.Namespace,
    done: set[tuple[Any, ...]],
) -> Iterator[Found]:
    """What each conversion of one run costs, but for those already done."""
    full, score, tune = load_model(run), score_of(log), arguments.tune
    before = score(full)
    tests = [
        (method, budget)
        for budget in arguments.budgets.split(",")
        for method in arguments.methods.split(",")
    ]
    for method, budget in [*([("full", "1x")] if tune else []), *tests]:
        if (seed, method, budget, tune) in done:
            continue
        if method == "full":
            found = _tuned_full(run, log, before)
        else:
            found = _converted(full, log, method, budget, tune)
        yield {**found, "before": before, "tune": tune}


def _converted(
    full: Any, log: Any, named: str, budget: str, tune: bool
) -> Found:
    """What a conversion costs, in AUC on the test rows and in seconds."""
    method, _, text = named.partition(":")
    options = {
        name: json.loads(value)
        for name, _, value in (each.partition("=") for each in text.split(";"))
        if name
    }
    found: Found = {"method": named, "budget": budget}
    start = time.perf_counter()
    try:
        new, report = keras_pss.compress_model(
            full, method, budget, counts=counts_of(full, log), options=options
        )
    except (ValueError, NotImplementedError) as error:
        return {**found, "error": str(error)}
    found |= {
        "seconds": round(time.perf_counter() - start, 1),
        "chosen": sorted({row.method for row in report.tables} - {"full"}),
        "compression": report.compression,
        "relative_error": _mean(report, "relative_error"),
        "weighted_relative_error": _mean(report, "weighted_relative_error"),
    }
    score = score_of(log)
    found["after"] = score(new)
    if tune:
        found["tuning"] = str(tuned_on(new, log))
        found["tuned"] = score(new)
    keras.utils.clear_session(free_memory=True)
    return found


def _mean(report: Any, name: str) -> float | None:
    """A mean over tables, by their sizes."""
    pairs = [(getattr(row, name), row.parameters) for row in report.tables]
    if any(value is None for value, _ in pairs):
        return None
    return float(
        sum(v * n for v, n in pairs) / max(1, sum(n for _, n in pairs))
    )


def _tuned_full(run: Path, log: Any, before: dict[str, float]) -> Found:
    """The full tables, tuned as the others are."""
    model = load_model(run)
    steps = str(tuned_on(model, log))
    return {
        "method": "full",
        "budget": "1x",
        "compression": 1.0,
        "after": before,
        "tuning": steps,
        "tuned": score_of(log)(model),
    }


def table(results: list[Found]) -> str:
    """Mean changes of AUC over the seeds, as a table in Markdown."""
    lines = [
        "| method | budget | size | AUC | tuned | seeds |",
        "|---|---|--:|--:|--:|--:|",
    ]
    groups: dict[tuple[str, str], list[Found]] = {}
    for each in results:
        groups.setdefault((each["budget"], each["method"]), []).append(each)
    for (budget, method), group in groups.items():
        cells = [method, budget]
        sizes = [each["compression"] for each in group if "after" in each]
        if sizes:
            cells.append(f"{statistics.mean(sizes):.3g}x")
            cells += [_change(group, name) for name in ("after", "tuned")]
        else:
            cells += ["none", "", ""]
        lines.append(f"| {' | '.join([*cells, str(len(group))])} |")
    return "\n".join(lines)


def _change(group: list[Found], name: str) -> str:
    changes = [
        each[name]["auc"] - each["before"]["auc"]
        for each in group
        if name in each
    ]
    return f"{statistics.mean(changes):+.4f}" if changes else ""


if __name__ == "__main__":
    main()
