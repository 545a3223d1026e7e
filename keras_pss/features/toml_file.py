"""A schema's dictionary as the text of a TOML file, for people to edit.

tomlkit writes it, and not the smaller tomli-w, which puts each name of a list
on a line of its own.
"""

from typing import Any

import tomlkit
from tomlkit.items import Array

_WIDTH = 72  # characters of a line of an array


def dump(content: dict[str, Any]) -> str:
    """The text of a TOML file.

    Neighbouring features that differ in nothing but the name are one entry.

    Args:
        content: The dictionary of `as_dict`.
    """
    document = tomlkit.document()
    for key, value in content.items():
        if key == "feature":
            continue
        document[key] = _item(value)
    entries = tomlkit.aot()
    for entry in _together(content["feature"]):
        entries.append(_item(entry))
    document["feature"] = entries
    return tomlkit.dumps(document).strip() + "\n"


def _together(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for feature in features:
        last = found[-1] if found else {}
        if "column" not in feature and _rest(last) == _rest(feature):
            names = last["name"]
            names = names if isinstance(names, list) else [names]
            last["name"] = [*names, feature["name"]]
        else:
            found.append(dict(feature))
    return found


def _rest(feature: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in feature.items() if key != "name"}


def _item(value: Any) -> Any:
    if isinstance(value, dict):
        table = tomlkit.table()
        for key, each in value.items():
            table[key] = _item(each)
        return table
    if not isinstance(value, list):
        return value
    array: Array = tomlkit.array()
    if len(str(value)) <= _WIDTH:
        array.extend(value)
        return array
    line: list[Any] = []
    for each in value:
        if line and len(str([*line, each])) > _WIDTH:
            array.add_line(*line)
            line = []
        line.append(each)
    array.add_line(*line)
    array.add_line(indent="")
    return array
