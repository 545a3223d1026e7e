"""Safe reading of untrusted `.npz` files.

NumPy trusts the sizes in an array's header and in the archive, so a file of
1 MB can allocate 1 GB. Here, every size is compared with the size of the file
before data is read, and nothing is ever unpickled.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


class DamagedArraysError(ValueError):
    """A file is damaged or not an `.npz` file."""


class Arrays:
    """Arrays of an open `.npz` file, each read on access."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self.names = [n.removesuffix(".npy") for n in archive.namelist()]

    def __getitem__(self, name: str) -> np.ndarray:
        """Reads an array, which is read-only.

        Raises:
            DamagedArraysError: There is no such array, or it is damaged.
        """
        with _damage(), self._archive.open(f"{name}.npy") as file:
            shape, fortran, dtype = _header(file, self._size(name))
            order: Literal["F", "C"] = "F" if fortran else "C"
            return np.ndarray(shape, dtype, file.read(), order=order)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array; only its header is read."""
        return self.header(name)[0]

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """The shape and dtype of an array; only its header is read."""
        with _damage(), self._archive.open(f"{name}.npy") as file:
            shape, _, dtype = _header(file, self._size(name))
            return shape, dtype

    def _size(self, name: str) -> int:
        return self._archive.getinfo(f"{name}.npy").file_size


@contextmanager
def open_arrays(path: str | Path) -> Iterator[Arrays]:
    """Opens an `.npz` file that `numpy.savez` wrote.

    Raises:
        OSError: The file cannot be opened.
        DamagedArraysError: The file is damaged or not an `.npz` file.
    """
    with open(path, "rb") as file:
        with _damage():
            archive = zipfile.ZipFile(file)
            held = os.fstat(file.fileno()).st_size
            unpacked = sum(info.file_size for info in archive.infolist())
            if unpacked > held:
                raise ValueError(f"{held} bytes unpack to {unpacked}")
            arrays = Arrays(archive)
        with archive:
            yield arrays


@contextmanager
def _damage() -> Iterator[None]:
    """Turns every error that a damaged file causes into one type."""
    try:
        yield
    except DamagedArraysError:
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen types
        words = str(error)[:200]
        raise DamagedArraysError(f"{type(error).__name__}: {words}") from error


def _header(file: IO[bytes], size: int) -> Header:
    """Reads a `.npy` header and checks it against the size of its file."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    elif version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    else:
        raise ValueError(f"an array of format {version}")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    if min(shape, default=0) < 0 or (
        prod(shape) * dtype.itemsize != size - file.tell()
    ):
        raise ValueError(f"an array of shape {shape} in {size} bytes")
    return shape, fortran, dtype
