"""The commands `schema infer`, `schema check` and `schema show`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_pss_cli.common import Overwrite
from keras_pss_cli.data import quiet_tensorflow

_ELEMENTS = 10  # of a list that are shown

commands = typer.Typer(
    help="Schemas: which columns of a log are features.",
    no_args_is_help=True,
)
Declared = Annotated[
    str, typer.Argument(help="A .toml file, or the name of a preset.")
]


@commands.command()
def infer(
    file: Annotated[
        Path,
        typer.Argument(
            help="Text with separators (plain, .gz, .xz, .zst), JSON lines, "
            "Parquet or Arrow. Or a dataset of TensorFlow Datasets, tfds:NAME."
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(help="Column of the label. Default: a usual name."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The .toml file to write. Default: print it."),
    ] = None,
    rows: Annotated[
        int, typer.Option(help="Number of rows to read.")
    ] = 100_000,
    overwrite: Overwrite = False,
) -> None:
    """Draft a schema from the first rows of a file."""
    from keras_pss.data.infer_schema import infer as infer_schema

    quiet_tensorflow([str(file)])
    schema, report = infer_schema(file, label, rows)
    Console(stderr=True).print(report)
    if out is None:
        typer.echo(schema.to_toml(), nl=False)
    else:
        schema.save(out, overwrite=overwrite)
        typer.echo(
            f"{out}: read it through, then check it with "
            f"`keras-pss schema check {out}`",
            err=True,
        )


@commands.command()
def check(
    path: Declared,
    file: Annotated[
        Path | None,
        typer.Argument(help="A log whose first rows to read, or tfds:NAME."),
    ] = None,
) -> None:
    """Check a schema; print what it reads, and the first rows of a log."""
    schema = _load(path)
    table = Table("feature", "kind", "column", "table", "options")
    shown = ("name", "kind", "column", "table")
    content = schema.to_dict()
    for entry in content["feature"]:
        feature = schema[entry["name"]]
        options = {k: v for k, v in entry.items() if k not in shown}
        table.add_row(
            Text(feature.name),
            entry["kind"],
            Text(str(getattr(feature, "column", ""))),
            Text(feature.table if feature in _with_ids(schema) else ""),
            Text(_listed(options)),
        )
    for feature in schema.time_features:
        table.add_row(feature.name, "time", feature.column, feature.table, "")
    console = Console()
    console.print(table)
    for name in ("label", "timestamp", "group", "split", "format"):
        options = content.get(name, {})
        if name == "split":
            options = {"by": schema.split.by, **options}
        words = _listed(options) or "none"
        console.print(f"{name}: {words}", highlight=False, markup=False)
    if file is not None:
        _show_rows(file, schema, console)


@commands.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(help="Preset to print as TOML. Default: list all."),
    ] = None,
) -> None:
    """List the presets, or print one to start a schema of your own."""
    from keras_pss.features import Schema

    if name is not None:
        typer.echo(_load(name).to_toml(), nl=False)
        return
    table = Table("preset", "log")
    for preset in Schema.presets():
        table.add_row(preset, Schema.load(preset).title)
    Console().print(table)


def _show_rows(file: Path, schema: Any, console: Console) -> None:
    from keras_pss.data.preview import preview

    quiet_tensorflow([str(file)], schema)
    found = preview(file, schema)
    table = Table("", *(f"row {i + 1}" for i in range(len(found.rows))))
    for name in found.rows.columns:
        values = found.rows[name].to_list()
        table.add_row(Text(name), *(Text(_value(value)) for value in values))
    console.print(table)
    count = sum(found.rejects.values())
    typer.echo(f"{count:,} of the first {found.lines:,} lines are refused.")
    for reason, number in found.rejects.items():
        typer.echo(f"  {number:,}: {reason}")
    if (first := found.first_reject) is not None:
        raw = first.raw.decode(errors="replace")
        typer.echo(f"  The first one is line {first.line}: {raw!r}")


def _value(value: Any) -> str:
    if isinstance(value, list):
        more = ["..."] if len(value) > _ELEMENTS else []
        return f"[{', '.join([*map(_value, value[:_ELEMENTS]), *more])}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "missing" if value is None else repr(value)


def _load(path: str) -> Any:
    from keras_pss.features import Schema

    return Schema.load(path)


def _with_ids(schema: Any) -> tuple[Any, ...]:
    return (*schema.single, *schema.multi)


def _listed(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())
