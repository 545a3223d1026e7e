"""Arrays of a checkpoint, read by rows: a file, a state dict or a model.

Nothing is ever unpickled.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.arrays import Arrays, DamagedArraysError, open_arrays
from keras_pss.messages import shown

# As NumPy and PyTorch name them, and as safetensors does.
FLOATS = {"float64", "float32", "float16", "bfloat16"}
_SAFE_FLOATS = {"F64", "F32", "F16", "BF16"}
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
# A process holds only its own part of these.
SHARDED = ("ShardedTensor", "DTensor")

TO_SAFETENSORS = (
    "    state = torch.load({path!r}, map_location='cpu', weights_only=True)\n"
    "    safetensors.torch.save_file({{k: v.clone() for k, v in "
    "state.get('state_dict', state).items()}}, {out!r})"
)


@dataclass(frozen=True)
class ArrayInfo:
    """What is known of an array before it is read.

    Attributes:
        shape: Tuple of integers; None for a value that is no array.
        dtype: Name of the dtype, or of the type of another value.
        floats: Boolean, whether the array can be a table.
    """

    shape: tuple[int, ...] | None
    dtype: str
    floats: bool

    def __str__(self) -> str:
        if self.shape is None:
            return self.dtype
        return f"{self.dtype} {self.shape}"


class Checkpoint:
    """The arrays of a checkpoint by key."""

    arrays: dict[str, ArrayInfo]

    def rows(self, key: str, begin: int, end: int) -> np.ndarray:
        """Entries `[begin, end)` of an array's first axis, as float32."""
        with np.errstate(over="ignore"):  # whoever stores it checks
            return np.asarray(self._rows(key, begin, end), np.float32)

    def whole(self, key: str) -> np.ndarray:
        """A whole array, as float32."""
        shape = self.arrays[key].shape
        assert shape is not None
        return self.rows(key, 0, shape[0])

    def _rows(self, key: str, begin: int, end: int) -> Any:
        raise NotImplementedError


class StateDict(Checkpoint):
    """A dict of arrays: of NumPy, of Keras variables, or of PyTorch."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        inner = values.get("state_dict")
        self._values = inner if isinstance(inner, Mapping) else values
        if others := [key for key in self._values if not isinstance(key, str)]:
            raise ValueError(
                "`source` must be a dict of arrays by name. "
                f"Received: source with the keys {shown(others)}"
            )
        self.arrays = {k: _info(k, v) for k, v in self._values.items()}

    def _rows(self, key: str, begin: int, end: int) -> Any:
        part = self._values[key][begin:end]
        if hasattr(part, "detach"):  # NumPy has no bfloat16 for PyTorch's
            part = part.detach().float().cpu().numpy()
        return part


class NpzFile(Checkpoint):
    """A file that `numpy.savez` wrote. One array at a time is in memory."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._held: tuple[str, Any] = ("", None)
        self.arrays = {}
        for name in arrays.names:
            shape, dtype = arrays.header(name)
            kind = _name(dtype)
            self.arrays[name] = ArrayInfo(shape, kind, kind in FLOATS)

    def _rows(self, key: str, begin: int, end: int) -> Any:
        if self._held[0] != key:
            self._held = key, self._arrays[key]
        return self._held[1][begin:end]


class SafetensorsFile(Checkpoint):
    """A file of safetensors, of which only the rows that are asked for are
    read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.arrays = {}
        for key in file.keys():  # noqa: SIM118  no mapping
            part = file.get_slice(key)
            dtype = part.get_dtype()
            self.arrays[key] = ArrayInfo(
                tuple(part.get_shape()), dtype, dtype in _SAFE_FLOATS
            )

    def _rows(self, key: str, begin: int, end: int) -> Any:
        return self._file.get_slice(key)[begin:end]


@contextmanager
def opened(source: Any) -> Iterator[Checkpoint]:
    """Opens a checkpoint.

    Args:
        source: Path of a `.safetensors` or `.npz` file; a dict of arrays; or a
            model of PyTorch.

    Raises:
        ImportError: safetensors is not installed.
        ValueError: The source is of another kind, is a pickle, is damaged or
            has sharded tensors.
    """
    if hasattr(source, "named_modules") and hasattr(source, "state_dict"):
        source = source.state_dict()
    if isinstance(source, Mapping):
        yield StateDict(source)
    elif not isinstance(source, str | Path):
        raise ValueError(
            "`source` must be a path of a .safetensors or .npz file, a dict "
            "of arrays, or a PyTorch model. "
            f"Received: source={shown(source)} (of type "
            f"{type(source).__name__})"
        )
    elif Path(source).suffix == ".safetensors":
        with _safetensors(Path(source)) as file:
            yield SafetensorsFile(file)
    elif Path(source).suffix == ".npz":
        with _npz(Path(source)) as arrays:
            yield NpzFile(arrays)
    else:
        raise _unreadable(Path(source))


@contextmanager
def _safetensors(path: Path) -> Iterator[Any]:
    try:
        import ml_dtypes  # noqa: F401  NumPy's bfloat16; Keras needs it too
        import safetensors
    except ImportError as error:
        raise ImportError(
            "Files of safetensors are read by the package safetensors: "
            'pip install "keras-pss[safetensors]". '
            f"Received: source={str(path)!r}"
        ) from error
    _check_there(path)
    try:
        file = safetensors.safe_open(path, framework="np")
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"The file is damaged or not of safetensors: {error}. "
            f"Received: source={str(path)!r}"
        ) from error
    with file:
        yield file


@contextmanager
def _npz(path: Path) -> Iterator[Arrays]:
    _check_there(path)
    # The body of the caller's `with` reads as well.
    try:
        with open_arrays(path) as arrays:
            if any(name.endswith("data.pkl") for name in arrays.names):
                raise _unreadable(path)
            yield arrays
    except DamagedArraysError as error:
        raise ValueError(
            "The file is damaged, compressed or not of `numpy.savez`, which "
            "writes arrays that can be read safely (`numpy.savez_compressed` "
            f"does not): {error}. Received: source={str(path)!r}"
        ) from error


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no such file. Received: source={str(path)!r}"
        )


def _unreadable(path: Path) -> ValueError:
    """The error about a file of another kind, such as a pickle."""
    pickled = path.suffix in PICKLES or path.suffix == ".npz"
    why = (
        "The file is a pickle, which can run any code when it is read, so it "
        "is never opened. "
        if pickled
        else "`source` must be a .safetensors or .npz file. "
    )
    out = str(path.with_suffix(".safetensors"))
    lines = TO_SAFETENSORS.format(path=str(path), out=out)
    return ValueError(
        f"{why}Convert a checkpoint of PyTorch that you trust, after `import "
        f"torch, safetensors.torch`:\n{lines}\n"
        f"Received: source={str(path)!r}"
    )


def _info(key: str, value: Any) -> ArrayInfo:
    kind = type(value).__name__
    if kind in SHARDED:
        raise ValueError(
            "Each process holds only a part of a sharded tensor. Gather the "
            "state dict first: `torch.distributed.checkpoint.state_dict."
            "get_model_state_dict(model, options=StateDictOptions("
            "full_state_dict=True, cpu_offload=True))`. "
            f"Received: {key!r} of type {kind}"
        )
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return ArrayInfo(None, kind, False)
    dtype = _name(value.dtype)
    if getattr(value, "is_meta", False) or getattr(value, "is_sparse", False):
        return ArrayInfo(tuple(value.shape), f"{dtype} without rows", False)
    return ArrayInfo(tuple(value.shape), dtype, dtype in FLOATS)


def _name(dtype: Any) -> str:
    """Name of a dtype of any library, whatever the order of its bytes."""
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")
