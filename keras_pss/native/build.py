"""Compiles the kernels with CMake into the cache they are loaded from."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_pss.files import complete_folder
from keras_pss.native import library

# Receives how many files are compiled or being compiled, how many there are,
# and the name of the last one.
Progress = Callable[[int, int, str], None]

# What Make and Ninja say when a compiler starts.
_STEP = re.compile(r"\[[^]]*\] Building \w+ object (.*)\.o$")


class BuildError(Exception):
    """The library could not be built; the message says how to fix it."""


def installed() -> list[str]:
    """The installed frameworks that kernels can be built for."""
    return [
        framework
        for framework in library.FRAMEWORKS
        if importlib.util.find_spec(framework) is not None
    ]


def build(
    framework: str,
    cuda: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Builds the library of one framework, unless it is up to date.

    Args:
        framework: `"tensorflow"` or `"jax"`; it must be installed.
        cuda: Whether to compile the CUDA kernels as well. Default: False.
        force: Whether to rebuild a library that is up to date. Default: False.
        progress: Function that is called when a file is compiled, with how
            many are compiled or being compiled, how many there are, and the
            file. Default: None.

    Returns:
        The path of the library.

    Raises:
        BuildError: If a tool or source is missing, or compilation fails.
    """
    if cuda and shutil.which("nvcc") is None:
        raise BuildError(
            "`nvcc` was not found. Install the CUDA toolkit, or build without "
            "the CUDA kernels."
        )
    # The package metadata is checked first: importing a framework to get its
    # version takes seconds.
    ready = _ready(framework, _version(framework), cuda)
    if ready and not force:
        return ready
    described = _describe(framework)
    where = library.place(framework, described["version"])
    if where is None:
        raise BuildError(
            "The sources of the kernels, the folder custom_ops, are missing. "
            "Install keras-pss from a wheel or a checkout."
        )
    ready = _ready(framework, described["version"], cuda)
    if ready and not force:
        return ready
    wanted = _manifest(where, cuda)
    file = where.folder / library.FILE
    source = library.source_folder()
    _make_cache(where.folder.parent)
    with (
        complete_folder(
            where.folder, True, "a library of kernels", _is_library, "cache"
        ) as done,
        tempfile.TemporaryDirectory(prefix="keras_pss-") as folder,
    ):
        built = _compile(Path(folder), source, described, cuda, progress)
        shutil.copy(built, done / library.FILE)
        wanted["sha256"] = library.checksum(built)
        (done / library.MANIFEST).write_text(json.dumps(wanted, indent=2))
        # Independent of the umask, since files that other users can write to
        # are not loaded.
        for path, mode in (done, 0o755), *((f, 0o644) for f in done.iterdir()):
            path.chmod(mode)
    return file


def _is_library(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    return names <= {library.FILE, library.MANIFEST}


def _version(framework: str) -> str | None:
    """A framework's version by its package metadata; None if not found."""
    names = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jaxlib",)}
    for name in names.get(framework, ()):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _manifest(where: library.Place, cuda: bool) -> dict[str, Any]:
    """The manifest of a library if it were built now."""
    return {
        "framework": where.framework,
        "version": where.version,
        "sources": where.sources,
        "compiler": _compiler(),
        "cuda": cuda,
    }


def _ready(framework: str, version: str | None, cuda: bool) -> Path | None:
    """The library for a version if it is intact and up to date, else None."""
    where = library.place(framework, version) if version else None
    if where is None:
        return None
    known = library.manifest(where.folder) or {}
    file = where.folder / library.FILE
    wanted = _manifest(where, cuda)
    if any(known.get(key) != value for key, value in wanted.items()):
        return None
    whole = file.is_file() and library.checksum(file) == known.get("sha256")
    return file if whole and not library.unsafe(file) else None


def _make_cache(folder: Path) -> None:
    """Creates the cache; raises if libraries in it would not be loaded."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        why = library.unsafe(folder)
    except OSError as error:
        raise BuildError(
            "The kernels are stored in the user's cache folder, which is not "
            "writable. Set KERAS_PSS_CACHE to another folder. "
            f"Received: {folder} ({error.strerror})"
        ) from error
    if why:
        raise BuildError(
            f"Kernels in the cache would not be loaded, since {why}. Remove "
            "write access for others (chmod go-w), or set KERAS_PSS_CACHE to a "
            "folder that only you can write to."
        )


def _compile(
    folder: Path,
    source: Path | None,
    described: dict[str, Any],
    cuda: bool,
    progress: Progress | None,
) -> Path:
    """Runs CMake in a folder; returns the path of the library."""
    cmake = _cmake()
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_EXPORT_COMPILE_COMMANDS": "ON",  # which the progress counts
        "KERAS_PSS_CUDA": "ON" if cuda else "OFF",
        **described["options"],
    }
    configure = [cmake, "-S", str(source), "-B", str(folder)]
    configure += [f"-D{key}={value}" for key, value in options.items()]
    if shutil.which("ninja"):
        # Make compiles the framework's files only after those of the core.
        configure += ["-G", "Ninja"]
    jobs = str(os.cpu_count() or 1)
    for command in configure, [cmake, "--build", str(folder), "-j", jobs]:
        status, said = _run(command, folder, progress)
        if status:
            raise BuildError(
                "The kernels did not compile. Everything works without them, "
                "but slower.\n" + "\n".join([" ".join(command), *said[-30:]])
            )
    return folder / library.FILE


def _run(
    command: Sequence[str], folder: Path, progress: Progress | None
) -> tuple[int, list[str]]:
    """Runs a command and reports progress; returns its status and output."""
    said: list[str] = []
    begun = 0
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout
        for line in process.stdout:
            said.append(line.rstrip())
            step = _STEP.match(line)
            if step and progress:
                begun += 1
                progress(begun, _count(folder), Path(step[1]).name)
    return process.returncode, said


def _count(folder: Path) -> int:
    """Number of files that a configured folder compiles."""
    listed = folder / "compile_commands.json"
    return len(json.loads(listed.read_text(encoding="utf-8")))


def _describe(framework: str) -> dict[str, Any]:
    """The version of a framework, and the CMake options to build for it."""
    if framework not in library.FRAMEWORKS:
        raise BuildError(
            f"Kernels are built for {' or '.join(library.FRAMEWORKS)}. "
            f"Received: {framework!r}"
        )
    # A separate process loads neither the other framework nor an old library.
    asked = subprocess.run(
        [sys.executable, "-c", _QUESTIONS[framework]],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if asked.returncode:
        raise BuildError(
            f"{framework} cannot be imported. Install it first.\n"
            + asked.stderr.strip()[-500:]
        )
    return json.loads(asked.stdout.strip().splitlines()[-1])


_QUESTIONS = {
    "tensorflow": """
import json, tensorflow as tf
print(json.dumps({"version": tf.__version__, "options": {
    "KERAS_PSS_FRAMEWORK": "tensorflow",
    "KERAS_PSS_INCLUDE": tf.sysconfig.get_include(),
    "KERAS_PSS_LIBRARIES": tf.sysconfig.get_lib(),
    "KERAS_PSS_CXX11_ABI": tf.sysconfig.CXX11_ABI_FLAG,
}}))
""",
    "jax": """
import json, jax, jaxlib
print(json.dumps({"version": jaxlib.version.__version__, "options": {
    "KERAS_PSS_FRAMEWORK": "jax",
    "KERAS_PSS_INCLUDE": jax.ffi.include_dir(),
}}))
""",
}


def _compiler() -> str:
    """The first line of the C++ compiler's `--version`."""
    command: Sequence[str] = [os.environ.get("CXX") or "g++", "--version"]
    if shutil.which(command[0]) is None:
        raise BuildError(
            f"No C++ compiler: `{command[0]}` was not found. Install g++ (on "
            "Debian: apt-get install g++), or set CXX. Everything works "
            "without the kernels, but slower."
        )
    said = subprocess.run(command, capture_output=True, text=True).stdout
    return said.splitlines()[0] if said else command[0]


def _cmake() -> str:
    """The path of CMake, from the system or from its PyPI package."""
    found = shutil.which("cmake")
    beside = Path(sys.executable).parent / "cmake"
    if found is None and beside.is_file():
        found = str(beside)
    if found is None:
        raise BuildError(
            "`cmake` was not found. Install it with `pip install cmake`."
        )
    return found
