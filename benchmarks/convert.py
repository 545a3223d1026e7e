"""AUC of a trained model after its tables are compressed, without retraining.

    python benchmarks/convert.py --data FOLDER [--run RUN] [--tune]

Takes a finished run on a prepared log, or trains DLRM with full tables as the
grid `small` does, and compresses its best checkpoint by each method within each
budget. With --tune, the tables are then trained for an epoch at two low rates,
the network frozen, and the validation rows choose the best state; the full
tables are tuned alike.

A method may have options: `popularity:inner_dim=4`. Prints a JSON line for each
conversion, and a table at the end.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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


def main() -> None:
    """Compresses a model by each method at each size."""
    arguments = _arguments()
    log = open_click_log(arguments.data)
    run = arguments.run or _trained(log, arguments.out)
    score = score_of(log)
    full = load_model(run)
    before = score(full)
    results = []
    if arguments.tune:
        results.append(_tuned_full(run, log, score, before))
    for budget in arguments.budgets.split(","):
        for method in arguments.methods.split(","):
            found = _converted(full, log, method, budget, arguments.tune)
            results.append({**found, "before": before})
            print(json.dumps(results[-1]), flush=True)
    print()
    print(table(results))
    about = {
        "arguments": {k: str(v) for k, v in vars(arguments).items()},
        "full": before,
        "machine": machine(),
        "versions": versions(),
        "commit": timing.commit(),
    }
    print(json.dumps(about))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("convert-run"))
    parser.add_argument("--budgets", default="10x,100x,1000x")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--tune", action="store_true")
    return parser.parse_args()


def _trained(log: Any, out: Path) -> Path:
    """The folder of a run with full tables, trained if it is not there."""
    grid = read_named("small", "recipes/grids", "grid")
    config = RunConfig.of(
        {
            **grid["run"],
            "model": "dlrm",
            "method": "full",
            "dim": 16,
            "model_options": grid["model_options"]["dlrm"],
        }
    )
    train(log, config, out, verbose=2, resume=out.exists())
    return out


def _converted(
    full: Any, log: Any, named: str, budget: str, tune: bool
) -> dict[str, Any]:
    """What a conversion costs, in AUC on the test rows and in seconds."""
    method, _, text = named.partition(":")
    options = {
        name: json.loads(value)
        for name, _, value in (each.partition("=") for each in text.split(";"))
        if name
    }
    found = {"method": named, "budget": budget}
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


def _tuned_full(
    run: Path, log: Any, score: Any, before: dict[str, float]
) -> dict[str, Any]:
    """The full tables, tuned as the others are."""
    model = load_model(run)
    steps = str(tuned_on(model, log))
    found = {
        "method": "full",
        "budget": "1x",
        "compression": 1.0,
        "before": before,
        "after": before,
        "tuning": steps,
        "tuned": score(model),
    }
    print(json.dumps(found), flush=True)
    return found


def table(results: list[dict[str, Any]]) -> str:
    """The changes of AUC, as a table in Markdown."""
    lines = [
        "| method | budget | size | AUC | after tuning |",
        "|---|---|---|---|---|",
    ]
    for each in results:
        if "error" in each:
            lines.append(f"| {each['method']} | {each['budget']} | none | | |")
            continue
        before = each["before"]["auc"]
        cells = [each["method"], each["budget"], f"{each['compression']:.3g}x"]
        cells.append(f"{each['after']['auc'] - before:+.4f}")
        tuned = each.get("tuned")
        cells.append("" if tuned is None else f"{tuned['auc'] - before:+.4f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
