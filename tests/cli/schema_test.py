"""The commands that draft, check and show schemas."""

import command_line
import pytest
from typer.testing import CliRunner

import keras_pss_cli
from keras_pss.features import Categorical, Label, Schema

pytestmark = pytest.mark.tf_only


def call(*arguments):
    return CliRunner().invoke(
        keras_pss_cli.app,
        ["schema", *map(str, arguments)],
        env={"COLUMNS": "100"},
    )


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("click,city\n" + "1,Rome\n0,Paris\n2,Rome\n" * 3)
    return path


def test_a_draft_is_written_checked_and_read(log, tmp_path):
    out = tmp_path / "log.toml"
    done = call("infer", log, "--label", "click", "--out", out)
    assert done.exit_code == 0, done.output
    assert "2 different texts" in done.stderr
    assert f"keras-pss schema check {out}" in done.stderr
    assert Schema.load(out)["city"] == Categorical("city")

    Schema([Categorical("city")], Label("click")).save(out)
    done = call("check", out, log)
    assert done.exit_code == 0, done.output
    assert "label: column='click'" in done.stdout
    assert "split: by='order'" in done.stdout
    assert "'Rome'" in done.stdout
    assert "3 of the first 10 lines are refused." in done.stdout
    assert "The first one is line 4: '2,Rome'" in done.stdout


def test_a_draft_is_printed_without_a_target(log):
    done = call("infer", log, "--rows", 5)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith('title = "Draft of log.csv"')
    assert "5 rows read" in done.stderr


def test_presets_are_listed_and_shown():
    listed = call("show").stdout
    for name in Schema.presets():
        assert name in listed
    shown = call("show", "movielens_1m").stdout
    assert 'separator = "::"' in shown
    assert "[[feature]]" in shown


def test_a_schema_of_times_alone_is_checked(tmp_path):
    out = tmp_path / "log.toml"
    out.write_text('[timestamp]\ncolumn = "at"\nfeatures = ["hour"]\n')
    assert "│ hour" in call("check", out).stdout


def test_mistakes_are_one_line_in_the_words_of_the_options(log, tmp_path):
    done = command_line.call("schema", "infer", log, "--label", "clik")
    assert done.returncode == 2
    assert done.stderr.startswith("keras-pss: --label must be a column of the")
    assert "Did you mean 'click'? Received: --label clik" in done.stderr
    done = command_line.call("schema", "check", "avazu", log)
    assert done.returncode == 2
    assert done.stderr.startswith("keras-pss: FILE must have every column of")
    log.with_suffix(".toml").touch()
    done = command_line.call(
        *["schema", "infer", "log.csv", "--out", "log.toml"], folder=tmp_path
    )
    assert done.returncode == 2
    assert "keras-pss: --out must be a new file" in done.stderr.splitlines()[-1]
