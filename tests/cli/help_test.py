"""Help is shown as it is written."""

import typer
from rich.markup import render

import keras_pss_cli


def texts(command, path):
    """All texts of a command's help, with the place of each."""
    yield path, command.help
    for parameter in command.params:
        yield f"{path} {parameter.opts[0]}", getattr(parameter, "help", None)
    for name, child in getattr(command, "commands", {}).items():
        yield from texts(child, f"{path} {name}")


def test_no_part_of_a_help_is_taken_for_terminal_markup():
    found = list(texts(typer.main.get_command(keras_pss_cli.app), "keras-pss"))
    assert "keras-pss export --format" in dict(found)
    # Rich takes "[export]" for a style, and shows nothing in its place.
    lost = [place for place, help in found if render(help or "").spans]
    assert not lost
