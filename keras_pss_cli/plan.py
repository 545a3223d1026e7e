"""The command that plans embedding tables within a budget."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_pss_cli import plan_workers
from keras_pss_cli.common import goes_on, load
from keras_pss_cli.data import SchemaOption, find, quiet_tensorflow
from keras_pss_cli.train import option, parsed


def plan(
    data: Annotated[
        str | None,
        option(
            "The log to plan for, as in `train`. Its counts and labels decide "
            "which ids get rows of their own."
        ),
    ] = None,
    cardinalities: Annotated[
        str | None,
        option(
            "In place of --data, the numbers of ids of all tables: those of "
            "criteo-kaggle, criteo-terabyte (MLPerf's), criteo-terabyte-15 or "
            "criteo-terabyte-3 (NVIDIA's, ids seen that often), or a file with "
            "a JSON list or object, or with numbers (null: open)."
        ),
    ] = None,
    dim: Annotated[int, option("Length of an embedding row.")] = 16,
    budget: Annotated[
        str,
        option(
            "What all tables together may store: '1000x', '10MB' or a number "
            "of parameters."
        ),
    ] = "1000x",
    given: Annotated[
        list[str] | None,
        option(
            "A decision that is made already: min_count=N, inner_dim=K or "
            "tail=oov; repeat for more.",
            "--option",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option("JSON file to write, which `train --plan` reads."),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Decide what counts leave open by short runs on a part of "
            "the training rows, judged by validation rows.",
        ),
    ] = False,
    setting: Annotated[
        list[str] | None,
        option(
            "A setting of `train` for the runs of --tune, such as "
            "model=deepfm or batch_size=512; repeat for more.",
            "--set",
        ),
    ] = None,
    schema: SchemaOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
    workers: plan_workers.Workers = None,
    batch_size: plan_workers.BatchSize = None,
    global_batch_size: plan_workers.GlobalBatchSize = None,
    lookups: plan_workers.Lookups = None,
    dense_parameters: plan_workers.DenseParameters = None,
    optimizer: plan_workers.OptimizerName = None,
    memory: plan_workers.Memory = None,
    bandwidth: plan_workers.Bandwidth = None,
    latency_us: plan_workers.LatencyUs = None,
    step_ms: plan_workers.StepMs = None,
    compressed_step_ms: plan_workers.CompressedStepMs = None,
) -> None:
    """Plan which ids get rows, how wide and how precise, within a budget.

    With --workers, also what training on many workers sends and takes.
    """
    if (data is None) == (cardinalities is None):
        raise ValueError(
            "Give either --data, a log, or --cardinalities, the sizes of its "
            f"tables. Received: data={data!r}, cardinalities={cardinalities!r}"
        )
    for name, value, sense in (("tune", tune, True), ("set", setting, tune)):
        if value and (data is None or not sense):
            raise ValueError(
                f"--{name} needs {'--data' if data is None else '--tune'}, "
                "since it trains. Give that, or leave it out."
            )
    if out is not None and out.is_dir():
        raise ValueError(
            f"`out` must be a file. Received: out={str(out)!r}, a folder"
        )
    options = parsed(given or [], "--option")
    runs = parsed(setting or [], "--set")
    on_workers = plan_workers.arguments(
        workers,
        batch_size=batch_size,
        global_batch_size=global_batch_size,
        lookups=lookups,
        dense_parameters=dense_parameters,
        optimizer=optimizer,
        memory=memory,
        bandwidth=bandwidth,
        latency_us=latency_us,
        step_ms=step_ms,
        compressed_step_ms=compressed_step_ms,
    )
    if tune or on_workers:
        load()
    from keras_pss.planning.make_plan import plan as make_plan

    allowed: Any = int(budget) if budget.isdigit() else budget
    if cardinalities is not None:
        made = make_plan(sizes(cardinalities), dim, allowed, options=options)
    else:
        made, read = _for_log(
            str(data), schema, dim, allowed, options, tune, runs
        )
        if on_workers:
            on_workers = {"lookups": read, **on_workers}
    found: dict[str, Any] = {"plan": made}
    if on_workers:
        from keras_pss.planning.workers import scaling

        found["scaling"] = scaling(made, **on_workers)
    if as_json:
        typer.echo(json.dumps({k: v.as_dict() for k, v in found.items()}))
    else:
        typer.echo("\n\n".join(map(str, found.values())))
    if out is not None:
        made.save(out)
        typer.echo(f"The plan is in {out}", err=True)


def _for_log(
    data: str,
    schema: str | None,
    dim: int,
    budget: Any,
    options: dict[str, Any],
    tune: bool,
    runs: dict[str, Any],
) -> tuple[Any, Any]:
    """The plan for a log, prepared first if need be, and its lookups."""
    from keras_pss.data.locate import open_click_log
    from keras_pss.planning.make_plan import plan as make_plan

    quiet_tensorflow([data], schema)
    with tempfile.TemporaryDirectory() as folder:
        found = find(data, Path(folder), None, None, schema=schema)
        log = open_click_log(found.path)
        if not tune:
            known: Any = log if log.schema else list(log.cardinalities)
            made = make_plan(known, dim, budget, options=options)
        else:
            from keras_pss.training.tuning import tune as tuned

            with goes_on("Nothing is kept of the runs of --tune."):
                made = tuned(
                    log, dim, budget, options, runs, progress=_progress
                )
        return made, plan_workers.lookups_of(log)


def _progress(text: str) -> None:
    typer.echo(f"keras-pss: {text}", err=True)


def sizes(text: str) -> Any:
    """Numbers of ids by the name of a log, or from a file."""
    path = Path(text)
    if not path.is_file():
        return text
    words = path.read_text(encoding="utf-8")
    with suppress(ValueError):
        found = json.loads(words)
        if isinstance(found, list | dict):
            return found
    try:
        return [
            None if word in ("null", "None") else int(word)
            for word in words.replace(",", " ").split()
        ]
    except ValueError as error:
        raise ValueError(
            "`cardinalities` must be a file with a JSON list or object, or "
            f"with numbers of ids. Received: {text}, {error}"
        ) from error
