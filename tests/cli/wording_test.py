"""Messages of the library in the words of the command line."""

import pytest
import typer
from rich.text import Text

import keras_pss_cli
from keras_pss_cli.wording import in_options, options_of

COMMANDS = typer.main.get_group(keras_pss_cli.app).commands


@pytest.mark.parametrize(
    ("command", "message", "words"),
    [
        ("prepare", "Pass overwrite=True to", "Pass --overwrite to"),
        ("prepare", "read with strict=False to", "read without --strict to"),
        ("prepare", "`hash_buckets` is 1", "--hash-buckets is 1"),
        ("prepare", "with ids='hash'. Give", "with --ids hash. Give"),
        ("synth", "Received: seed=-1.", "Received: --seed -1."),
        ("prepare", "`sources` must", "SOURCES must"),
        ("prepare", "`criteo.prepare` writes", "`keras-pss prepare` writes"),
        ("export", "Received: path=run", "Received: --out run"),
        ("train", "`options` of method='robe'", "--option of --method robe"),
        (
            "train",
            "Received: model_options={'units': [4], 'l2': 0.1}",
            "Received: --model-option units=[4] l2=0.1",
        ),
        (
            "train",
            "epochs=3 instead of 2, decay='a'",
            "--epochs 3 instead of 2, --decay a",
        ),
        # What is no argument of the command stays.
        ("prepare", "`epochs` and epochs=3", "`epochs` and epochs=3"),
        ("compare", "`epochs` must be 1", "`epochs` must be 1"),
        ("prepare", "my_seed=3, x.seed=3", "my_seed=3, x.seed=3"),
        # A file's name, not that of what is written in its place.
        ("synth", "No: '/proc/.a.38638236.tmp'", "No: '/proc/a'"),
        ("synth", "No: '/proc/.a.tsv.host-3863.tmp/new'", "No: '/proc/a.tsv'"),
        ("synth", "No: '/proc/.38638236.tmp.a.tsv'", "No: '/proc/a.tsv'"),
        ("synth", "No: '/proc/a.tmp'", "No: '/proc/a.tmp'"),
    ],
)
def test_arguments_are_options(command, message, words):
    assert in_options(message, options_of(COMMANDS[command])) == words


def test_without_a_command_a_message_stays():
    assert (
        in_options("`seed` is seed=1", options_of(None)) == "`seed` is seed=1"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_known_by_its_argument(name):
    known = options_of(COMMANDS[name])
    for parameter in COMMANDS[name].params:
        assert known[parameter.name].lstrip("-").lower().replace("-", "_") in (
            parameter.name,
            *(each.lstrip("-").replace("-", "_") for each in parameter.opts),
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_its_brackets(name):
    # Rich takes `[export]` for the name of a style and leaves it out.
    command = COMMANDS[name]
    for text in (command.help, *(p.help or "" for p in command.params)):
        assert Text.from_markup(text).plain == text.replace("\\[", "[")
