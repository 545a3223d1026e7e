"""Atomic writes: folders and files get their names only when complete.

This is the only module that stages, syncs and renames. Output is written to a
staging folder beside its target, `.NAME.HOST-TOKEN.tmp`, until it is complete
and on disk. The writing process holds a lock in that folder. A staging folder
whose lock is free was left by a killed process: the next writer to the same
target removes it, after restoring an old target that the killed process had
moved aside and not replaced.
The module is long because the whole protocol is kept in one place.
"""

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_LOCK, _NEW, _OLD = "lock", "new", "old"
_MAX_NAME = 120  # bytes; longer target names are hashed in staging names

# Errors of renaming a folder to a name that is in use.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class TargetExistsError(FileExistsError, ValueError):
    """The target exists and may not be replaced."""


@contextmanager
def complete_folder(
    path: Path,
    overwrite: bool,
    kind: str,
    is_kind: Callable[[Path], bool],
    argument: str = "out",
) -> Iterator[Path]:
    """Yields a staging folder that is renamed to `path` on success.

    An exception, including Ctrl-C, removes the staging folder and leaves
    `path` unchanged. A file or folder that another process creates at `path`
    in the meantime is also kept, unless it may be replaced.

    Args:
        path: The target: a folder that does not exist yet or is empty.
            Symbolic links are resolved.
        overwrite: Whether to replace a folder of the same kind.
        kind: Kind of the folder in error messages, such as "a SavedModel".
        is_kind: Function that returns whether a folder is of this kind, so
            that a wrong path does not delete other data.
        argument: The caller's name for `path` in error messages.

    Raises:
        TargetExistsError: `path` exists and may not be replaced. It is raised
            at the end if `path` was created in the meantime.
    """
    received = f"Received: {argument}={str(path)!r}"
    path = path.resolve()

    def check(found: Path) -> None:
        _check_free(found, overwrite, kind, is_kind, argument, received)

    check(path)
    if os.path.ismount(path):
        raise ValueError(
            f"`{argument}` cannot be a mount point, because a complete "
            f"folder is renamed to it. Give a folder inside it. {received}"
        )
    with _staging(path) as staging:
        new = staging / _NEW
        new.mkdir()
        yield new
        _sync_tree(new)
        _move_folder(new, path, staging / _OLD, check)
        _sync(path.parent)


def check_folder(
    path: Path, overwrite: bool, kind: str, argument: str = "out"
) -> None:
    """Raises what `complete_folder` would, before there is anything to write.

    Args:
        path, overwrite, kind, argument: As in `complete_folder`. What a folder
            that is to be replaced holds is not looked at.
    """
    received = f"Received: {argument}={str(path)!r}"
    path = path.resolve()
    _check_free(path, overwrite, kind, lambda found: True, argument, received)


def _check_free(
    found: Path,
    overwrite: bool,
    kind: str,
    is_kind: Callable[[Path], bool],
    argument: str,
    received: str,
) -> None:
    """Raises unless `found` is missing or may be replaced."""

    def may_go() -> bool:
        with suppress(FileNotFoundError):
            return found.is_dir() and (
                not any(found.iterdir()) or (overwrite and is_kind(found))
            )
        return False

    while (before := _fingerprint(found)) and not may_go():
        if _fingerprint(found) != before:
            continue  # Another writer has replaced it in the meantime.
        if overwrite:
            raise TargetExistsError(
                f"`overwrite` replaces {kind} and nothing else. Choose "
                f"another name. {received}, which holds other data."
            )
        raise TargetExistsError(
            f"`{argument}` must be a new or empty folder. Choose another "
            "one, or give overwrite (--overwrite) to replace it. "
            f"{received}, which already exists."
        )


@contextmanager
def complete_file(
    path: Path,
    overwrite: bool = True,
    argument: str = "path",
    previous: Path | None = None,
) -> Iterator[Path]:
    """Yields a staging path whose file is renamed to `path` on success.

    The staging path has the same file name in another folder. An exception
    removes the file and leaves `path` unchanged.

    Args:
        path: The target file. Symbolic links are resolved.
        overwrite: Whether to replace an existing file.
        argument: The caller's name for `path` in error messages.
        previous: Where the replaced file is kept, in the same folder. A
            process that is killed in between leaves it there and no `path`.
            Default: None, it is not kept.

    Raises:
        TargetExistsError: `path` exists and may not be replaced. It is raised
            at the end if `path` was created in the meantime.
    """
    check_file(path, overwrite, argument)
    taken = _taken(path, argument)
    path = path.resolve()
    with _staging(path) as staging:
        (staging / _NEW).mkdir()
        part = staging / _NEW / path.name
        yield part
        _sync(part)
        if overwrite:
            if previous is not None and path.exists():
                os.replace(path, previous)
            os.replace(part, path)
        else:
            try:
                _move_to_new_file(part, path)
            except FileExistsError:
                raise taken from None
        _sync(path.parent)


def check_file(path: Path, overwrite: bool, argument: str = "out") -> None:
    """Raises what `complete_file` would, before there is anything to write.

    Args:
        path, overwrite, argument: As in `complete_file`.
    """
    if path.is_dir():
        raise TargetExistsError(
            f"`{argument}` must be a file. Choose another name. Received: "
            f"{argument}={str(path)!r}, which is a folder."
        )
    if not overwrite and path.resolve().exists():
        raise _taken(path, argument)


def _taken(path: Path, argument: str) -> "TargetExistsError":
    return TargetExistsError(
        f"`{argument}` must be a new file. Choose another one, or give "
        "overwrite (--overwrite) to replace it. Received: "
        f"{argument}={str(path)!r}, which already exists."
    )


def write_text(text: str, path: Path) -> None:
    """Writes a text file atomically."""
    with complete_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Writes a JSON file atomically."""
    write_text(json.dumps(content, indent=2) + "\n", path)


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
        path: The file.
        fix: What to do about an invalid file, for the error message.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not valid JSON or does not hold an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        words = f"{type(error).__name__}: {str(error)[:200]}"
        raise ValueError(
            f"{path} is not valid JSON. {fix} Received: {words}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} must hold a JSON object. {fix} "
            f"Received: {type(content).__name__}"
        )
    return content


def _move_folder(
    new: Path, path: Path, old: Path, check: Callable[[Path], None]
) -> None:
    """Renames `new` to `path`; a `path` that passes `check` becomes `old`."""
    while True:
        try:
            # The system renames a folder only to a free name or over an empty
            # folder, so nothing created since the check is lost.
            os.rename(new, path)
            return
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        check(path)
        # `old` is left from an earlier iteration, after which another writer
        # took the name.
        shutil.rmtree(old, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.rename(path, old)
            check(old)  # it may have been replaced since the last check


def _move_to_new_file(part: Path, path: Path) -> None:
    """Renames a file; raises FileExistsError if `path` exists."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without hard links, an empty file reserves the name first.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(part, path)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Yields a locked folder beside a target and removes it at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(target)
    folder, lock = _locked_folder(target)
    try:
        yield folder
    finally:
        _restore(folder, target)
        if lock is not None:
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _fingerprint(path: Path) -> tuple[int, int] | None:
    """Device and inode of a path, or None if it does not exist."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _restore(folder: Path, target: Path) -> None:
    """Restores an old target that was moved aside and not replaced."""
    old = folder / _OLD
    if not old.exists() or not (folder / _NEW).exists():
        return
    try:
        os.rename(old, target)
    except OSError:  # The name is in use again; nothing is deleted.
        os.rename(old, target.with_name(f"{target.name}.old-{_token()}"))


def _remove_stale(target: Path) -> None:
    """Removes staging folders that killed processes of this host left."""
    name = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{8}\.tmp")
    found = [n for n in os.listdir(target.parent) if name.fullmatch(n)]
    for folder in map(target.with_name, found):
        with suppress(OSError):  # It is in use or was removed.
            if os.lstat(folder).st_uid != os.geteuid():
                continue
            lock = _lock(folder)
            try:
                _restore(folder, target)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _locked_folder(target: Path) -> tuple[Path, int | None]:
    """Creates a staging folder; returns it and its lock's descriptor."""
    while True:
        folder = target.with_name(f"{_prefix(target)}{_token()}.tmp")
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            # The name of the staging folder would mean nothing to the user.
            place = str(target.parent)
            raise OSError(error.errno, error.strerror, place) from None
        try:
            return folder, _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # Another process is removing it as stale.
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return folder, None  # Without locks, stale folders stay.


def _lock(folder: Path) -> int:
    """Locks a staging folder until the descriptor is closed.

    Raises:
        BlockingIOError: Another process holds the lock.
        OSError: The folder was removed, or the file system has no locks.
    """
    path = folder / _LOCK
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file), os.stat(path)):
            raise BlockingIOError(errno.EAGAIN, "removed", str(path))
    except BaseException:
        os.close(file)
        raise
    return file


def _prefix(target: Path) -> str:
    """Prefix of the names of a target's staging folders on this host."""
    name = target.name
    if len(os.fsencode(name)) > _MAX_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    # Locks may not reach across machines that share a disk.
    host = re.sub(r"\W", "-", platform.node())[:32]
    return f".{name}.{host}-"


def _token() -> str:
    return uuid.uuid4().hex[:8]


def _sync_tree(folder: Path) -> None:
    """Flushes all files of a folder, and the folder itself, to disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            if stat.S_ISREG(os.lstat(os.path.join(place, name)).st_mode):
                _sync(Path(place, name))
        _sync(Path(place))


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        # Some file systems cannot sync folders.
        if error.errno not in (errno.EINVAL, *_NO_LOCKS):
            raise
    finally:
        os.close(file)
