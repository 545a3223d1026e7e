"""Quality at a size on one click log: every method, several seeds.

    python benchmarks/criteo_quality.py --data train.tsv --out results

Prepares the log once (first 6/7 to train and validate, last 1/7 to test),
trains each cell by `keras-pss train`, and prints the mean and the standard
deviation over seeds. Finished cells are kept, so a stopped run continues.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

CELLS = (
    "full:1x",
    "robe:10x",
    "robe:100x",
    "robe:1000x",
    "hash:10x",
    "hash:100x",
    "hash:1000x",
    "tt:100x",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="Criteo TSV.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cells", nargs="+", default=CELLS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()

    records = arguments.out / "data"
    if not records.exists():
        arguments.out.mkdir(parents=True, exist_ok=True)
        keras_pss("prepare", arguments.data, "--out", records)
    print(
        f"{'cell':12} {'AUC':>8} {'sd':>7} {'log loss':>9} "
        f"{'parameters':>12} {'ms/step':>8}  epochs"
    )
    for cell in arguments.cells:
        reports = []
        for seed in range(1, arguments.seeds + 1):
            run = arguments.out / f"{cell.replace(':', '_')}_{seed}"
            if not (run / "report.json").exists():
                method, budget = cell.split(":")
                shutil.rmtree(run, ignore_errors=True)
                keras_pss(
                    "train",
                    "--data",
                    records,
                    "--out",
                    run,
                    "--method",
                    method,
                    "--budget",
                    budget,
                    "--batch-size",
                    arguments.batch_size,
                    "--epochs",
                    arguments.epochs,
                    "--seed",
                    seed,
                )
            reports.append(json.loads((run / "report.json").read_text()))
        show(cell, reports)
    with (arguments.out / "results.jsonl").open("w") as lines:
        for report in sorted(arguments.out.glob("*/report.json")):
            lines.write(json.dumps(json.loads(report.read_text())) + "\n")


def keras_pss(*words: object) -> None:
    command = [sys.executable, "-m", "keras_pss_cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


def show(cell: str, reports: list[dict]) -> None:
    auc = [report["auc"] for report in reports]
    spread = statistics.stdev(auc) if len(auc) > 1 else 0.0
    print(
        f"{cell:12} {statistics.mean(auc):8.4f} {spread:7.4f} "
        f"{statistics.mean(r['logloss'] for r in reports):9.4f} "
        f"{reports[0]['embedding_params']:12,} "
        f"{statistics.median(r['step_ms_median'] for r in reports):8.1f}  "
        f"{[r['best_epoch'] for r in reports]}",
        flush=True,
    )


if __name__ == "__main__":
    main()
