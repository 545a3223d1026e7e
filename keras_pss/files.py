"""Folders and files that appear under their name only when complete.

This is the one place that stages, syncs and renames. What is written lies in
a folder beside its target, `.NAME.HOST-TOKEN.tmp`, until it is complete and
on the disk. The process that writes it holds a lock in there. A folder whose
lock is free was left by a process that was killed: the next writer to the
same target removes it, and first gives back what the kill left moved aside.
The file is long because this protocol is told and kept in one place.
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
_MAX_NAME = 120  # bytes of a target's name that its staging folder repeats

# What a rename of a folder answers where it would have to replace something.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class TargetExistsError(FileExistsError, ValueError):
    """Something is under the name, and it may not be replaced."""


@contextmanager
def complete_folder(
    path: Path,
    overwrite: bool,
    kind: str,
    is_kind: Callable[[Path], bool],
    argument: str = "out",
) -> Iterator[Path]:
    """A new folder elsewhere, which gets the name `path` at the end.

    An exception, Ctrl-C included, removes the new folder and leaves `path` as
    it was. Whatever appears under `path` meanwhile is kept as well, unless it
    may be replaced.

    Args:
        path: The final name: not there yet, or an empty folder. Behind a
            link, the folder itself.
        overwrite: Replace a folder of the same kind.
        kind: What the folder is, for the messages: "a SavedModel".
        is_kind: Tells whether a folder is of this kind, so that a wrong path
            does not delete something else.
        argument: What the caller calls `path`, for the messages.

    Raises:
        TargetExistsError: `path` exists and may not be replaced; raised at
            the end if it appeared meanwhile.
    """
    received = f"Received: {argument}={str(path)!r}"
    path = path.resolve()

    def may_go(found: Path) -> bool:
        with suppress(FileNotFoundError):
            return found.is_dir() and (
                not any(found.iterdir()) or (overwrite and is_kind(found))
            )
        return False

    def check(found: Path) -> None:
        """Raises unless what is there may be replaced."""
        while (before := _identity(found)) and not may_go(found):
            if _identity(found) != before:
                continue  # Another writer has replaced it meanwhile.
            if overwrite:
                raise TargetExistsError(
                    f"`overwrite` replaces {kind} and nothing else. Choose "
                    f"another name. {received}, which holds something else."
                )
            raise TargetExistsError(
                f"`{argument}` must be a new or empty folder. Choose another "
                "one, or give overwrite (--overwrite) to replace it. "
                f"{received}, which is there already."
            )

    check(path)
    if os.path.ismount(path):
        raise ValueError(
            f"`{argument}` cannot be a mount point, because it is renamed "
            f"when it is complete. Give a folder in it. {received}"
        )
    with _staging(path) as staging:
        new = staging / _NEW
        new.mkdir()
        yield new
        _sync_tree(new)
        _move_folder(new, path, staging / _OLD, check)
        _sync(path.parent)


@contextmanager
def complete_file(
    path: Path, overwrite: bool = True, argument: str = "path"
) -> Iterator[Path]:
    """A file elsewhere to write, which gets the name `path` at the end.

    It has the same name in another folder. An exception removes it and leaves
    `path` as it was.

    Args:
        path: The final name; behind a link, the file itself.
        overwrite: Replace a file that is there.
        argument: What the caller calls `path`, for the messages.

    Raises:
        TargetExistsError: `path` exists and may not be replaced; raised at
            the end if it appeared meanwhile.
    """
    taken = TargetExistsError(
        f"`{argument}` must be a new file. Choose another one, or give "
        "overwrite (--overwrite) to replace it. Received: "
        f"{argument}={str(path)!r}, which is there already."
    )
    if path.is_dir():
        raise TargetExistsError(
            f"`{argument}` must be a file. Choose another name. Received: "
            f"{argument}={str(path)!r}, which is a folder."
        )
    path = path.resolve()
    if not overwrite and path.exists():
        raise taken
    with _staging(path) as staging:
        (staging / _NEW).mkdir()
        part = staging / _NEW / path.name
        yield part
        _sync(part)
        if overwrite:
            os.replace(part, path)
        else:
            try:
                _move_to_new_file(part, path)
            except FileExistsError:
                raise taken from None
        _sync(path.parent)


def write_text(text: str, path: Path) -> None:
    """Writes a text file in one piece."""
    with complete_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Writes a JSON file in one piece."""
    write_text(json.dumps(content, indent=2) + "\n", path)


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
        path: The file.
        fix: What to do where it does not, for the message.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or another kind of file.
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
    """Renames `new` to `path`, what is there and passes `check` to `old`."""
    while True:
        try:
            # A folder takes the place of nothing or of an empty folder: the
            # system refuses anything else, however late it appeared.
            os.rename(new, path)
            return
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        check(path)
        # Of an earlier turn: another writer has replaced it since.
        shutil.rmtree(old, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.rename(path, old)
            check(old)  # it may be another one than a moment ago


def _move_to_new_file(part: Path, path: Path) -> None:
    """Renames a file, or raises FileExistsError where `path` exists."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without links, an empty file claims the name first.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(part, path)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A locked folder beside a target, which is removed at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_litter(target)
    folder, lock = _locked_folder(target)
    try:
        yield folder
    finally:
        _give_back(folder, target)
        if lock is not None:
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """Tells what has a name from another that takes it; None for nothing."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _give_back(folder: Path, target: Path) -> None:
    """Moves back what was moved aside and never replaced."""
    old = folder / _OLD
    if not old.exists() or not (folder / _NEW).exists():
        return
    try:
        os.rename(old, target)
    except OSError:  # Another one has the name now; nothing is deleted.
        os.rename(old, target.with_name(f"{target.name}.old-{_token()}"))


def _remove_litter(target: Path) -> None:
    """Removes what killed processes of this machine left of a target."""
    name = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{8}\.tmp")
    found = [n for n in os.listdir(target.parent) if name.fullmatch(n)]
    for folder in map(target.with_name, found):
        with suppress(OSError):  # It is in use, or gone.
            if os.lstat(folder).st_uid != os.geteuid():
                continue
            lock = _lock(folder)
            try:
                _give_back(folder, target)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _locked_folder(target: Path) -> tuple[Path, int | None]:
    """A new folder beside a target, and the descriptor that locks it."""
    while True:
        folder = target.with_name(f"{_prefix(target)}{_token()}.tmp")
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            # The user has never heard of the folder's name.
            place = str(target.parent)
            raise OSError(error.errno, error.strerror, place) from None
        try:
            return folder, _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # Another process has just taken it for litter.
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return folder, None  # Where nobody gets a lock, litter stays.


def _lock(folder: Path) -> int:
    """Locks a staging folder until the descriptor is closed.

    Raises:
        BlockingIOError: Another process holds the lock.
        OSError: The folder is gone, or the file system has no locks.
    """
    path = folder / _LOCK
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file), os.stat(path)):
            raise BlockingIOError(errno.EAGAIN, "removed meanwhile", str(path))
    except BaseException:
        os.close(file)
        raise
    return file


def _prefix(target: Path) -> str:
    """How the names of a target's staging folders on this machine begin."""
    name = target.name
    if len(os.fsencode(name)) > _MAX_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    # Locks may not reach across machines that share a disk.
    host = re.sub(r"\W", "-", platform.node())[:32]
    return f".{name}.{host}-"


def _token() -> str:
    return uuid.uuid4().hex[:8]


def _sync_tree(folder: Path) -> None:
    """Puts all files of a folder, and the folder itself, on the disk."""
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
        # Some file systems do not sync folders.
        if error.errno not in (errno.EINVAL, *_NO_LOCKS):
            raise
    finally:
        os.close(file)
