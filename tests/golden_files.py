"""Where the golden files are, and how what they hold is compared."""

import gzip
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import keras_pss

FOLDER = Path(__file__).parent / "golden"
SAVED = FOLDER / "saved"

# What another kind of processor may change, relative to the largest number:
# sums of products are added in another order there. On the machine that made
# the files nothing changes; GOLDEN_EXACT=1 asks for equal bits of everything.
TOLERANCE = 1e-6
EXACT = bool(os.environ.get("GOLDEN_EXACT"))


def same(found: Any, expected: Any, exact: bool = True, name: str = "") -> None:
    """Equal bits, or, for sums of products, all but the last ones."""
    found = ops.convert_to_numpy(found)
    assert found.dtype == expected.dtype, name
    if exact or EXACT:
        np.testing.assert_array_equal(found, expected, err_msg=name)
        return
    np.testing.assert_allclose(
        found,
        expected,
        rtol=TOLERANCE,
        atol=TOLERANCE * np.abs(expected).max(),
        err_msg=name,
    )


def manifest(variables: list[Any]) -> list[list[Any]]:
    """Path, shape, dtype and a digest of the values of each, in order."""
    found = []
    for variable in variables:
        dtype = keras.backend.standardize_dtype(variable.dtype)
        # PyTorch hands some integers on as wider ones.
        value = ops.convert_to_numpy(variable).astype(dtype)
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes())
        path = variable.path.removesuffix(":0")
        shape = list(variable.shape)
        found.append([path, shape, dtype, digest.hexdigest()[:16]])
    return found


def same_variables(variables: list[Any], stored: list[list[Any]]) -> None:
    """Names, order, shapes, types and bits are those of the file.

    The counter of a clustering is signed on some backends, and is stored by
    TensorFlow without a sign.
    """
    found = manifest(variables)
    if keras.backend.backend() != "tensorflow":
        found, stored = signed(found), signed(stored)
    assert found == stored


def signed(rows: list[list[Any]]) -> list[list[Any]]:
    return [
        ["int32" if value == "uint32" else value for value in row]
        for row in rows
    ]


def outputs(model: keras.Model, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a model answers, by name, op by op and without a graph."""
    found = model(inputs, training=False)
    if not isinstance(found, dict):
        found = {"output": found}
    return {
        name: ops.convert_to_numpy(ops.cast(value, "float32"))
        for name, value in found.items()
    }


def arrays(path: Path, prefix: str) -> dict[str, np.ndarray]:
    """Those of an `.npz` whose names begin with a prefix, without it."""
    with np.load(path) as file:
        return {
            name.removeprefix(prefix): file[name]
            for name in file.files
            if name.startswith(prefix)
        }


def pack_keras(path: Path) -> None:
    """Deflates the members of a `.keras` file; HDF5 is mostly zeros here."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def pack(path: Path) -> None:
    """Puts a file's `.gz` in its place."""
    packed = gzip.compress(path.read_bytes(), mtime=0)
    path.with_name(f"{path.name}.gz").write_bytes(packed)
    path.unlink()


def unpacked(path: Path, folder: Path) -> Path:
    """The file that `pack` replaced, in another folder."""
    content = gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())
    (folder / path.name).write_bytes(content)
    return folder / path.name


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(content: Any, path: Path) -> None:
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")


def public_classes() -> dict[str, type]:
    """The layers of the package, by their public names."""
    return {
        name: value
        for name, value in vars(keras_pss).items()
        if isinstance(value, type) and issubclass(value, keras.layers.Layer)
    }
