"""The commands of docs/any_log.md run, and print what the page shows."""

import re
import shlex
import sys
from pathlib import Path

import polars as pl
import pytest

import keras_pss_cli

pytestmark = [pytest.mark.tf_only, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "any_log.md"


def blocks(kind):
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands():
    for block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line)


def without_numbers(text):
    """Lines of a text; numbers and the widths of tables may differ."""
    masked = re.sub(r"\d[\d,.]*", "0", text)
    return [" ".join(line.split()) for line in masked.splitlines()]


def test_the_page_does_and_prints_what_it_says(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (code,) = blocks("python")
    exec(code, {"__name__": "shop"})
    for command in commands():
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            keras_pss_cli.main()
        assert ended.value.code == 0, capfd.readouterr().err
    (draft,) = blocks("toml")
    assert Path("shop.toml").read_text() == draft
    printed = capfd.readouterr()
    found = without_numbers(printed.out + printed.err)
    for shown in blocks("text"):
        for line in without_numbers(shown):
            assert line == "..." or line in found
    assert "Traceback" not in printed.err
    assert "findfont" not in printed.err
    scored = pl.read_csv("scored.csv")
    assert scored.columns == ["row", "probability"]
    assert len(scored) == 1000
    assert Path("served/1/saved_model.pb").is_file()
    assert Path("compared/report.html").is_file()
