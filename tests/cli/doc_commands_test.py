"""Each shell command of README and docs/ is one that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.exceptions import TyperException

import keras_pss_cli

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(?:sh|bash)\n(.*?)```", re.DOTALL)
MISSING = re.compile("File '.*' does not exist")
SETTING = re.compile(r"[A-Z_][A-Z0-9_]*=.*")
PAGES = [
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if BLOCK.search(path.read_text(encoding="utf-8"))
]


def commands(page):
    """The words of each command of a page that is one line of words."""
    for block in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        block = re.sub(r"<<'?(\w+)'?\n.*?\n\1\n", "\n", block, flags=re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # a quotation of several lines, such as JSON
                continue
            while words and SETTING.fullmatch(words[0]):
                words.pop(0)
            if words:
                yield words


def check(words):
    """Parses a command of `keras-pss`, without running it."""
    command, rest = typer.main.get_group(keras_pss_cli.app), words[1:]
    context = command.make_context("keras-pss", [*rest], resilient_parsing=True)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*rest])
        assert command, f"No such command: {words}"
    try:
        command.make_context(name, [*rest], parent=context)
    except TyperException as error:
        # The files of the page are not here.
        if not MISSING.search(error.format_message()):
            raise


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_exist(page):
    for words in commands(page):
        if "..." in words:
            continue
        if words[0] == "keras-pss" and "--help" not in words:
            check([word for word in words if word != "&"])
        if words[0] == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), words
        if words[0] == "make":
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert f"\n{words[1]}:" in makefile, words


@pytest.mark.parametrize(
    "line",
    [
        "keras-pss train --data data --outt run",
        "keras-pss trian --data data --out run",
        "keras-pss plan --cardinalities sizes.json --dim many",
    ],
)
def test_a_wrong_command_is_found(line):
    wrong = "No such|should be a valid integer"
    with pytest.raises((AssertionError, TyperException), match=wrong):
        check(shlex.split(line))


def test_all_pages_have_commands_that_are_read():
    found = [words for page in PAGES for words in commands(page)]
    assert sum(words[0] == "keras-pss" for words in found) > 60
