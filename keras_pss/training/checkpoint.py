"""The whole state of a run in one file, which is whole or not there."""

import json
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

STATE = "state"


class ForeignState(ValueError):
    """A state that is damaged or of another model."""


def save(model: keras.Model, path: Path, state: dict[str, Any]) -> None:
    """Writes all variables of a compiled model, and what else a run knows.

    Seeds of dropout, optimizer slots and steps are among the variables. A
    kill while writing leaves the file as it was.

    Args:
        model: With a built optimizer.
        path: An `.npz`, replaced where it is there.
        state: JSON values.
    """
    part = path.with_name(f"part-{path.name}")
    arrays: dict[str, Any] = {
        f"{index:05d}": _numbers(variable)
        for index, variable in enumerate(_variables(model))
    }
    arrays[STATE] = np.array(json.dumps(state))
    with open(part, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def restore(model: keras.Model, path: Path) -> dict[str, Any]:
    """Gives a model of the same build all its variables back.

    Returns:
        The state that was saved with them.

    Raises:
        ForeignState: If the file is of another model, or damaged.
    """
    try:
        return _restored(_variables(model), path)
    except ForeignState:
        raise
    except (BadZipFile, EOFError, KeyError, OSError, ValueError) as error:
        raise ForeignState(
            f"{path} cannot be read. Copy it again, or start the run anew in "
            f"another folder. Received: {error!r}"
        ) from error


def _restored(variables: list[Any], path: Path) -> dict[str, Any]:
    with open(path, "rb") as file, np.load(file) as arrays:
        if len(arrays.files) != len(variables) + 1:
            raise ForeignState(
                f"{path} must hold the {len(variables)} variables of the "
                "model. Was the package updated since? Start the run anew. "
                f"Received: {len(arrays.files) - 1} variables"
            )
        for index, variable in enumerate(variables):
            value = arrays[f"{index:05d}"]
            if value.shape != tuple(variable.shape):
                raise ForeignState(
                    f"{path} must hold {variable.path} of shape "
                    f"{tuple(variable.shape)}. Start the run anew. "
                    f"Received: {value.shape}"
                )
            if variable.dtype == "bfloat16":
                value = value.view(keras.ops.convert_to_numpy(variable).dtype)
            variable.assign(value)
        return json.loads(str(arrays[STATE]))


def _numbers(variable: Any) -> np.ndarray:
    """A variable as NumPy can store it: bfloat16 as its 16 bits."""
    value = keras.ops.convert_to_numpy(variable)
    return value.view(np.uint16) if variable.dtype == "bfloat16" else value


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]
