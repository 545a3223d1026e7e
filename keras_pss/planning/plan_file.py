"""The JSON file of a plan."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_pss.files import read_json, write_json
from keras_pss.layers.base.checks import shown
from keras_pss.layers.composite import log_tables
from keras_pss.planning.make_plan import fingerprint
from keras_pss.planning.planned_tables import Plan, PlannedTable
from keras_pss.version import __version__

FORMAT, VERSION = "keras_pss.plan", 1
_AGAIN = "Plan again with `keras-pss plan` or `keras_pss.plan`."


def content(plan: Plan) -> dict[str, Any]:
    """All of a plan as JSON values."""
    fields = {
        field.name: getattr(plan, field.name)
        for field in dataclasses.fields(plan)
    }
    method, options = plan.asked
    return {
        "format": FORMAT,
        "version": VERSION,
        "keras_pss": __version__,
        **fields,
        "tables": [dataclasses.asdict(table) for table in plan.tables],
        "options": _plain(plan.options),
        "asked": {"method": method, "options": dict(options)},
        "notes": dict(plan.notes),
    }


def save(plan: Plan, path: Path | str) -> None:
    """Writes the file."""
    write_json(content(plan), Path(path))


def load_plan(path: Path | str, log: Any = None) -> Plan:
    """Reads the file of a plan.

    Args:
        path: Path of a file that `Plan.save` or `keras-pss plan` wrote.
        log: The prepared log that the plan is meant for, whose tables and
            counts must be those that it was made from. Default: None, not
            compared.

    Raises:
        ValueError: If the file is not a plan, or the log is another one.

    Example:

    ```python
    keras_pss.plan("criteo-kaggle", 16, "1000x").save("plan.json")
    keras_pss.planning.load_plan("plan.json").parameters  # 540201
    ```
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"`plan` must be a file that `keras-pss plan --out` wrote. "
            f"Received: plan={str(path)!r}"
        )
    found = read_json(path, _AGAIN)
    named = found.pop("format", None), found.pop("version", None)
    if named != (FORMAT, VERSION):
        raise ValueError(
            f"{path} must be a plan of format {FORMAT!r} and version "
            f"{VERSION}. {_AGAIN} Received: format={shown(named[0])}, "
            f"version={shown(named[1])}"
        )
    found.pop("keras_pss", None)
    try:
        asked = found.pop("asked")
        tables = tuple(
            PlannedTable(**_tuples(each)) for each in found.pop("tables")
        )
        plan = Plan(
            tables=tables,
            asked=(asked["method"], asked["options"]),
            options=_tuples(found.pop("options")),
            **found,
        )
        plan.arguments()
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} must be a whole plan. {_AGAIN} Received: {error}"
        ) from error
    if log is not None:
        check(plan, log, str(path))
    return plan


def check(plan: Plan, log: Any, name: str = "The plan") -> None:
    """Raises a ValueError unless a plan was made for the tables of a log."""
    now = dict(log.tables)
    before = {table.name: table.ids for table in plan.tables}
    changed = ""
    # A plan for a list of cardinalities has no names.
    if list(before.values()) != list(now.values()):
        changed = f"tables of {_sizes(now)} ids instead of {_sizes(before)}"
    elif plan.named and list(before) != list(now):
        changed = f"tables {list(now)} instead of {list(before)}"
    elif plan.fingerprint is not None:
        counts = log_tables.counts(log)
        known = None if counts is None else list(counts.values())
        if fingerprint(known) != plan.fingerprint:
            changed = "other counts of the ids"
    if changed:
        raise ValueError(
            f"{name} must be a plan for the same log, since it depends on the "
            f"tables and their counts. {_AGAIN} Received: {changed}"
        )


def _sizes(tables: Mapping[str, int | None]) -> str:
    return shown(list(tables.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they were before JSON turned tuples into lists."""
    return {key: _as_tuple(value) for key, value in options.items()}


def _as_tuple(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_as_tuple, value))
    return value
