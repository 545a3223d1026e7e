"""The command line as a user types it: answers, files, exit codes."""

import json
import subprocess
import sys

import pytest
from command_line import NARROW, call, keras_pss
from runs import without_raw_rows

pytestmark = pytest.mark.tf_only


def test_the_way_of_a_user(folder, caplog):
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["method"] == "auto"
    assert report["parts"]["embeddings"]["method"] == "popularity"
    done = call(
        *["evaluate", "--run", "run", "--data", "log.tsv.gz", "--json"],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 6000
    assert "the file log.tsv.gz that the run was trained on" in caplog.text
    done = call(
        *["export", "--run", "run", "--out", "served/1", "--int8"],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "served" / "1" / "saved_model.pb").is_file()
    done = call(
        *["export", "--run", "run", "--out", "device", "--format", "litert"],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "LiteRT model in device, equal to the Keras model" in done.stdout
    assert (folder / "device" / "model.tflite").is_file()


@pytest.fixture
def plain_exports():
    """A test's runs export no raw rows, which take most of a short run."""
    with without_raw_rows():
        yield


@pytest.mark.slow
def test_a_recipe_is_a_run_with_the_papers_numbers(folder, plain_exports):
    done = call("recipes")
    assert done.returncode == 0, done.stderr
    for name in ("criteo_tb_mlperf/10000x", "fpd_criteo_tb/r16-p4"):
        assert name in done.stdout
    done = call("recipes", "tt_rec_kaggle/7-r32")
    assert "TT-Rec, table 2" in done.stdout
    assert "last_core" in done.stdout
    # The raw log, prepared as the recipe says; changed where one asks for it.
    done = call(
        *["train", "--data", "log.tsv.gz", "--out", "recipe", "--resume"],
        *[
            "--recipe",
            "criteo_kaggle_1000x/dcn",
            "--epochs",
            "1",
            "--evaluations",
            "1",
        ],
        *["--budget", "20x", "--model-option", "hidden_units=[8]"],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "the paper: test AUC, ROBE-16 at 1000x" in done.stdout
    report = json.loads((folder / "recipe" / "report.json").read_text())
    assert report["recipe"] == "criteo_kaggle_1000x/dcn"
    assert report["paper"]["test AUC, uncompressed"] == 0.7973
    assert report["model"] == "dcn"
    assert report["model_options"] == {"hidden_units": [8]}
    assert (report["batch_size"], report["budget"]) == (2048, "20x")
    found = json.loads((folder / "recipe/data/metadata.json").read_text())
    assert found["schema"]["split"]["by"] == "random"
    assert found["splits"]["test"]["rows"] == 600


@pytest.mark.slow
def test_training_from_a_file_keeps_its_records(folder, plain_exports):
    done = call(
        *[
            "train",
            "--data",
            "log.tsv.gz",
            "--out",
            "from_file",
            "--method",
            "hash",
            "--budget",
            "20x",
            "--epochs",
            "1",
            "--option",
            "hash=universal",
            *["--model-option", "bottom_units=[8]"],
            *["--model-option", "top_units=[8]"],
        ],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "from_file" / "data" / "metadata.json").is_file()
    report = json.loads((folder / "from_file" / "report.json").read_text())
    assert report["options"] == {"hash": "universal"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "synth --out made.tsv --rows 100 --scale 0.001",
        "prepare log.tsv.gz --out prepared",
        f"train --data data --out trained {NARROW}",
        "evaluate --run run --data log.tsv.gz",
        "export --run run --out exported",
        "recipes",
        "schema show",
    ],
)
def test_each_command_is_a_process_without_lines_of_tensorflow(folder, command):
    """Its answers are tested in this one, which has TensorFlow already."""
    done = keras_pss(*command.split(), folder=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "tensorflow" not in done.stderr.lower()
    if command.startswith("evaluate"):
        assert "that the run was trained on" in done.stderr


def test_half_an_archive_is_prepared_and_the_exit_status_says_so(folder):
    packed = (folder / "log.tsv.gz").read_bytes()
    (folder / "half.tsv.gz").write_bytes(packed[: len(packed) // 2])
    done = call("prepare", "half.tsv.gz", "--out", "half", folder=folder)
    assert done.returncode == 1
    assert "half.tsv.gz is truncated or corrupt" in done.stderr
    assert "the rest of the file is missing" in done.stderr
    assert (folder / "half" / "metadata.json").is_file()


def test_strict_stops_at_the_first_broken_row(folder):
    (folder / "broken.tsv").write_text("1\tnot a row\n")
    done = call(
        *["prepare", "broken.tsv", "--out", "d", "--strict"], folder=folder
    )
    assert done.returncode == 2
    assert "broken.tsv:1" in done.stderr.splitlines()[-1]
    assert not (folder / "d").exists()


def test_help_names_every_command_and_needs_no_tensorflow():
    code = (
        "import sys, keras_pss_cli; assert 'tensorflow' not in sys.modules; "
        "sys.argv = ['keras-pss', '--help']; keras_pss_cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    for command in ("prepare", "synth", "train", "evaluate", "export"):
        assert command in done.stdout
