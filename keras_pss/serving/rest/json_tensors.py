"""Values of JSON as arrays of a signature's inputs, and arrays as JSON.

Nothing is converted in silence: NumPy would take `"1.5"` for a number, `true`
for 1 and 1.5 for the id 1.

The file is long because each rule has an error that names the value.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_pss.messages import did_you_mean, shown
from keras_pss.serving.rest.request_error import RequestError
from keras_pss.serving.rest.tensor_spec import TensorSpec

INSTANCES, INPUTS = "instances", "inputs"
_DTYPES = [
    "string",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bfloat16",
    "float16",
    "float32",
    "float64",
]
_NULL = 'A missing number is null or NaN, and a missing text is "".'


def arrays(
    body: Mapping[str, Any], specs: Mapping[str, TensorSpec], max_rows: int
) -> dict[str, np.ndarray]:
    """The inputs of a request, by their names.

    Args:
        body: The request: `{"instances": [{name: value, ...}, ...]}`, a value
            for each row and input, or `{"inputs": {name: values, ...}}`, an
            array for each input. If there is one input, its name may be left
            out.
        specs: The inputs of the signature.
        max_rows: Rows that a request may have.

    Returns:
        Arrays with the dtypes and shapes of the inputs. Texts are bytes in an
        array of objects.

    Raises:
        RequestError: If the request does not have these inputs.
    """
    if (INSTANCES in body) == (INPUTS in body):
        raise RequestError(
            'A request has either "instances", a list of rows, or "inputs", '
            "an array for each input. Received the keys: "
            f"{shown(sorted(body))}"
        )
    if INSTANCES in body:
        columns = _by_column(body[INSTANCES], specs, max_rows)
        where = 'each of the "instances"'
    else:
        columns = _of_inputs(body[INPUTS], specs)
        where = '"inputs"'
    _check_names(columns, specs, where)
    found = {name: _array(columns[name], specs[name]) for name in specs}
    rows = {name: len(x) for name, x in found.items() if x.ndim}
    if len(set(rows.values())) > 1:
        raise RequestError(
            "All inputs must have the same number of rows. Received: "
            f"{shown(rows)}"
        )
    if max(rows.values(), default=0) > max_rows:
        raise _too_many(max(rows.values()), max_rows)
    return found


def as_json(
    outputs: Mapping[str, np.ndarray], rows: int | None
) -> dict[str, Any]:
    """The answer to a request.

    Args:
        outputs: Arrays by the names of the outputs.
        rows: Number of `"instances"`, or None if it had `"inputs"`.

    Returns:
        `{"predictions": [...]}` with a value for each row, or `{"outputs":
        ...}`. The values are dictionaries if there are several outputs.
    """
    values = {name: _values(x) for name, x in outputs.items()}
    if rows is None:
        single = len(values) == 1
        return {"outputs": next(iter(values.values())) if single else values}
    for name, x in outputs.items():
        if x.ndim == 0 or len(x) != rows:
            raise RequestError(
                f"The output {name!r} does not have a value for each row. "
                'Send "inputs" instead of "instances".'
            )
    if len(values) == 1:
        return {"predictions": next(iter(values.values()))}
    names = list(values)
    by_row = zip(*values.values(), strict=True)
    return {"predictions": [dict(zip(names, x, strict=True)) for x in by_row]}


def _too_many(rows: int, max_rows: int) -> RequestError:
    return RequestError(
        f"A request has at most {max_rows:,} rows. Split it, or start the "
        f"server with a larger --max-rows. Received: {rows:,} rows",
        status=413,
    )


def _by_column(
    instances: Any, specs: Mapping[str, TensorSpec], max_rows: int
) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise RequestError(
            '"instances" must be a list of one or more rows. Received: '
            f"{shown(instances)}"
        )
    if len(instances) > max_rows:
        raise _too_many(len(instances), max_rows)
    if len(specs) == 1 and not any(
        isinstance(row, dict) and row.keys() != {"b64"} for row in instances
    ):
        return {next(iter(specs)): instances}
    first = instances[0]
    for number, row in enumerate(instances):
        if not isinstance(row, dict):
            raise RequestError(
                'Each of the "instances" must be an object of the inputs '
                f"{_listed(specs)}. Received row {number}: {shown(row)}"
            )
        if row.keys() != first.keys():
            _check_names(row, specs, f'row {number} of the "instances"')
            _check_names(first, specs, 'row 0 of the "instances"')
    return {name: [row[name] for row in instances] for name in first}


def _of_inputs(inputs: Any, specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    if isinstance(inputs, dict) and inputs.keys() != {"b64"}:
        return inputs
    if len(specs) != 1:
        raise RequestError(
            f'"inputs" must be an object of the inputs {_listed(specs)}. '
            f"Received: {shown(inputs)}"
        )
    return {next(iter(specs)): inputs}


def _check_names(
    given: Mapping[str, Any], specs: Mapping[str, TensorSpec], where: str
) -> None:
    unknown = [name for name in given if name not in specs]
    missing = [name for name in specs if name not in given]
    if unknown:
        raise RequestError(
            f"{where} must have the inputs {_listed(specs)} alone, but has "
            f"{shown(unknown[0])}.{did_you_mean(unknown[0], specs)}"
        )
    if missing:
        raise RequestError(
            f"{where} must have all inputs, but has no {_listed(missing)}. "
            f"{_NULL}"
        )


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return shown(list(names))


def _array(value: Any, spec: TensorSpec) -> np.ndarray:
    """One input, checked level by level, at the speed of C."""
    if spec.shape is None or spec.dtype not in _DTYPES:
        raise RequestError(
            f"The input {spec.name!r} cannot be sent as JSON: it has the dtype "
            f"{spec.dtype} and the shape {spec.shown_shape}. Give another "
            '"signature_name".'
        )
    shape: list[int] = []
    leaves = [value]
    for axis, size in enumerate(spec.shape):
        if set(map(type, leaves)) - {list}:
            raise _misshapen(spec, f"less than {len(spec.shape)} axes")
        lengths = set(map(len, leaves))
        if len(lengths) > 1:
            raise _misshapen(spec, f"lists of different lengths, axis {axis}")
        shape.append(lengths.pop() if lengths else 0)
        if size is not None and shape[-1] != size:
            raise _misshapen(spec, f"{shape[-1]} elements, axis {axis}")
        leaves = list(chain.from_iterable(leaves))
    kinds = set(map(type, leaves))
    if list in kinds:
        raise _misshapen(spec, f"more than {len(spec.shape)} axes")
    flat = _texts(leaves, spec) if spec.dtype == "string" else None
    if flat is None:
        flat = _numbers(leaves, kinds, spec)
    return flat.reshape(shape)


def _misshapen(spec: TensorSpec, found: str) -> RequestError:
    return RequestError(
        f"The input {spec.name!r} has the shape {spec.shown_shape}, with the "
        f"rows first. Received: {found}"
    )


def _texts(leaves: list[Any], spec: TensorSpec) -> np.ndarray:
    found = np.empty(len(leaves), object)
    for number, value in enumerate(leaves):
        if type(value) is str:
            try:
                found[number] = value.encode()
                continue
            except UnicodeEncodeError as error:
                raise _mistyped(spec, value, "half of a character") from error
        if type(value) is not dict or value.keys() != {"b64"}:
            raise _mistyped(spec, value, f"a {_kind(value)}")
        try:
            found[number] = base64.b64decode(value["b64"], validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise _mistyped(spec, value, "no base64") from error
    return found


def _numbers(
    leaves: list[Any], kinds: set[type], spec: TensorSpec
) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    # Strict JSON has no NaN: null stands for it.
    real: set[type] = {int, float, type(None)}
    allowed: dict[str, set[type]] = {
        "b": {bool},
        "i": {int},
        "u": {int},
        "f": real,
    }
    allowed_here = allowed.get(dtype.kind, real)  # NumPy knows no bfloat16
    if kinds - allowed_here:
        wrong = next(x for x in leaves if type(x) not in allowed_here)
        raise _mistyped(spec, wrong, f"a {_kind(wrong)}")
    if dtype.kind in "iu" and leaves:
        limits = np.iinfo(dtype)
        low, high = min(leaves), max(leaves)
        if low < limits.min or high > limits.max:
            raise _mistyped(
                spec,
                low if low < limits.min else high,
                f"an integer that {spec.dtype} does not hold",
            )
    if dtype.kind in "biu":
        return np.array(leaves, dtype)
    try:
        exact = np.array(leaves, "float64")
    except OverflowError as error:
        wide = max((x for x in leaves if type(x) is int), key=abs)
        raise _mistyped(spec, wide, "a number beyond float64") from error
    with np.errstate(over="ignore"):
        found = exact.astype(dtype)
    lost = np.isinf(found) & np.isfinite(exact)
    if lost.any():
        value = leaves[int(lost.argmax())]
        raise _mistyped(spec, value, f"a number beyond {spec.dtype}")
    return found


def _kind(value: Any) -> str:
    names = {
        str: "text",
        bool: "truth value",
        int: "whole number",
        float: "number",
        dict: "object",
        type(None): "value",
    }
    return names[type(value)]


def _mistyped(spec: TensorSpec, value: Any, found: str) -> RequestError:
    found = f"null. {_NULL}" if value is None else f"{found}: {shown(value)}"
    return RequestError(
        f"The input {spec.name!r} has the dtype {spec.dtype}. Received {found}"
    )


def _values(array: np.ndarray) -> Any:
    if array.dtype != object:
        return array.tolist()
    return _text_or_base64(array.tolist())


def _text_or_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_text_or_base64(each) for each in value]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
