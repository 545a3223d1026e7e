"""The scaling model: full tables over workers against compressed copies."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_pss.layers.base.checks import non_negative_int, number
from keras_pss.messages import shown
from keras_pss.optimizers.slots import check_optimizer, optimizer_name
from keras_pss.planning.planned_tables import Plan
from keras_pss.planning.workers import layouts
from keras_pss.planning.workers.arguments import (
    byte_count,
    local_batches,
    lookups_of,
    step_time,
    worker_counts,
)
from keras_pss.planning.workers.collectives import total_seconds
from keras_pss.planning.workers.scaling_report import Scaling, WorkerStep


def scaling(
    plan: Plan,
    workers: int | Sequence[int] = (8, 64, 1024),
    *,
    batch_size: int | None = None,
    global_batch_size: int | None = None,
    lookups: int | Sequence[int] = 1,
    dense_parameters: int = 0,
    optimizer: Any = "adam",
    memory: float | str | None = None,
    bandwidth: float | str | None = None,
    latency_us: float = 10.0,
    step_ms: Mapping[int, float] | None = None,
    compressed_step_ms: Mapping[int, float] | None = None,
) -> Scaling:
    """What a training step on W workers sends, keeps in memory and takes.

    Full tables lie on different workers: ids go to the owners of the rows,
    rows come back, gradients follow, and the other parameters are all-reduced.
    A worker sends

        (W - 1)/W (b L (8 d + 4) + 8 D)   bytes

    for b examples of L lookups, rows of d numbers and D other parameters.
    Compressed tables of m parameters are copies on every worker, whose
    gradients are all-reduced, `8 (W - 1)/W m` bytes, or gathered by rows,
    `(W - 1) b L (4 d + 4)`, whichever is less. So they send no more than full
    ones as long as

        m <= b L (d + 1/2),

    and what the busiest worker has to send, with tables placed whole, is more.
    docs/scaling.md has the assumptions and their limits.

    Args:
        plan: What `keras_pss.plan` returned: the tables, and the size of the
            compressed ones.
        workers: Numbers of workers W. Defaults to `(8, 64, 1024)`.
        batch_size: Integer b, the examples of each worker (weak scaling).
        global_batch_size: Integer, the examples of all workers together
            (strong scaling), in place of `batch_size`.
        lookups: Vectors that an example reads of each table; one number, or
            one a table. A list that its owner pools is one vector. Defaults
            to 1.
        dense_parameters: Integer D, the parameters besides the tables, which
            is `memory_report(model).other_parameters`. Defaults to 0.
        optimizer: As in `memory_report`, for its slots. Defaults to
            `"adam"`.
        memory: Bytes of a worker, such as `"80GB"`, or a number. Default:
            unknown.
        bandwidth: Bytes that a worker sends a second, while it receives as
            many, such as `"12.5GB"` for 100 Gbit. Default: no times.
        latency_us: Float, microseconds that a message takes besides its
            bytes. Defaults to 10.
        step_ms: Dict of measured milliseconds of a step on one worker without
            communication, by batch size. Two or more draw a line. Default: no
            time of a whole step.
        compressed_step_ms: The same with the compressed tables. Default:
            `step_ms`.

    Returns:
        A `Scaling`. Print it, or call `as_dict()`.

    Raises:
        ValueError: If an argument is outside its range, if a table has an
            open vocabulary, or if a time is asked for a batch size that
            nothing measured tells.

    Example:

    ```python
    plan = keras_pss.plan([1_000_000, 1_000], 16, "100x")
    found = keras_pss.planning.scaling(plan, 8, batch_size=1024)
    [step.mean_bytes for step in found.steps]  # [236544, 236544, 974848]
    found.steps[0].break_even  # 33792
    ```
    """
    counts = worker_counts(workers)
    batches = local_batches(counts, batch_size, global_batch_size)
    model = _checked(plan, lookups, dense_parameters, optimizer, memory)
    speed = None if bandwidth is None else byte_count("bandwidth", bandwidth)
    latency = number("latency_us", latency_us, 0) / 1e6
    full = None if step_ms is None else step_time("step_ms", step_ms)
    compressed = full
    if compressed_step_ms is not None:
        compressed = step_time("compressed_step_ms", compressed_step_ms)
    if speed is None and compressed is not None:
        raise ValueError(
            "`bandwidth` must be given with measured steps, since a step takes "
            f"its communication too. Received: step_ms={step_ms!r}, "
            f"compressed_step_ms={compressed_step_ms!r}, bandwidth=None"
        )
    steps = []
    for count, batch in zip(counts, batches, strict=True):
        for held, time in (
            (layouts.whole(model, count, batch), full),
            (layouts.by_rows(model, count, batch), full),
            (layouts.compressed(model, count, batch), compressed),
        ):
            communication = (
                None
                if speed is None
                else 1e3 * total_seconds(held.collectives, speed, latency)
            )
            steps.append(_step(model, held, count, batch, communication, time))
    return Scaling(
        tuple(steps),
        full_parameters=sum(model.rows) * model.width,
        compressed_parameters=model.compressed,
        dense_parameters=model.dense,
        lookups=sum(model.lookups),
        optimizer=optimizer_name(optimizer),
    )


def _checked(
    plan: Any, lookups: Any, dense: Any, optimizer: Any, memory: Any
) -> layouts.PlannedModel:
    if not isinstance(plan, Plan):
        raise ValueError(
            "`plan` must be what `keras_pss.plan` returns. "
            f"Received: plan={shown(plan)}"
        )
    rows = []
    for table in plan.tables:
        if table.ids is None:
            raise ValueError(
                "`plan` must have the number of ids of each table, since a "
                "full table has a row an id. "
                f"Received: table {table.name!r}, which is open"
            )
        rows.append(table.ids)
    check_optimizer(optimizer)
    return layouts.PlannedModel(
        tuple(rows),
        plan.output_dim,
        lookups_of(lookups, len(rows)),
        plan.parameters,
        non_negative_int("dense_parameters", dense),
        optimizer,
        None if memory is None else byte_count("memory", memory),
    )


def _step(
    model: layouts.PlannedModel,
    held: layouts.Held,
    workers: int,
    batch: int,
    communication: float | None,
    time: Callable[[int], float] | None,
) -> WorkerStep:
    step = None
    if communication is not None and time is not None:
        step = communication + time(batch)
    moved = batch * sum(model.lookups)
    return WorkerStep(
        workers,
        batch,
        held.tables,
        held.collectives[0].name if workers > 1 else "none",
        mean_bytes=round(sum(each.mean for each in held.collectives)),
        busiest_bytes=round(sum(each.busiest for each in held.collectives)),
        memory_bytes=held.memory,
        fits=None if model.memory is None else held.memory <= model.memory,
        break_even=moved * (2 * model.width + 1) // 2 if workers > 1 else None,
        communication_ms=communication,
        step_ms=step,
        examples_per_second=1e3 * workers * batch / step if step else None,
    )
