"""The command line as a user types it: answers, exit codes, one-line errors."""

import gzip
import json
import os
import subprocess
import sys

import pytest

import keras_pss_cli

pytestmark = pytest.mark.tf_only


def keras_pss(*arguments, folder=None):
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "keras_pss_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log, its records and a run, all made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    for command in (
        "synth --out log.tsv.gz --rows 6000 --scale 0.001",
        "prepare log.tsv.gz --out data",
        "train --data data --out run --budget 20x --epochs 1 --batch-size 512",
    ):
        done = keras_pss(*command.split(), folder=folder)
        assert done.returncode == 0, done.stderr
    (folder / "empty").mkdir()
    (folder / "twice").mkdir()
    for name in ("day_0.gz", "day_0", "day_1"):
        (folder / "twice" / name).touch()
    (folder / "later.tsv").write_text("no log\n")
    rows = gzip.decompress((folder / "log.tsv.gz").read_bytes())
    lines = rows.splitlines(keepends=True)[:20]
    text = b"".join(lines)
    (folder / "comma.csv").write_bytes(text.replace(b"\t", b","))
    (folder / "test.txt").write_bytes(b"".join(x[2:] for x in lines))
    (folder / "packed.txt").write_bytes(gzip.compress(text))
    (folder / "plain.tsv.gz").write_bytes(text)
    (folder / "log.parquet").write_bytes(b"PAR1....")
    (folder / "short.tsv").write_text("1\t2\n" * 3)
    (folder / "ratings.dat").write_text(
        "".join(
            f"{u}::{m}::{u % 5 + 1}::9\n" for u in range(9) for m in range(9)
        )
    )
    (folder / "made").mkdir()
    (folder / "made" / "data.json").write_text('{"source": []}')
    return folder


def test_the_way_of_a_user(folder):
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["method"] == "robe"
    done = keras_pss(
        *["evaluate", "--run", "run", "--data", "log.tsv.gz", "--json"],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 6000
    assert "the file log.tsv.gz that the run was trained on" in done.stderr
    done = keras_pss(
        *["export", "--run", "run", "--out", "served/1", "--int8"],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "served" / "1" / "saved_model.pb").is_file()


def test_a_recipe_is_a_run_with_the_papers_numbers(folder):
    done = keras_pss("recipes")
    assert done.returncode == 0, done.stderr
    for name in ("criteo_tb_mlperf/10000x", "fpd_criteo_tb/r16-p4"):
        assert name in done.stdout
    done = keras_pss("recipes", "tt_rec_kaggle/7-r32")
    assert "TT-Rec, table 2" in done.stdout
    assert "last_core" in done.stdout
    # The raw log, prepared as the recipe says; changed where one asks for it.
    done = keras_pss(
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
    assert found["split"]["policy"] == "random"
    assert found["splits"]["test"]["rows"] == 600


def test_training_from_a_file_keeps_its_records(folder):
    done = keras_pss(
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
        ],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "from_file" / "data" / "metadata.json").is_file()
    report = json.loads((folder / "from_file" / "report.json").read_text())
    assert report["options"] == {"hash": "universal"}


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
            "--option of --method robe are",
        ),
        ("train --data data --out r --option block_size=x", "`block_size`"),
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
            "A recipe must be one of criteo_kaggle_1000x",
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
        ("train --data later.tsv --out made --resume", "from another log"),
        ("compare --data data --out c --report-only", "at least one finished"),
        (
            "evaluate --run data --data log.tsv.gz",
            "--run must be the folder of",
        ),
        ("evaluate --run run --data nothing.tsv", "does not exist"),
        ("export --run run --out run", "already exists"),
        ("export --run run --out run --overwrite", "a SavedModel and nothing"),
        ("prepare log.tsv.gz --out data", "--overwrite"),
        ("prepare short.tsv --out d", "expected 40 with the label, found 2"),
        (
            "prepare short.tsv --out d --strict",
            "expected 40 with the label, found 2",
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


def test_a_mistake_ends_the_process_with_2(folder):
    done = keras_pss("train", "--data", "nowhere", "--out", "r", folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("keras-pss: --data must be")
    assert "Traceback" not in done.stderr


def is_progress(line):
    return "━" in line or "%" in line


def test_half_an_archive_is_prepared_and_the_exit_status_says_so(folder):
    packed = (folder / "log.tsv.gz").read_bytes()
    (folder / "half.tsv.gz").write_bytes(packed[: len(packed) // 2])
    done = keras_pss("prepare", "half.tsv.gz", "--out", "half", folder=folder)
    assert done.returncode == 1
    assert "half.tsv.gz is truncated or corrupt" in done.stderr
    assert "the rest of the file is missing" in done.stderr
    assert (folder / "half" / "metadata.json").is_file()


def test_strict_stops_at_the_first_broken_row(folder):
    (folder / "broken.tsv").write_text("1\tnot a row\n")
    done = keras_pss(
        *["prepare", "broken.tsv", "--out", "d", "--strict"], folder=folder
    )
    assert done.returncode == 2
    assert "broken.tsv:1" in done.stderr.splitlines()[-1]
    assert not (folder / "d").exists()


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
    assert called(monkeypatch, folder, "recipes") == 2
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


def test_kernels_that_cannot_be_built_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PSS_CACHE", str(tmp_path))
    done = keras_pss("build-ops", "--framework", "theano")
    assert done.returncode == 2
    assert done.stderr.startswith("keras-pss: Kernels are built for tensorflow")
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = keras_pss("build-ops", "--framework", "tensorflow")
    assert done.returncode == 2
    assert "`no-such-compiler` was not found" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
