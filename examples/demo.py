"""Full tables compared with ROBE at 100x and 1000x, on a synthetic click log.

    python examples/demo.py --out demo

Generates a click log in Criteo's format with a known best possible AUC,
prepares it, trains the same DLRM with each embedding and prints a table of the
results. It then exports the 1000x model and checks that a new process, which
imports only TensorFlow, gives the same predictions.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from keras_pss_cli.common import quiet

with quiet():  # TensorFlow logs on import, before log levels take effect
    from keras_pss.data import PreparedFolder, criteo, synthetic
    from keras_pss.training.config import RunConfig
    from keras_pss.training.finished.finished_run import load_model
    from keras_pss.training.finished.raw_model import raw_model
    from keras_pss.training.run import train

RUNS = (("full", "1x"), ("robe", "100x"), ("robe", "1000x"))

# A server's script: TensorFlow only, without the Keras model or keras_pss.
SERVE = """
import sys
import numpy as np
import tensorflow as tf

folder, rows, answers = sys.argv[1:]
model = tf.saved_model.load(folder)
rows = np.load(rows)
scores = model.serve({name: tf.constant(rows[name]) for name in rows})
np.save(answers, scores.numpy())
assert "keras_pss" not in sys.modules
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=1024)
    arguments = parser.parse_args()
    out = arguments.out
    if out.exists():
        parser.error(
            "`--out` must not exist yet. Remove it or choose another folder. "
            f"Received: --out={out}"
        )
    console = Console()

    console.rule("1. A click log with a known best possible AUC")
    log = out / "clicks.tsv"
    out.mkdir(parents=True)
    best = synthetic.generate(log, rows=arguments.rows)
    data = criteo.prepare(log, out / "data")
    console.print(
        f"{arguments.rows:,} rows, {sum(data.cardinalities):,} ids; AUC of the "
        f"true click probabilities: {best.bayes_auc:.4f}"
    )

    reports = []
    for number, (method, budget) in enumerate(RUNS, start=2):
        console.rule(f"{number}. DLRM, {method} embeddings, {budget}")
        config = RunConfig(
            method=method,
            budget=budget,
            epochs=arguments.epochs,
            patience=1,
            batch_size=arguments.batch_size,
        )
        verbose = 1 if sys.stdout.isatty() else 2
        reports.append(train(data, config, out / f"{method}_{budget}", verbose))

    console.rule("5. Comparison on the test rows")
    console.print(comparison(reports, best))

    console.rule("6. The 1000x model, served by TensorFlow only")
    difference = served_difference(data, out / "robe_1000x", out)
    console.print(
        f"{out / 'robe_1000x' / 'saved_model'}: largest difference between "
        f"the predictions of Keras and of TensorFlow: {difference:g}"
    )
    if difference:
        sys.exit("The served predictions differ from the model's.")
    request, expected = raw_request(log, out / "robe_1000x")
    (out / "request.json").write_text(json.dumps(request) + "\n")
    console.print(
        "\nAnswers over the network, for a row as the log's files hold it:\n\n"
        f"  {Path(sys.executable).parent / 'keras-pss'} serve --run "
        f"{out / 'robe_1000x'}\n"
        "  curl localhost:8501/v1/models/robe_1000x:predict "
        f"-d @{out / 'request.json'}\n\n"
        f"Keras' prediction for this row: {expected:.6f}",
        soft_wrap=True,
        highlight=False,
    )


def comparison(reports: list[dict], best: synthetic.SyntheticReport) -> Table:
    """A table with one row per run, and the best possible result."""
    table = Table(box=box.SIMPLE)
    names = "embeddings,AUC,log loss,parameters,kB,ms/step,epoch"
    for name in names.split(","):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        table.add_row(
            f"{report['method']} {report['compression']:.0f}x",
            f"{report['auc']:.4f}",
            f"{report['logloss']:.4f}",
            f"{report['embedding_params']:,}",
            f"{report['embedding_bytes'] / 1000:,.0f}",
            f"{report['step_ms_median']:.1f}",
            f"{report['best_epoch']} of {report['epochs']}",
        )
    table.add_row(
        "Bayes optimal", f"{best.bayes_auc:.4f}", f"{best.bayes_log_loss:.4f}"
    )
    return table


def raw_request(log: Path, run: Path) -> tuple[dict, float]:
    """A request with the log's first row, and its probability by Keras."""
    score = raw_model(run)
    fields = log.read_text().partition("\n")[0].split("\t")[1:]
    row: dict = dict(zip(score.columns, fields, strict=True))
    for name in score.columns[:13]:
        row[name] = float(row[name] or "nan")
    (expected,) = score({name: [value] for name, value in row.items()})
    return {"signature_name": "serve_raw", "instances": [row]}, float(expected)


def served_difference(data: PreparedFolder, run: Path, out: Path) -> float:
    """Largest |Keras - SavedModel in a fresh process| over test rows."""
    test = criteo.dataset(data, "test", batch_size=4096, shuffle=False)
    rows = {k: v.numpy() for k, v in next(iter(test))[0].items()}
    np.savez(out / "rows.npz", **rows)
    served = subprocess.run(
        [
            sys.executable,
            "-c",
            SERVE,
            str(run / "saved_model"),
            str(out / "rows.npz"),
            str(out / "answers.npy"),
        ],
        stderr=subprocess.PIPE,  # shown only if the process fails
        text=True,
    )
    if served.returncode:
        sys.exit(served.stderr)
    model = load_model(run)
    expected = model.predict(rows, batch_size=4096, verbose=0)
    return float(np.abs(np.load(out / "answers.npy") - expected).max())


if __name__ == "__main__":
    main()
