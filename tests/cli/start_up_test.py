"""What the command line answers without the seconds of Keras' import."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tf_only

HEAVY = ("keras", "tensorflow", "jax", "torch", "sklearn", "matplotlib")
# Commands in one process, each with its exit status. `log` is of Criteo's
# format, `shop.csv` has a header, `full` is not empty, `run` has a report.
COMMANDS = {
    "--help": 0,
    "--version": 0,
    "train --help": 0,
    "recipes": 0,
    "recipes criteo_kaggle_1000x/dlrm": 0,
    "recipes nothing": 2,
    "synth --out log.tsv --rows 400": 0,
    "synth --out log.tsv": 2,
    "prepare log.tsv --out log": 0,
    "prepare log.tsv --out log2 --min-count 0": 2,
    "prepare log.tsv --out full": 2,
    "prepare shop.csv --out shop": 2,
    "schema show": 0,
    "schema show avazu": 0,
    "schema infer shop.csv --out shop.toml": 0,
    "schema check shop.toml shop.csv": 0,
    "schema check nothing.toml": 2,
    "plan --cardinalities criteo-kaggle --budget 1000x": 0,
    "plan --cardinalities 7,3 --budget 9y": 2,
    "plan --data log --budget 20x --out plan.json": 0,
    "plan --data nothing": 2,
    "build-ops --framework theano": 2,
    "train --data log --out full": 2,
    "train --data nothing --out new": 2,
    "train --data log --out new --recipe nothing": 2,
    "train --data log --out new --plan nothing.json": 2,
    "train --data log --out new --plan plan.json --dim 8": 2,
    "train --data log --out new --method nothing": 2,
    "train --data log --out new --batch-size 0": 2,
    "train --data log --out new --end-learning-rate 1": 2,
    "train --data log --out new --budget 9y": 2,
    "train --data log --out new --rows 5": 2,
    "train --data shop.csv --out new --schema nothing": 2,
    "compare --data nothing --out cells": 2,
    "compare --data log --out cells --set epochs=0": 2,
    "evaluate --run full --data log": 2,
    "predict --run full --data shop.csv --out scores.csv": 2,
    "export --run full --out model": 2,
    "predict --run run --data shop.csv --out shop.csv": 2,
    "export --run run --out full": 2,
    "compress --model run --out shop.csv": 2,
}
SCRIPT = """
import contextlib, io, json, sys, keras_pss_cli
for command in json.loads(sys.argv[1]):
    sys.argv = ["keras-pss", *command.split()]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            keras_pss_cli.main()
        except SystemExit as ended:
            status = ended.code
    loaded = {name.split(".")[0] for name in sys.modules}
    print(json.dumps([command, status, sorted(loaded), out.getvalue()]))
"""


def test_what_needs_no_layer_loads_no_framework(tmp_path):
    (tmp_path / "shop.csv").write_text("click,item\n0,a\n1,b\n0,a\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_text("{}")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(list(COMMANDS))],
        env={**os.environ, "KERAS_PSS_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for command, status, loaded, said in answers:
        assert status == COMMANDS[command], (command, said)
        assert not set(HEAVY) & set(loaded), command
        assert "Traceback" not in said
    assert len(answers) == len(COMMANDS)
    assert not done.stderr


@pytest.mark.slow
def test_a_package_that_was_entered_has_its_names_in_the_end():
    code = (
        "import sys; from keras_pss_cli import without_layers\n"
        "without_layers.enter()\n"
        "from keras_pss.layers.base.budget import Budget\n"
        "import keras_pss; assert not hasattr(keras_pss, 'plan')\n"
        "assert 'keras' not in sys.modules\n"
        "without_layers.finish()\n"
        "import keras\n"
        "assert keras.saving.get_registered_object('keras_pss>ROBEEmbedding')\n"
        "assert keras_pss.layers.base.budget.Budget is Budget\n"
        "assert keras_pss.plan and keras_pss.layers.ROBEEmbedding\n"
        "without_layers.enter(); without_layers.finish()\n"
    )
    # Any backend shows it.
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
