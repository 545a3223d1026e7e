"""Saves and restores the state of a run in one file, atomically.

There are two files of each state, in case that the disk breaks one: the one
before the newest, or a copy.
"""

import json
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pss.arrays import Arrays, open_arrays
from keras_pss.files import complete_file

logger = logging.getLogger(__name__)

STATE = "state"


class ForeignState(ValueError):
    """The state is damaged or belongs to another model."""


class DamagedState(ForeignState):
    """The file of the state is missing, or its content is not as written."""


def second(path: Path) -> Path:
    """The other file of a state: the one before it, or its copy."""
    return path.with_stem(f"{path.stem}.second")


def save(
    model: keras.Model, path: Path, state: dict[str, Any], copy: bool = False
) -> None:
    """Writes all variables of a compiled model, and the state of the run.

    The variables include the dropout seeds, the optimizer's slots and its step
    counter. If the process is killed while writing, the old file remains.

    Args:
        model: A compiled model whose optimizer is built.
        path: The `.npz` file to write. An existing file becomes the `second`
            one.
        state: Further state of the run, a dict that JSON can hold.
        copy: Whether the `second` file is then replaced by a copy of the new
            one. Default: False.
    """
    arrays: dict[str, Any] = {
        f"{index:05d}": _numbers(variable)
        for index, variable in enumerate(variables(model))
    }
    arrays[STATE] = np.array(json.dumps(state))
    with (
        complete_file(path, previous=second(path)) as part,
        open(part, "wb") as file,
    ):
        np.savez(file, **arrays)
    if copy:
        with complete_file(second(path)) as part, open(part, "wb") as file:
            np.savez(file, **arrays)


def restore(model: keras.Model, path: Path) -> dict[str, Any]:
    """Restores all variables of a model that was built in the same way.

    Returns:
        The `state` that was saved with them.

    Raises:
        DamagedState: If the file is missing or damaged.
        ForeignState: If it belongs to another model. In both cases, some
            variables of the model may have been restored by then.
    """
    try:
        with open_arrays(path) as arrays:
            return _restored(variables(model), arrays, path)
    except ForeignState:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedState(
            f"{path} cannot be read. Copy it again, or restart the run in "
            f"another folder. Received: {error!r}"
        ) from error


def restore_either(model: keras.Model, path: Path) -> dict[str, Any]:
    """Restores a state or, if its file is damaged, the copy of it.

    Raises:
        ForeignState: As of `restore`.
    """
    try:
        return restore(model, path)
    except DamagedState as error:
        if not second(path).is_file():
            raise
        logger.warning("The copy of a checkpoint is used: %s", error)
        return restore(model, second(path))


def _restored(
    variables: list[Any], arrays: Arrays, path: Path
) -> dict[str, Any]:
    if len(arrays.names) != len(variables) + 1:
        raise ForeignState(
            f"{path} must hold the {len(variables)} variables of the "
            "model. If the package was updated since, restart the run. "
            f"Received: {len(arrays.names) - 1} variables"
        )
    state = json.loads(str(arrays[STATE]))
    if not isinstance(state, dict):
        raise ValueError(f"a state of type {type(state).__name__}")
    for index, variable in enumerate(variables):
        value = arrays[f"{index:05d}"]
        bits = "uint16" if variable.dtype == "bfloat16" else variable.dtype
        wanted = np.dtype(bits)
        value = _as_integers(value, wanted)
        if value.shape != tuple(variable.shape) or value.dtype != wanted:
            raise ForeignState(
                f"{path} must hold {variable.path} of shape "
                f"{tuple(variable.shape)} and type {wanted}. Restart "
                f"the run. Received: {value.shape} of type {value.dtype}"
            )
        if variable.dtype == "bfloat16":
            value = value.view(keras.ops.convert_to_numpy(variable).dtype)
        variable.assign(value)
    return state


def _numbers(variable: Any) -> np.ndarray:
    """A variable as an array that NumPy can store: bfloat16 as uint16."""
    value = keras.ops.convert_to_numpy(variable)
    return value.view(np.uint16) if variable.dtype == "bfloat16" else value


def _as_integers(value: np.ndarray, wanted: np.dtype[Any]) -> np.ndarray:
    """The same integers, which several workers keep in other types."""
    if value.dtype.kind not in "iu" or wanted.kind not in "iu":
        return value
    found = value.astype(wanted)
    same = np.array_equal(found.astype(value.dtype), value)
    return found if same else value


def variables(model: keras.Model) -> list[Any]:
    """All variables of a compiled model, in the order of its states."""
    return [*model.variables, *model.optimizer.variables]
