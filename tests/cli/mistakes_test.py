"""A mistake on the command line is one line that says the fix."""

import os
import subprocess
import sys

import pytest
from command_line import call, keras_pss

import keras_pss_cli

pytestmark = pytest.mark.tf_only


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("trian", "No such command 'trian'. Did you mean 'train'?"),
        ("train --out r", "Missing option '--data'"),
        ("train --data nowhere --out r", "--data must be 'synthetic', a Cr"),
        ("train --data data --out run", "--out must be a new or empty folder"),
        (
            "train --data data --out r --epochs x",
            "'--epochs': Input should be a valid integer",
        ),
        ("train --data data --out r --epochs 0", "--epochs must be greater"),
        ("train --data data --out r --budget huge", "--budget must be a ratio"),
        (
            "train --data data --out r --method rob",
            "--method must be one of 'full'",
        ),
        ("train --data data --out r --option k", "--option must be name=value"),
        (
            "train --data data --out r --option k=1",
            "--option of --method auto are: min_count",
        ),
        (
            "train --data data --out r --method robe --option block_size=x",
            "`block_size`",
        ),
        ("train --data empty --out r", "hold train.txt, day_0, day_1"),
        ("train --data twice --out r", "day_0 and day_0.gz in twice"),
        ("train --data data --out r --embedding-scale x", "number or 'rows'"),
        (
            "train --data data --out r --recipe fpd_criteo_tb/r8-p1 "
            "--compress-largest 5 --min-rows 3",
            "--compress-largest replaces --min-rows",
        ),
        (
            "train --data data --out r --recipe x",
            "A recipe must be one of avazu_x4_001, avazu_x4_002, criteo",
        ),
        (
            "train --data data --out run --resume --dim 8",
            "--dim 8 instead of 16",
        ),
        ("recipes criteo_kaggle_1000x", "must be one of criteo_kaggle_1000x/"),
        ("compare --data data --out c --grid x", "A grid must be one of paper"),
        ("compare --data data --out c --methods x", "--methods must be among"),
        ("compare --data data --out c --set k", "--set must be name=value"),
        (
            "train --data data --out r --rows 9",
            "--rows applies only to --data synthetic",
        ),
        (
            "train --data data --out r --recipe movielens_ncf/full",
            "The recipe movielens_ncf/full is for ratings.dat",
        ),
        (
            "train --data data --out r --recipe avazu_x4_001/dcn",
            "The recipe avazu_x4_001/dcn is for train of the Kaggle comp",
        ),
        (
            "train --data synthetic --out r --recipe avazu_x4_001/dcn",
            "--data must be files of the recipe's log",
        ),
        (
            "train --data data --out r --data-service host",
            "--data-service must be the addresses of input servers",
        ),
        (
            "train --data data --out r --compress-input",
            "--compress-input needs --data-service",
        ),
        (
            "train --data ratings.dat --out r --data-service host:5050",
            "--data-service needs a folder that `keras-pss prepare` wrote",
        ),
        ("train --data later.tsv --out made --resume", "from another log"),
        ("compare --data data --out c --report-only", "at least one finished"),
        (
            "evaluate --run data --data log.tsv.gz",
            "--run must be the folder of",
        ),
        ("evaluate --run run --data nothing.tsv", "does not exist"),
        ("export --run run --out run", "already exists"),
        ("export --run run --out run --overwrite", "an export and nothing"),
        ("prepare log.tsv.gz --out data", "--overwrite"),
        ("prepare short.tsv --out d", "expected 40, found 2"),
        (
            "prepare short.tsv --out d --strict",
            "expected 40, found 2",
        ),
        ("prepare short.tsv --out d --strict", "read without --strict"),
        ("prepare comma.csv --out d", "40 columns separated by commas"),
        ("prepare test.txt --out d", "Criteo's test.txt without labels"),
        ("prepare packed.txt --out d", "Rename it to packed.txt.gz"),
        ("prepare plain.tsv.gz --out d", "Rename it to plain.tsv"),
        ("prepare log.parquet --out d", "a Parquet file"),
        ("prepare ratings.dat --out d", "MovieLens' ratings"),
        ("evaluate --run run --data test.txt", "test.txt without labels has"),
        ("train --data comma.csv --out r", "40 columns separated by commas"),
        ("train --data data --out log.tsv.gz", "--out must be a folder"),
        ("prepare log.tsv.gz --out d --ids vocab", "vocab"),
        ("prepare log.tsv.gz --out d --test-fraction 2", "--test-fraction 2"),
        ("prepare nothing.tsv --out d", "does not exist"),
        ("synth --out log.tsv.gz", "log.tsv.gz"),
        ("synth --out new.tsv --rows 0", "rows"),
    ],
)
def test_a_mistake_is_one_line_that_says_the_fix(
    folder, command, message, monkeypatch, capfd
):
    monkeypatch.setenv("COLUMNS", "80")
    assert called(monkeypatch, folder, command) == 2
    lines = [x for x in capfd.readouterr().err.splitlines() if x.strip()]
    assert message in lines[-1]
    assert lines[-1].startswith("keras-pss: ")
    assert len([line for line in lines if not is_progress(line)]) == 1
    assert not (folder / "r").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("trian", "No such command"),
        pytest.param(  # which loads TensorFlow first
            *["train --data nowhere --out r", "--data must be"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_mistake_ends_the_process_with_2(folder, command, message):
    done = keras_pss(*command.split(), folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"keras-pss: {message}")
    assert "Traceback" not in done.stderr


def is_progress(line):
    return "━" in line or "%" in line


def called(monkeypatch, folder, command):
    """The exit code of a command in this process, which has TensorFlow."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["keras-pss", *command.split()])
    with pytest.raises(SystemExit) as ended:
        keras_pss_cli.main()
    return ended.value.code


def test_a_model_that_ratings_do_not_fit_is_named(folder, monkeypatch, capfd):
    """DLRM may learn to do without dense features; then this trains."""
    from keras_pss.training import build_model

    def picky(*, num_dense, **_):
        raise ValueError(f"`num_dense` must be positive: {num_dense}")

    monkeypatch.setattr(
        build_model, "MODELS", {**build_model.MODELS, "dlrm": picky}
    )
    monkeypatch.setattr(
        build_model, "embedding_parts", lambda *_: {"embeddings": None}
    )
    assert called(monkeypatch, folder, "train --data ratings.dat --out r") == 2
    words = capfd.readouterr().err
    assert "--model dlrm does not fit a log without dense features" in words
    assert "Choose another --model, such as neuralcf" in words


def test_ctrl_c_says_how_to_go_on(folder, monkeypatch, capfd):
    from keras_pss.comparison import runner
    from keras_pss.training import run

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", stopped)
    monkeypatch.setattr(runner, "compare", stopped)
    command = "train --data data --out stopped"
    assert called(monkeypatch, folder, command) == 130
    assert "The same command with --resume resumes" in capfd.readouterr().err
    command = "compare --data data --out stopped"
    assert called(monkeypatch, folder, command) == 130
    assert "The same command resumes" in capfd.readouterr().err


def test_what_needs_tensorflow_says_so(folder, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert called(monkeypatch, folder, "train --data data --out other") == 2
    words = capfd.readouterr().err
    assert "pip install 'keras-pss[tensorflow-cpu]'" in words
    assert "`keras-pss build-ops`" in words


def test_the_backend_is_one_that_is_installed():
    code = (
        "import importlib.util as u, os; found = u.find_spec; "
        "u.find_spec = lambda n, *a: None if n == 'tensorflow' else found(n); "
        "import keras_pss_cli; print(os.environ['KERAS_BACKEND'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.strip() in ("jax", "torch")


def test_kernels_that_cannot_be_built_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PSS_CACHE", str(tmp_path))
    done = call("build-ops", "--framework", "theano")
    assert done.returncode == 2
    assert done.stderr.startswith("keras-pss: Kernels are built for tensorflow")
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = call("build-ops", "--framework", "tensorflow")
    assert done.returncode == 2
    assert "`no-such-compiler` was not found" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
