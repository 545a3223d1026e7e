"""Libraries of kernels: what they were built for, and where they are stored.

A library is for one version of one framework, one machine architecture and one
version of the sources; all of them are part of its folder's name. A library
that does not match is never loaded.
"""

import functools
import hashlib
import json
import os
import platform
import stat
import warnings
from pathlib import Path
from typing import Any, NamedTuple

FRAMEWORKS = ("tensorflow", "jax")
ROOT_USER = 0
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
FILE = "keras_pss.so"
MANIFEST = "manifest.json"


class Place(NamedTuple):
    """The location of a framework's library.

    Attributes:
        framework, version: The framework that it is compiled for.
        sources: Digest of the sources.
        folder: Folder of the library and its manifest.
    """

    framework: str
    version: str
    sources: str
    folder: Path


class NativeWarning(UserWarning):
    """Kernels were built but cannot be used."""


def cache() -> Path:
    """The folder of all libraries: `$KERAS_PSS_CACHE`, or the user's cache."""
    given = os.environ.get("KERAS_PSS_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "keras_pss"


@functools.lru_cache
def source_folder() -> Path | None:
    """The folder `custom_ops`, of the installed package or of the checkout."""
    package = Path(__file__).parents[1]
    for parent in (package, package.parent):
        folder = parent / "custom_ops"
        if (folder / "CMakeLists.txt").is_file():
            return folder
    return None


def source_files(folder: Path) -> list[Path]:
    """The source files of a library, in a fixed order."""
    kinds = (".h", ".cc", ".cu", ".txt")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in kinds and "tests" not in path.parts
    )


@functools.lru_cache
def place(framework: str, version: str) -> Place | None:
    """The location of a framework's library; None without sources."""
    folder = source_folder()
    if folder is None:
        return None
    digest = hashlib.sha256()
    for path in source_files(folder):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    sources = digest.hexdigest()[:16]
    name = f"{framework}-{version}-{platform.machine()}-{sources}"
    return Place(framework, version, sources, cache() / name)


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a library; None if it is missing or damaged."""
    try:
        return json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None


def has_cuda(library: Path) -> bool:
    """Whether a library contains CUDA kernels."""
    return bool((manifest(library.parent) or {}).get("cuda"))


def unsafe(path: Path) -> str:
    """Why a file or folder must not be loaded from; "" if it is safe.

    A library runs with the user's rights, and whoever wrote it could write the
    checksum, too. So its file and all parent folders must belong to the user
    or to root. Nobody else may write to the file, its folder and the cache; a
    world-writable folder above them must be sticky, as /tmp is.
    """
    if not hasattr(os, "getuid"):
        return ""
    path = path.resolve()
    inner = {cache().resolve(), path, *path.parents[:1]}
    for each in (path, *path.parents):
        found = each.stat()
        if found.st_uid not in (ROOT_USER, os.getuid()):
            return f"{each} belongs to another user (uid {found.st_uid})"
        open_to = WRITABLE_BY_OTHERS if each in inner else stat.S_IWOTH
        sticky = found.st_mode & stat.S_ISVTX and each not in inner
        if found.st_mode & open_to and not sticky:
            return f"{each} can be written by other users"
    return ""


def find(framework: str, version: str) -> Path | None:
    """The path of the library for a version of a framework, or None.

    Warns, with a fix, if there is a library that cannot be used or if the
    cache cannot be read: lookups never fail because of it.
    """
    try:
        return _found(framework, version)
    except (OSError, RuntimeError) as error:
        # There is no home folder (RuntimeError), or it cannot be read.
        _warn(
            f"cannot be searched for ({error}): set KERAS_PSS_CACHE to a "
            "readable folder"
        )
        return None


def _found(framework: str, version: str) -> Path | None:
    where = place(framework, version)
    if where is None:
        return None
    library = where.folder / FILE
    try:
        where.folder.stat()
    except FileNotFoundError:
        other = _built_for_others(where)
        if other:
            _warn(f"were built for {other}, not for what is installed here")
        return None
    known = manifest(where.folder)
    try:
        whole = known is not None and checksum(library) == known["sha256"]
    except (OSError, KeyError, TypeError):
        whole = False
    if not whole:
        _warn(f"in {where.folder} are damaged")
        return None
    why = unsafe(library) or unsafe(where.folder / MANIFEST)
    if why:
        _warn(
            f"are not loaded, since {why}. Remove write access for others "
            "(chmod go-w), or delete it"
        )
        return None
    return library


def _built_for_others(where: Place) -> str:
    """Describes a library built for another version or other sources."""
    for folder in sorted(cache().glob(f"{where.framework}-*")):
        known = manifest(folder) or {}
        if known.get("framework") != where.framework:
            continue
        if known.get("version") != where.version:
            return f"{where.framework} {known.get('version')}"
        if known.get("sources") != where.sources:
            return f"another version of keras_pss ({known.get('sources')})"
    return ""


def _warn(what: str) -> None:
    warnings.warn(
        f"The native kernels {what}. Lookups take the slower path. Build them "
        "with `keras-pss build-ops`, or set KERAS_PSS_NATIVE=0 to silence "
        "this warning.",
        NativeWarning,
        stacklevel=2,
    )
