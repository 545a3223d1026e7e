"""Compiles the kernels with CMake, to the folder where they are looked for."""

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

from keras_pss.native import library

# Percent done, and what is being compiled.
Progress = Callable[[int, str], None]

_STEP = re.compile(r"\[ *(\d+)%\] (.*)")


class BuildError(Exception):
    """Why there is no library, and what to do."""


def installed() -> list[str]:
    """The frameworks that kernels can be built for here."""
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
    """Builds the library of one framework, unless it is there already.

    Args:
        framework: `"tensorflow"` or `"jax"`, installed.
        cuda: Whether to compile the CUDA kernels as well.
        force: Builds anew what is there.
        progress: Called with the part that is done, in percent, and with what
            the compiler works on, while it compiles.

    Returns:
        The library.

    Raises:
        BuildError: If something is missing or does not compile.
    """
    if cuda and shutil.which("nvcc") is None:
        raise BuildError("`nvcc` was not found. Install CUDA or leave it out.")
    # Asked of the installed packages first: to import a framework for its
    # version takes seconds.
    ready = _ready(framework, _version(framework), cuda)
    if ready and not force:
        return ready
    described = _describe(framework)
    where = library.place(framework, described["version"])
    if where is None:
        raise BuildError(
            "The sources of the kernels, the folder custom_ops, are not here. "
            "Install keras-pss from a wheel or a checkout."
        )
    ready = _ready(framework, described["version"], cuda)
    if ready and not force:
        return ready
    wanted = _manifest(where, cuda)
    file = where.folder / library.FILE
    source = library.source_folder()
    _make_cache(where.folder.parent)
    with tempfile.TemporaryDirectory(
        prefix=".build-", dir=where.folder.parent
    ) as folder:
        built = _compile(Path(folder), source, described, cuda, progress)
        done = Path(folder) / "done"
        done.mkdir()
        shutil.copy(built, done / library.FILE)
        wanted["sha256"] = library.checksum(built)
        (done / library.MANIFEST).write_text(json.dumps(wanted, indent=2))
        # Whatever the umask is: what others may write to is not loaded.
        for path, mode in (done, 0o755), *((f, 0o644) for f in done.iterdir()):
            path.chmod(mode)
        if where.folder.exists():
            shutil.rmtree(where.folder)
        try:
            done.rename(where.folder)
        except OSError:
            # Another process was faster with the same library.
            if not (where.folder / library.MANIFEST).is_file():
                raise
    return file


def _version(framework: str) -> str | None:
    """A framework's version as its package says; None where there is none."""
    names = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jaxlib",)}
    for name in names.get(framework, ()):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _manifest(where: library.Place, cuda: bool) -> dict[str, Any]:
    """What a library built here and now is of."""
    return {
        "framework": where.framework,
        "version": where.version,
        "sources": where.sources,
        "compiler": _compiler(),
        "cuda": cuda,
    }


def _ready(framework: str, version: str | None, cuda: bool) -> Path | None:
    """The library for a version, where it is whole and up to date."""
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
    """Makes the cache, or an error if what is in it would not be loaded."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        why = library.unsafe(folder)
    except OSError as error:
        raise BuildError(
            "The kernels are kept in the user's cache, which cannot be "
            "written. Set KERAS_PSS_CACHE to another folder. "
            f"Received: {folder} ({error.strerror})"
        ) from error
    if why:
        raise BuildError(
            f"Kernels in the cache would not be loaded, since {why}. Let only "
            "yourself write there (chmod go-w), or set KERAS_PSS_CACHE to a "
            "folder of your own."
        )


def _compile(
    folder: Path,
    source: Path | None,
    described: dict[str, Any],
    cuda: bool,
    progress: Progress | None,
) -> Path:
    """Runs CMake in a folder; returns the library."""
    cmake = _cmake()
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "KERAS_PSS_CUDA": "ON" if cuda else "OFF",
        **described["options"],
    }
    configure = [cmake, "-S", str(source), "-B", str(folder)]
    configure += [f"-D{key}={value}" for key, value in options.items()]
    jobs = str(os.cpu_count() or 1)
    for command in configure, [cmake, "--build", str(folder), "-j", jobs]:
        status, said = _run(command, progress)
        if status:
            raise BuildError(
                "The kernels did not compile; everything works without them, "
                "slower.\n" + "\n".join([" ".join(command), *said[-30:]])
            )
    return folder / library.FILE


def _run(
    command: Sequence[str], progress: Progress | None
) -> tuple[int, list[str]]:
    """The exit status and the lines of a command, told of as they come."""
    said = []
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
                progress(int(step[1]), step[2])
    return process.returncode, said


def _describe(framework: str) -> dict[str, Any]:
    """The version of a framework, and where its headers are."""
    if framework not in library.FRAMEWORKS:
        raise BuildError(
            f"Kernels are built for {' or '.join(library.FRAMEWORKS)}. "
            f"Received: {framework!r}"
        )
    # In a process of its own, so that it loads neither the other framework
    # nor an old library.
    asked = subprocess.run(
        [sys.executable, "-c", _QUESTIONS[framework]],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if asked.returncode:
        raise BuildError(
            f"{framework} does not load here. Install it first.\n"
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
    """The first line that the C++ compiler says of itself."""
    command: Sequence[str] = [os.environ.get("CXX") or "g++", "--version"]
    if shutil.which(command[0]) is None:
        raise BuildError(
            f"No C++ compiler: `{command[0]}` was not found. Install g++ (on "
            "Debian: apt-get install g++), or set CXX. Everything works "
            "without the kernels, slower."
        )
    said = subprocess.run(command, capture_output=True, text=True).stdout
    return said.splitlines()[0] if said else command[0]


def _cmake() -> str:
    """CMake, of the system or of its PyPI package."""
    found = shutil.which("cmake")
    beside = Path(sys.executable).parent / "cmake"
    if found is None and beside.is_file():
        found = str(beside)
    if found is None:
        raise BuildError(
            "`cmake` was not found. Install it with `pip install cmake`."
        )
    return found
