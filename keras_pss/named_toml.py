"""Reads TOML files: one of the package by name, or the user's by path."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any


def names_in(folder: str) -> list[str]:
    """Sorted names of the TOML files in the package's `folder`."""
    return sorted(
        path.name.removesuffix(".toml")
        for path in _folder(folder).iterdir()
        if path.name.endswith(".toml")
    )


def read_named(name: str, folder: str, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        name: One of `names_in(folder)`, or a path that ends in `.toml`.
        folder: Folder within the package, such as `"recipes"`.
        what: What the file describes, for messages, such as `"grid"`.

    Raises:
        ValueError: If there is no such file, or it is not TOML.
    """
    own = name.endswith(".toml")
    path = Path(name) if own else _folder(folder) / f"{name}.toml"
    if not path.is_file():
        raise ValueError(
            f"A {what} must be one of {', '.join(names_in(folder))}, or the "
            f"path of a .toml file. Received: {name!r}"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not UTF-8
        raise ValueError(f"{name} must be TOML. Received: {error}") from error


def _folder(name: str) -> Any:
    return files("keras_pss") / name
