"""Options of `keras-pss plan` for training on many workers."""

from typing import Annotated, Any

import typer

_PANEL = "Many workers (docs/scaling.md)"


def _option(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=_PANEL)


Workers = Annotated[
    str | None,
    _option(
        "Numbers of workers, such as 8,64,1024: what a step sends, keeps in "
        "memory and takes, with full tables and with those of the plan."
    ),
]
BatchSize = Annotated[int | None, _option("Examples of each worker in a step.")]
GlobalBatchSize = Annotated[
    int | None,
    _option("In place of --batch-size, examples of all workers together."),
]
Lookups = Annotated[
    str | None,
    _option(
        "Vectors that an example reads of each table: one number, or one a "
        "table, such as 1,1,50. Default: the features of --data that read it, "
        "or 1."
    ),
]
DenseParameters = Annotated[
    int | None,
    _option("Parameters of the model besides the tables. Default: 0."),
]
OptimizerName = Annotated[
    str | None,
    _option("Optimizer, for the memory of its slots. Default: adam."),
]
Memory = Annotated[
    str | None, _option("Memory of a worker, such as 80GB. Default: unknown.")
]
Bandwidth = Annotated[
    str | None,
    _option(
        "Bytes that a worker sends a second, such as 12.5GB for 100 Gbit. "
        "Default: no times."
    ),
]
LatencyUs = Annotated[
    float | None,
    _option("Microseconds of a message besides its bytes. Default: 10."),
]
StepMs = Annotated[
    list[str] | None,
    _option(
        "Measured milliseconds of a step on one worker, BATCH=MS, such as "
        "2048=29.6; repeat for more batch sizes."
    ),
]
CompressedStepMs = Annotated[
    list[str] | None,
    _option("The same with the plan's tables. Default: --step-ms."),
]


def arguments(workers: str | None, **options: Any) -> dict[str, Any]:
    """The arguments of `keras_pss.planning.scaling`, if workers are given."""
    given = {k: v for k, v in options.items() if v is not None and v != []}
    if workers is None:
        for name in given:
            raise ValueError(
                f"--{name.replace('_', '-')} needs --workers, such as "
                "--workers 8,64,1024. Give that, or leave it out."
            )
        return {}
    given["workers"] = _numbers("workers", workers)
    if "lookups" in given:
        read = _numbers("lookups", given["lookups"])
        given["lookups"] = read if len(read) > 1 else read[0]
    for name in ("step_ms", "compressed_step_ms"):
        if name in given:
            given[name] = dict(_measured(name, each) for each in given[name])
    return given


def lookups_of(log: Any) -> int | list[int]:
    """Features that read each table of a log; a list is pooled to a vector."""
    if not log.schema:
        return 1
    features = (*log.schema.single, *log.schema.multi)
    read = [feature.table for feature in features]
    return [max(1, read.count(table)) for table in log.tables]


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be integers with commas, such as 8,64. "
            f"Received: {name}={text!r}"
        ) from error


def _measured(name: str, text: str) -> tuple[int, float]:
    batch, _, time = text.partition("=")
    try:
        return int(batch), float(time)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be a batch size and milliseconds, BATCH=MS, such "
            f"as 2048=29.6. Received: {name}={text!r}"
        ) from error
