"""Plans embedding tables within a budget.

The file is long because it documents and checks the arguments, and explains
each table.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_pss.layers.base.budget import BYTES_A_PARAMETER, Budget
from keras_pss.layers.base.checks import (
    LARGEST_ROW,
    number,
    one_of,
    positive_int,
    shown,
)
from keras_pss.layers.composite import log_tables
from keras_pss.layers.planned import choices
from keras_pss.layers.planned.decide import Decision, decide
from keras_pss.layers.planned.worth import Worth
from keras_pss.planning.plan_sizes import plan_sizes
from keras_pss.planning.planned_tables import Plan, PlannedTable
from keras_pss.planning.presets import PRESETS

METHODS = (choices.AUTO, "robe")
_BITS = {"float32": 32, "int8": 8, "int4": 4}
TUNE = (
    "Counts alone cannot tell what rare ids are worth here. Short runs can: "
    "`keras-pss plan --data ... --tune`."
)
COUNT = (
    "With the counts of the ids, frequent ids would get rows of their own. "
    "Give `counts`, or plan for a prepared log."
)


def plan(
    cardinalities: Any,
    output_dim: int,
    budget: Budget | str | int,
    counts: Sequence[Any] | Mapping[str, Any] | None = None,
    clicks: Sequence[Any] | Mapping[str, Any] | None = None,
    share: float = 1.0,
    method: str = choices.AUTO,
    options: Mapping[str, Any] | None = None,
) -> Plan:
    """Plans embedding tables within a budget, and says why.

    With counts, the ids that occur often enough get rows of their own, and
    the budget decides the length of these rows; all tables are compared. From
    counts and labels follows how often is enough: c* = 1 / (v tau^2), where v
    is the variance of a label and tau^2 that of the logits of a column's ids.
    Without counts, all ids share a ROBE memory.

    Args:
        cardinalities: Number of ids of each table: a list, None for an open
            vocabulary; a dict by the names of tables; the name of a public
            log, `"criteo-kaggle"`, `"criteo-terabyte"` (MLPerf's, 40 million
            ids a table at most), `"criteo-terabyte-15"` or
            `"criteo-terabyte-3"` (NVIDIA's, ids seen that often); or a
            prepared log, such as `keras_pss.data.prepare` returns, whose
            counts and labels are then used.
        output_dim: Integer d, the length of an embedding.
        budget: Upper bound on everything that the served tables store
            together: `"1000x"`, a number of parameters, or `"10MB"`.
        counts: For each table the number of occurrences of each id, in
            descending order from id 1 on; a dict for tables with names.
            Default: None, unknown.
        clicks: For each table the number of these occurrences with a click.
            Default: None; then ids are taken to say as much as Criteo's.
        share: Number of rows that were counted, divided by the number of
            rows that a model will be trained on. Default: 1.
        method: `"auto"` (the default), or `"robe"` for a ROBE memory alone.
        options: Dict of decisions that are made already: `min_count`,
            `inner_dim`, `tail`. Default: none.

    Returns:
        A `Plan`: print it, `save` it, or create its tables by `collection`.

    Raises:
        ValueError: If an argument is invalid or counts do not match the
            tables; and `InfeasibleBudget`, a subclass, if nothing fits into
            the budget.

    Example:

    ```python
    counts = [[0, 900, 300, 40, 2, 1, 1, 1], [0, 800, 400, 30, 3, 1]]
    plan = keras_pss.plan([8, 6], 16, 70, counts)
    plan.method  # popularity
    tables = plan.collection()
    tables(np.array([[2, 5]])).shape  # (1, 2, 16)
    tables.count_params() == plan.parameters  # True
    ```
    """
    positive_int("output_dim", output_dim, LARGEST_ROW)
    one_of("method", method, METHODS)
    if number("share", share, 0) == 0:
        raise ValueError(
            "`share` must be above 0: the rows that were counted, divided by "
            f"the training rows. Received: share={share}"
        )
    given = dict(options or {})
    tables, known = _tables(cardinalities)
    if known is not None:
        counts = known["counts"] if counts is None else counts
        given = {**known["options"], **given}
    ordered = _ordered("counts", counts, tables)
    labelled = _ordered("clicks", clicks, tables)
    worth = _worth(ordered, labelled)
    if ordered is not None and (clicks is not None or known is None):
        given = {**worth.choices(share), **given}
    parsed = Budget.parse(budget)
    if choices.is_auto(method):
        given = choices.checked(given)
        decision = decide(
            list(tables.values()), output_dim, parsed, ordered, given
        )
        if decision.method == "robe":
            # A run that knows counts would choose something else.
            method, given = "robe", dict(decision.options)
    else:
        if options:
            raise ValueError(
                "`options` belong to method='auto'. Leave them out, or leave "
                f"`method` out. Received: options={shown(dict(options))}"
            )
        given = {}
        decision = Decision(
            method, given, parsed.form, f"{method} for all tables, as asked"
        )
    named = isinstance(cardinalities, Mapping) or known is not None
    return _described(
        tables,
        output_dim,
        parsed,
        ordered,
        decision,
        (method, given),
        named,
    )


def fingerprint(counts: Sequence[Any] | None) -> str | None:
    """SHA-256 of the counts of all tables; None without counts."""
    if counts is None:
        return None
    digest = hashlib.sha256()
    for each in counts:
        array = np.ascontiguousarray(np.asarray(each), "<i8")
        digest.update(f"{len(array)} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _tables(
    cardinalities: Any,
) -> tuple[dict[str, int | None], dict[str, Any] | None]:
    """Rows of each table by name, and what a log knows of its ids."""
    if isinstance(cardinalities, str):
        if cardinalities not in PRESETS:
            raise ValueError(
                "`cardinalities` must be numbers of ids, a prepared log, or "
                f"one of {', '.join(PRESETS)}. "
                f"Received: cardinalities={shown(cardinalities)}"
            )
        cardinalities = PRESETS[cardinalities]
    if hasattr(cardinalities, "schema"):
        log = cardinalities
        log_tables.checked(log)  # or an error
        known = log_tables.knowledge(log)
        known = known or {"counts": None, "options": {}}
        return dict(log.tables), known
    if isinstance(cardinalities, Mapping):
        found = dict(cardinalities)
    elif isinstance(cardinalities, list | tuple):
        found = {str(k): rows for k, rows in enumerate(cardinalities)}
    else:
        found = {}
    if not found:
        raise ValueError(
            "`cardinalities` must be a non-empty list or dict of numbers of "
            "ids, a prepared log, or one of "
            f"{', '.join(PRESETS)}. Received: "
            f"cardinalities={shown(cardinalities)}"
        )
    for name, rows in found.items():
        if rows is not None:
            positive_int(f"cardinalities[{name}]", rows, 2**31 - 1)
    return found, None


def _ordered(
    name: str, values: Any, tables: Mapping[str, Any]
) -> list[np.ndarray] | None:
    """Counts in the order of the tables."""
    if values is None:
        return None
    if isinstance(values, Mapping):
        if set(values) != set(tables):
            raise ValueError(
                f"`{name}` must have one array for each table: "
                f"{', '.join(tables)}. Received: {name}={shown(values)}"
            )
        values = [values[table] for table in tables]
    if not isinstance(values, list | tuple) or len(values) != len(tables):
        raise ValueError(
            f"`{name}` must be a list with one array for each of "
            f"{len(tables)} tables. Received: {name}={shown(values)}"
        )
    return [np.asarray(each) for each in values]


def _worth(
    counts: list[np.ndarray] | None, clicks: list[np.ndarray] | None
) -> Worth:
    if clicks is None:
        return Worth()
    lengths = [each.size for each in clicks]
    if counts is None or lengths != [each.size for each in counts]:
        raise ValueError(
            "`clicks` needs the `counts` of the same rows, with one number "
            f"for each id. Received: clicks of {lengths} ids"
        )
    for place, (seen, each) in enumerate(zip(counts, clicks, strict=True)):
        if not ((each >= 0) & (each <= seen)).all():
            raise ValueError(
                "`clicks` must be at least 0 and at most `counts`, since they "
                "are some of the same rows. Count both again. "
                f"Received: clicks[{place}]={shown(each.tolist())}"
            )
    total = sum(int(each.sum()) for each in counts)
    clicked = sum(int(each.sum()) for each in clicks)
    if not 0 < clicked < total:
        raise ValueError(
            "`clicks` must be above 0 and below `counts` in total, since "
            "labels that are all alike say nothing about ids. "
            f"Received: {clicked} clicks of {total}"
        )
    return Worth.of_labels(zip(counts, clicks, strict=True), clicked / total)


def _described(
    tables: Mapping[str, int | None],
    output_dim: int,
    budget: Budget,
    counts: list[np.ndarray] | None,
    decision: Decision,
    asked: tuple[str, dict[str, Any]],
    named: bool,
) -> Plan:
    """The plan of a decision, with the sizes of the tables it creates."""
    dims = list(tables.values())
    sizes = plan_sizes(dims, output_dim, decision)
    whole = None if None in dims else sum(map(int, dims)) * output_dim  # type: ignore[arg-type]
    rows = []
    for place, (name, ids) in enumerate(tables.items()):
        full = place in sizes.full
        rows.append(_table(place, name, ids, output_dim, decision, full))
    advice = ""
    if not decision.sure:
        advice = COUNT if counts is None else TUNE
    return Plan(
        tables=tuple(rows),
        output_dim=output_dim,
        budget=budget.form,
        allowed_bytes=BYTES_A_PARAMETER * budget.parameters(whole),
        method=decision.method,
        options=decision.options,
        division=decision.budget,
        parameters=sizes.parameters,
        bytes=sizes.bytes,
        why=decision.why,
        advice=advice,
        asked=asked,
        fingerprint=fingerprint(counts),
        named=named,
        notes={},
    )


def _table(
    place: int,
    name: str,
    ids: int | None,
    output_dim: int,
    decision: Decision,
    full: bool,
) -> PlannedTable:
    if ids is not None and full:
        size = ids * output_dim
        reason = "small enough to stay uncompressed"
        if decision.method == "full":
            reason = "all tables fit uncompressed"
        return PlannedTable(
            name,
            ids,
            ids,
            output_dim,
            "float32",
            "none",
            size,
            4 * size,
            reason,
        )
    if decision.kept is None:
        reason = "all ids share the memory of all tables"
        if ids is None:
            reason = "an open vocabulary: " + reason
        return PlannedTable(
            name, ids, None, None, "float32", decision.method, 0, 0, reason
        )
    kept, width = decision.kept[place], decision.options["inner_dim"]
    rows = decision.options["num_rows"][place]
    storage = decision.options["storage"]
    size = int(np.dot(rows, width))
    tail = decision.options["tail"] if ids is None or kept < ids else "none"
    return PlannedTable(
        name,
        ids,
        kept,
        width,
        storage,
        tail,
        size,
        -(-size * _BITS[storage] // 8),
        _reason(place, ids or 0, kept, decision),
    )


def _reason(place: int, ids: int, kept: int, decision: Decision) -> str:
    assert decision.deserve is not None
    deserve, least = decision.deserve[place], decision.min_count
    if kept < deserve:
        return (
            f"{deserve - 1:,} ids occur {least} times or more; the budget has "
            f"rows for the first {kept - 1:,}"
        )
    if kept == ids:
        return f"each id occurs {least} times or more"
    if kept == 1:
        return f"no id occurs {least} times"
    return f"{kept - 1:,} ids occur {least} times or more"
