"""The commands of two pages run, and print what the pages show."""

import re
import shlex
import sys
from pathlib import Path

import polars as pl
import pytest

import keras_pss_cli

pytestmark = [pytest.mark.tf_only, pytest.mark.slow]

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page, kind):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def run_commands(page, monkeypatch, capfd):
    """Runs the commands of a page, which print what the page shows."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            monkeypatch.setattr(sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as ended:
                keras_pss_cli.main()
            assert ended.value.code == 0, capfd.readouterr().err
    printed = capfd.readouterr()
    found = without_numbers(printed.out + printed.err)
    for shown in blocks(page, "text"):
        for line in without_numbers(shown):
            assert line == "..." or line in found
    assert "Traceback" not in printed.err
    assert "findfont" not in printed.err


def without_numbers(text):
    """Lines of a text; numbers and the widths of tables may differ."""
    masked = re.sub(r"\d[\d,.]*", "0", text)
    return [" ".join(line.split()) for line in masked.splitlines()]


def test_any_log_does_and_prints_what_it_says(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (code,) = blocks("any_log.md", "python")
    exec(code, {"__name__": "shop"})
    run_commands("any_log.md", monkeypatch, capfd)
    (draft,) = blocks("any_log.md", "toml")
    assert Path("shop.toml").read_text() == draft
    scored = pl.read_csv("scored.csv")
    assert scored.columns == ["row", "probability"]
    assert len(scored) == 1000
    assert Path("served/1/saved_model.pb").is_file()
    assert Path("compared/report.html").is_file()


def test_the_quickstart_does_and_prints_what_it_says(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    run_commands("quickstart.md", monkeypatch, capfd)
    assert Path("run/report.json").is_file()
    assert Path("served/1/saved_model.pb").is_file()
