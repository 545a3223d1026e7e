"""The commands `train` and `recipes`.

Each setting that keras_pss/training/settings.py declares becomes an option of
`train`, with its description as help. The file is long because a command's
options stand with their help.
"""

import inspect
import json
import os
import re
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    Union,
    get_args,
    get_origin,
)

import typer
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_pss_cli.common import goes_on, load, quiet
from keras_pss_cli.data import SchemaOption, find

Word = str | None
# A number whose point begins or ends its digits, as .5 and 2. do.
_POINT = re.compile(r"[+-]?(\.\d+|\d+\.)([eE][+-]?\d+)?")


def option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help)


def recipes(
    name: Annotated[
        Word, typer.Argument(help="Recipe to show in full. Default: list all.")
    ] = None,
) -> None:
    """List the recipes: published runs, with the paper's numbers."""
    from keras_pss.training import recipes as known

    console = Console()
    if name is None:
        table = Table("recipe", "what", "the paper's numbers")
        for each in known.names():
            recipe = known.read(each)
            table.add_row(each, recipe.title, _numbers(recipe.paper))
        console.print(table)
        return
    recipe = known.read(name)
    console.print(f"{recipe.title}\n", style="bold", markup=False)
    for what, text in (
        ("source", recipe.source),
        ("data", recipe.log),
        ("notes", recipe.notes),
        ("paper", _numbers(recipe.paper)),
        ("schema", recipe.schema and recipe.schema.title),
        ("prepare", json.dumps(recipe.prepare)),
        ("run", json.dumps(recipe.run)),
    ):
        if text is not None:
            console.print(f"{what}: {text}", highlight=False, markup=False)


def train(
    data: Annotated[
        str,
        option(
            "A folder that `prepare` wrote, a Criteo TSV file, a folder with "
            "train.txt or day_0, day_1, ..., MovieLens' ratings, files of "
            "--schema, a dataset of TensorFlow Datasets (tfds:NAME), or "
            "'synthetic'."
        ),
    ],
    out: Annotated[Path, option("Folder of the run.")],
    schema: SchemaOption = None,
    recipe: Annotated[
        Word,
        option(
            "Settings of a published run, see `keras-pss recipes`; other "
            "options override them."
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        option(
            "A file of `keras-pss plan --out` for the same log: sets the "
            "method, its options, the budget and the width."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume a run that was stopped, with the same options.",
        ),
    ] = False,
    distribute: Annotated[
        Word,
        option(
            "Train on several devices: 'mirrored' on those of this process, "
            "'multi-worker' with the other processes that the environment "
            "variable TF_CONFIG names; on JAX 'jax', on those of this process "
            "and of others that JAX_COORDINATOR_ADDRESS or Slurm names. Each "
            "step divides --batch-size among them. Default: one device."
        ),
    ] = None,
    data_service: Annotated[
        Word,
        option(
            "Input servers, which read, shuffle and decode the training rows: "
            "addresses of `keras-pss data-service` with commas, such as "
            "grpc://host0:5050,grpc://host1:5050. They see --data at the same "
            "path; results are the same. Default: read here."
        ),
    ] = None,
    compress_input: Annotated[
        bool,
        typer.Option(
            "--compress-input",
            help="Have input servers compress what they send, for a slow "
            "network.",
        ),
    ] = False,
    model_parallel: Annotated[
        int,
        option(
            "Divide large tables among as many devices, with --distribute jax."
        ),
    ] = 1,
    rows: Annotated[
        int | None,
        option("Number of rows of --data synthetic. Default: 300000."),
    ] = None,
    scale: Annotated[
        float | None,
        option("Scale of --data synthetic; see `synth`. Default: 0.01."),
    ] = None,
    **given: Any,
) -> None:
    """Train a model; test and export its best checkpoint."""
    changes = changed(given)
    if distribute is None and not resume:
        check_new(out)
    planned = _planned(plan, changes)
    changes = {**changes, **(planned.settings() if planned else {})}
    chosen, config = _settings(recipe, changes)
    from keras_pss.data.locate import check as check_data
    from keras_pss.data.locate import open_click_log
    from keras_pss.planning.plan_file import check as check_plan

    prepare = chosen.settings if chosen else None
    check_data(data, rows, scale, prepare, schema)
    load()
    from keras_pss.training.backends.trainable import prepare_backend
    from keras_pss.training.run import train as train_run

    # Before a log is prepared for it.
    prepare_backend()
    service = _service(data_service, compress_input)
    replicas = _connected(distribute, model_parallel, data, rows, scale)
    if not resume:
        replicas.on_chief(lambda: check_new(out))
    with goes_on("The same command with --resume resumes the run."):
        found = find(data, out, rows, scale, prepare, schema)
        log = open_click_log(found.path)
        if chosen:
            chosen.check_log(log)
        if planned:
            check_plan(planned, log, str(plan))
        with _lost():
            report = train_run(
                log,
                config,
                out,
                verbose=1 if sys.stdout.isatty() else 2,
                resume=resume,
                notes=chosen.notes_of_report() if chosen else {},
                replicas=replicas,
                data_service=service,
            )
    if replicas.is_chief:
        show(report)
        typer.echo(f"Report, model, SavedModel and plots are in {out}")
    if service is not None and service.lost:
        replicas.disconnect()
        _end(0)


def _service(addresses: str | None, compress: bool) -> Any:
    """The input servers of --data-service."""
    from keras_pss.data import InputService

    if addresses is None:
        if compress:
            raise ValueError(
                "--compress-input needs --data-service. Give that, or leave "
                "it out."
            )
        return None
    return InputService(addresses, compress=compress)


def _end(status: int) -> NoReturn:
    """Ends this process at once.

    TensorFlow's threads may wait for what was lost, and Python for them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _settings(recipe: str | None, changes: dict[str, Any]) -> Any:
    """The recipe, or None, and the run's settings."""
    from keras_pss.training import recipes as known
    from keras_pss.training.config import RunConfig

    with quiet():  # the options of a method need Keras
        chosen = known.load(recipe) if recipe else None
        if chosen:
            return chosen, chosen.config(**changes)
        return None, RunConfig.of(changes)


@contextmanager
def _lost() -> Iterator[None]:
    """Ends this process if another worker or all input servers have stopped."""
    from keras_pss.data.service.failures import InputLost
    from keras_pss.distribution import WorkerLost

    try:
        yield
    except (InputLost, WorkerLost) as error:
        message = str(error).replace("`resume`", "--resume")
        typer.echo(f"keras-pss: {message}", err=True)
        _end(2)


def _connected(
    kind: str | None,
    model_parallel: int,
    data: str,
    rows: int | None,
    scale: float | None,
) -> Any:
    """The replicas of --distribute."""
    from keras_pss import distribution

    if kind == "multi-worker":
        _check_prepared(data, rows, scale)
        cluster = distribution.read_cluster()
        if cluster.index == 0:
            typer.echo(
                f"keras-pss: connecting {len(cluster.addresses)} workers",
                err=True,
            )
    found = distribution.connect(kind, model_parallel=model_parallel)
    if kind == "jax" and found.workers > 1:
        _check_prepared(data, rows, scale)
    return found


def _check_prepared(data: str, rows: int | None, scale: float | None) -> None:
    prepared = (Path(data) / "metadata.json").is_file()
    if not prepared or rows is not None or scale is not None:
        raise ValueError(
            "`data` of several workers must be a folder that `keras-pss "
            "prepare` wrote, which each worker can read. "
            f"Received: data={data!r}"
        )


def _planned(path: Path | None, changes: dict[str, Any]) -> Any:
    """The plan of a file, which determines settings."""
    if path is None:
        return None
    from keras_pss.planning.plan_file import load_plan

    found = load_plan(path)
    for name in found.settings():
        if name in changes:
            raise ValueError(
                f"`plan` sets `{name}`. Leave one of the two out, or plan "
                f"again. Received: {name}={changes[name]!r}"
            )
    return found


def declared() -> dict[str, FieldInfo]:
    """A run's settings, from the file that declares them.

    The file is run alone, because importing the package would load Keras.
    """
    package = find_spec("keras_pss")
    if package is None or package.origin is None:
        raise ImportError("keras_pss")
    path = Path(package.origin).parent / "training" / "settings.py"
    return runpy.run_path(str(path))["Settings"].model_fields


SETTINGS = declared()
# Options whose name differs from that of the setting.
NAMES = {
    "options": "--option",
    "model_options": "--model-option",
    "jit_compile": "--jit",
}


def parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """The option for a setting. It is None if it is not given.

    None means the recipe's value, or else the default that the help names.
    """
    kinds = alternatives(field.annotation)
    words = [kind for kind in kinds if isinstance(kind, str)]
    help = str(field.description)
    if len(words) > 1:
        help += f" One of {', '.join(words)}."
    if field.default not in (None, {}, "auto"):
        help += f" Default: {field.default}."
    taken: Any = next((k for k in (bool, str, int, float) if k in kinds), str)
    if words and taken is not bool:
        taken = str
    if any(get_origin(kind) is dict for kind in kinds):
        taken = list[str]
    names = [NAMES[name]] if name in NAMES else []
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[taken | None, option(help, *names)],
    )


def alternatives(annotation: Any) -> list[Any]:
    """The types in an annotation, and the values of its literals."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return list(parts)
    if get_origin(annotation) is Annotated:
        return alternatives(parts[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in parts for kind in alternatives(part)]
    return [annotation]


# Typer reads options from the signature, so it gets one for each setting.
_own = inspect.signature(train)
train.__signature__ = _own.replace(  # type: ignore[attr-defined]
    parameters=[
        *(p for p in _own.parameters.values() if p.kind is not p.VAR_KEYWORD),
        *(parameter(*each) for each in SETTINGS.items()),
    ]
)


def changed(given: dict[str, Any]) -> dict[str, Any]:
    """The settings that the options change, as `RunConfig` takes them."""
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, list):
            changes[name] = parsed(value, NAMES[name])
        elif isinstance(value, str):
            changes[name] = word(name, value)
        elif value is not None:
            changes[name] = value
    return changes


def word(name: str, text: str) -> Any:
    """A text as the type of its setting: a number, None or a string."""
    kinds = alternatives(SETTINGS[name].annotation)
    if text == "none" and type(None) in kinds:
        return None
    for kind in (int, float):
        if kind in kinds:
            with suppress(ValueError):
                return kind(text)
    return text


def show(report: dict[str, Any]) -> None:
    """Prints the results of a run, and the paper's results."""
    title = f"{report['model']} with {report['method']} embeddings"
    table = Table("", "test rows", title=title)
    for name, key in (
        ("AUC", "auc"),
        ("gAUC", "gauc"),
        ("log loss", "logloss"),
        ("normalized entropy", "normalized_entropy"),
        ("calibration", "calibration"),
    ):
        if report.get(key) is not None:
            table.add_row(name, f"{report[key]:.4f}")
    table.add_row("embedding parameters", f"{report['embedding_params']:,}")
    if report["compression"]:
        table.add_row("compression", f"{report['compression']:,.1f}x")
    table.add_row("ms per step", f"{report['step_ms_median']:.1f}")
    table.add_row(
        "best epoch", f"{report['best_epoch']:.4g} of {report['epochs']:.4g}"
    )
    for name, value in report.get("paper", {}).items():
        table.add_row(Text(f"the paper: {name}"), f"{value:g}", style="dim")
    Console().print(table)
    for name, part in report.get("parts", {}).items():
        if "why" in part:
            typer.echo(f"{name}: method={part['method']!r}: {part['why']}")


def check_new(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(
            f"`out` must be a folder. Received: out={str(out)!r}, a file"
        )
    if out.exists() and any(out.iterdir()):
        raise ValueError(
            "`out` must be a new or empty folder. Choose another one, or "
            "resume a run that was stopped with --resume. "
            f"Received: out={str(out)!r}"
        )


def parsed(options: list[str], name: str) -> dict[str, Any]:
    """Parses `name=value` pairs of JSON, numbers such as .5, and strings."""
    found = {}
    for each in options:
        key, equals, text = each.partition("=")
        if not equals or not key.isidentifier():
            raise ValueError(
                f"{name} must be name=value, such as block_size=8. "
                f"Received: {each}"
            )
        found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        # JSON's numbers have digits on both sides of the point.
        return float(text) if _POINT.fullmatch(text) else text


def _numbers(paper: dict[str, float]) -> str:
    return "; ".join(f"{name}: {value:g}" for name, value in paper.items())
