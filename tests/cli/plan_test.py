"""`keras-pss plan`, and runs that follow a plan."""

import json
from types import SimpleNamespace

import pytest
from command_line import call
from log_schema import SCHEMA

from keras_pss_cli import plan_workers

pytestmark = pytest.mark.tf_only
NARROW = (
    "--epochs 1 --batch-size 512 --model-option bottom_units=[8] "
    "--model-option top_units=[8]"
)


def run(folder, line):
    return call(*line.split(), folder=folder)


def test_sizes_alone(folder):
    done = run(folder, "plan --cardinalities criteo-kaggle")
    assert done.returncode == 0, done.stderr
    assert "10,131,227" in done.stdout
    assert "ROBE, since no counts are known" in done.stdout
    (folder / "sizes.txt").write_text("100, 2000\n30 null")
    done = run(folder, "plan --cardinalities sizes.txt --dim 8 --budget 4KB")
    assert "open" in done.stdout
    assert "budget 4KB: 4,000 bytes" in done.stdout


def test_many_workers(folder):
    line = "plan --data data --dim 8 --budget 900 --workers 2,8"
    done = run(
        folder,
        f"{line} --batch-size 64 --bandwidth 1GB --step-ms 64=3 --memory 1GB",
    )
    assert done.returncode == 0, done.stderr
    assert "deserve a row" in done.stdout
    assert "full, by rows  all-to-all" in done.stdout
    assert "26 lookups an example, adam." in done.stdout
    done = run(
        folder, f"{line} --global-batch-size 64 --lookups 2 --json --out w.json"
    )
    found = json.loads(done.stdout)
    plan, scaling = found["plan"], found["scaling"]
    assert plan["parameters"] == scaling["compressed_parameters"]
    batches = [step["batch_size"] for step in scaling["steps"]]
    assert batches == [32, 32, 32, 8, 8, 8]
    assert scaling["lookups"] == 52
    assert (folder / "w.json").is_file()


def test_a_table_has_a_lookup_for_each_feature_that_reads_it():
    names = {f.table: 9 for f in (*SCHEMA.single, *SCHEMA.multi)}
    log = SimpleNamespace(schema=SCHEMA, tables={**names, "unused": 9})
    read = plan_workers.lookups_of(log)
    assert dict(zip(log.tables, read, strict=True)) == {
        **dict.fromkeys(log.tables, 1),
        "items": 2,  # one of them a pooled list
    }
    assert plan_workers.lookups_of(SimpleNamespace(schema=None)) == 1


def test_a_run_follows_a_plan(folder):
    done = run(folder, "plan --data data --dim 8 --budget 900 --out plan.json")
    assert done.returncode == 0, done.stderr
    assert "deserve a row" in done.stdout
    plan = json.loads((folder / "plan.json").read_text())
    done = run(
        folder, f"train --data data --out planned --plan plan.json {NARROW}"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "planned" / "report.json").read_text())
    assert report["embedding_params"] == plan["parameters"] <= 900
    assert report["parts"]["embeddings"]["method"] == plan["method"]
    assert "embeddings: method='popularity': " in done.stdout


def test_a_plan_for_another_log_is_refused(folder):
    made = run(folder, "plan --cardinalities criteo-kaggle --out kaggle.json")
    assert made.returncode == 0
    done = run(folder, "train --data data --out other --plan kaggle.json")
    assert done.returncode == 2
    assert "must be a plan for the same log" in done.stderr
    assert "Plan again with `keras-pss plan`" in done.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("plan", "Give either --data, a log, or --cardinalities"),
        ("plan --data data --cardinalities criteo-kaggle", "Give either"),
        ("plan --cardinalities none.txt", "--cardinalities must be numbers"),
        ("plan --cardinalities short.tsv", "--cardinalities must be a file"),
        ("plan --cardinalities criteo-kaggle --tune", "--tune needs --data"),
        ("plan --data data --set epochs=1", "--set needs --tune"),
        (
            "plan --data data --option rows=3",
            "--option of method='auto' are: min_count",
        ),
        ("plan --data data --out empty", "--out must be a file"),
        ("plan --data data --budget 3y", "--budget must be a ratio"),
        (
            "plan --data data --tune --set dim=3",
            "--dim is what tuning decides or sets",
        ),
        ("train --data data --out n --plan none.json", "--plan must be a file"),
        ("plan --data data --memory 1GB", "--memory needs --workers"),
        ("plan --data data --workers 8;64", "--workers must be integers with"),
        ("plan --data data --workers 8", "Give either --batch-size, the"),
        (
            "plan --data data --workers 8 --batch-size 9 --step-ms 3",
            "--step-ms must be a batch size and milliseconds, BATCH=MS",
        ),
        (
            "train --data data --out n --plan plan.json --dim 4",
            "--plan sets --dim. Leave one of the two out",
        ),
    ],
)
def test_mistakes_are_one_line(folder, command, message):
    if "plan.json" in command:
        run(folder, "plan --data data --out plan.json")
    (folder / "short.tsv").write_text("1\t2\nx")
    done = run(folder, command)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
