"""The command line `keras-pss`: parses, calls, prints.

Most of its lines are options and their help. It is a separate package because
importing `keras_pss` loads Keras and its backend. That takes seconds, which
only training and trained models need (see without_layers.py), and prints log
lines that must be silenced first. Each command imports what it needs.
"""

import importlib.metadata
import importlib.util
import os
import sys
from typing import Annotated, Any

# All commands read rows with TensorFlow, except `build-ops`.
os.environ.setdefault(
    "KERAS_BACKEND",
    next(filter(importlib.util.find_spec, ("tensorflow", "jax")), "torch"),
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

try:
    import typer
    from typer.exceptions import TyperException
except ImportError as error:  # the layers alone do not need these
    sys.exit(
        "keras-pss: the command line needs more packages. Install them with "
        "`pip install 'keras-pss[tensorflow-cpu]'`; with JAX alone, where "
        "only the command `build-ops` works, with "
        f"`pip install 'keras-pss[jax,native]'`. ({error})"
    )

from keras_pss_cli import (
    common,
    data,
    data_service,
    kernels,
    schema,
    without_layers,
)
from keras_pss_cli import compare as comparing
from keras_pss_cli import compress as compressing
from keras_pss_cli import finished_runs as finished
from keras_pss_cli import plan as planning
from keras_pss_cli import serve as serving
from keras_pss_cli import train as training
from keras_pss_cli.wording import in_options, options_of

app = typer.Typer(
    help="Compressed embeddings for click models: data, training, serving.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(cls=data.WithBeamOptions)(data.prepare)
for command in (
    data.synth,
    planning.plan,
    training.recipes,
    training.train,
    data_service.data_service,
    comparing.compare,
    compressing.compress,
    finished.evaluate,
    finished.predict,
    finished.export,
    serving.serve,
    kernels.build_ops,
):
    app.command()(command)
app.add_typer(schema.commands, name="schema")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keras-pss {importlib.metadata.version('keras-pss')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    pass


def _called() -> Any:
    """The command that was called, whose options name the arguments."""
    root: Any = typer.main.get_group(app)
    command = root
    for word in sys.argv[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    return None if command is root else command


def main() -> None:
    """Runs the command line; a user's error is one line, with exit status 2."""
    without_layers.enter()
    try:
        status = app(standalone_mode=False)
    except TyperException as error:
        common.fail(f"{error.format_message()} (see keras-pss --help)")
    except (ValueError, OSError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        common.fail(in_options(words, options_of(_called())))
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        common.fail_without_tensorflow(error)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("keras-pss: stopped", err=True)
        common.leave(130)
    sys.exit(status if isinstance(status, int) else 0)
