"""The commands that generate and prepare click logs."""

import inspect
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from keras_pss_cli.common import (
    TFDS,
    LogSources,
    Overwrite,
    progress_bar,
    quiet,
)

SchemaOption = Annotated[
    str | None,
    typer.Option(
        help="Columns, features, label and splits of the files: a TOML file, "
        "or a preset; see `keras-pss schema`. Default: Criteo's log, or the "
        "preset of a dataset of keras_pss.data.tfds."
    ),
]


class WithBeamOptions(TyperCommand):
    """A command of which what follows `--` are options of Beam.

    That is so with `--engine beam`; otherwise files may follow, as usual.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            words = " ".join(args[:at]).replace("=", " ")
            if "--engine beam" in words:
                ctx.meta[_BEAM] = args[at + 1 :]
                args = args[:at]
        return super().parse_args(ctx, args)


_BEAM = "keras_pss.beam_options"


def prepare(
    context: typer.Context,
    sources: LogSources,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    schema: SchemaOption = None,
    parquet: Annotated[
        bool,
        typer.Option("--parquet", help="Write Parquet files as well."),
    ] = False,
    ids: Annotated[
        str,
        typer.Option(
            help="'vocabulary': ids by frequency; rare and unseen values share "
            "id 0. 'hash': ids are hashes of the values, no vocabulary."
        ),
    ] = "vocabulary",
    min_count: Annotated[
        int, typer.Option(help="Values seen fewer times share id 0.")
    ] = 1,
    hash_buckets: Annotated[
        int | None,
        typer.Option(help="Number of ids with --ids hash. Default: 2^31 - 1."),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="'chronological', 'random' or 'none' (only training)."
        ),
    ] = "chronological",
    test_fraction: Annotated[
        float, typer.Option(help="Fraction of the rows for testing.")
    ] = 1 / 7,
    validation_fraction: Annotated[
        float,
        typer.Option(help="Fraction of the other rows for validation."),
    ] = 0.1,
    split_seed: Annotated[
        int, typer.Option(help="Seed of --split random.")
    ] = 2020,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first invalid row.")
    ] = False,
    overwrite: Overwrite = False,
    engine: Annotated[
        str,
        typer.Option(
            help="'local': this machine. 'beam': pipelines of Apache Beam, "
            "whose options follow `--`, as in `-- --runner=FlinkRunner`."
        ),
    ] = "local",
) -> None:
    """Convert a click log to records for fast training."""
    of_criteo: dict[str, Any] = {
        "ids": ids,
        "min_count": min_count,
        "hash_buckets": hash_buckets,
        "split": split,
        "test_fraction": test_fraction,
        "validation_fraction": validation_fraction,
        "split_seed": split_seed,
    }
    dataset = next((s for s in sources if s.startswith(TFDS)), None)
    if schema is not None or dataset is not None:
        check_schema(schema, of_criteo, dataset)
    from keras_pss import data
    from keras_pss.data.readers.tfds.names import schema_of
    from keras_pss.features import Schema

    if schema is not None:
        declared = Schema.load(schema)
    elif dataset is None:
        declared = data.criteo.schema(**of_criteo)
    else:
        quiet_tensorflow([dataset])
        declared = schema_of(dataset)
    quiet_tensorflow(sources, declared)
    began = time.monotonic()
    with progress_bar() as progress:
        prepared = data.prepare(
            sources,
            out,
            declared,
            strict=strict,
            overwrite=overwrite,
            progress=progress,
            parquet=parquet,
            engine=engine,
            beam_options=context.meta.get(_BEAM, ()),
        )
    show_prepared(prepared)
    rows = sum(map(prepared.rows, prepared.splits))
    rate = rows / max(time.monotonic() - began, 1e-3)
    typer.echo(f"  {rate:,.0f} rows a second", err=True)
    if prepared.incomplete:
        raise typer.Exit(1)  # a script must not continue with a partial log


def check_schema(
    schema: str | None, of_criteo: dict[str, Any], dataset: str | None = None
) -> None:
    """Raises a ValueError for options that the schema determines."""
    defaults = inspect.signature(prepare).parameters
    how = f"`keras-pss schema show {schema}` prints it"
    if schema is None:
        how = f"`keras-pss schema infer {dataset}` drafts one"
    for name, value in of_criteo.items():
        if value != defaults[name].default:
            raise ValueError(
                f"`{name}` is for Criteo's log without a schema. Set it in the "
                f"schema instead; {how}. "
                f"Received: {name}={value}, schema={schema!r}"
            )


def synth(
    out: Annotated[
        Path,
        typer.Option(help="File (.tsv, .tsv.gz, .xz, .zst), or a folder."),
    ],
    rows: Annotated[int, typer.Option(help="Number of rows.")] = 300_000,
    scale: Annotated[
        float,
        typer.Option(
            help="Factor on the sizes of Criteo Kaggle's large tables."
        ),
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Seed of the rows.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Generate clicks in Criteo's format, with a known best possible AUC."""
    from keras_pss.data import synthetic

    with progress_bar() as progress:
        report = synthetic.generate(
            out,
            rows=rows,
            scale=scale,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(
        f"{rows} rows in {out}: click rate {report.click_rate:.4f}, Bayes AUC "
        f"{report.bayes_auc:.4f}, Bayes log loss {report.bayes_log_loss:.4f}"
    )


def quiet_tensorflow(sources: list[str], schema: Any = None) -> None:
    """Imports TensorFlow, if preparing a log needs it, without its log lines.

    It reads datasets and TFRecord files, and hashes texts.

    Args:
        sources: Files of the log, or a dataset.
        schema: A `Schema`, the name of one, or None.
    """
    from keras_pss.features import Schema

    if isinstance(schema, str):
        schema = Schema.load(schema)
    suffixes = {suffix for name in sources for suffix in Path(name).suffixes}
    if (
        any(name.startswith(TFDS) for name in sources)
        or suffixes & {".tfrecord", ".tfrecords"}
        or (schema is not None and schema.format.kind == "tfrecord")
        or (
            schema is not None
            and any(getattr(f, "ids", "") == "hash" for f in schema.features)
        )
    ):
        with quiet():
            import tensorflow  # noqa: F401


def find(
    data: str,
    out: Path,
    rows: int | None,
    scale: float | None,
    settings: dict[str, Any] | None = None,
    schema: str | None = None,
) -> Any:
    """Finds, prepares or generates the log that `--data` names."""
    from keras_pss.data.locate import locate

    with progress_bar() as progress:
        found = locate(data, out, rows, scale, settings, progress, schema)
    for difference in found.differences:
        typer.echo(f"keras-pss: {difference}", err=True)
    if found.prepared:
        show_prepared(found.prepared)
    return found


def show_prepared(prepared: Any) -> None:
    from keras_pss.data.storage.rejects import MAX_REJECTS

    parts = [f"{prepared.rows(s):,} {s}" for s in prepared.splits]
    typer.echo(f"{prepared.directory}: {', '.join(parts)} rows", err=True)
    for name in prepared.incomplete:
        typer.echo(
            f"keras-pss: {name} is truncated or corrupt: the rows before the "
            "damage are prepared, the rest of the file is missing. Download "
            "or compress it again.",
            err=True,
        )
    for reason, count in prepared.rejects.items():
        typer.echo(
            f"  {count:,} rows skipped: {reason} (see "
            f"{prepared.directory / 'rejects.tsv'})",
            err=True,
        )
    if sum(prepared.rejects.values()) > MAX_REJECTS:
        typer.echo(
            f"  The file has the first {MAX_REJECTS:,} of them.", err=True
        )
