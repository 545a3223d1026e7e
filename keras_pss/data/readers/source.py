"""Bytes of plain and compressed files, and whole lines out of them.

A truncated or corrupt archive gives every byte that could be decompressed and
then `ArchiveError`.
"""

import hashlib
import lzma
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from keras_pss.data.readers.reasons import BAD_ARCHIVE, TOO_LONG

Sources = str | Path | Sequence[str | Path]

MAX_LINE = 1 << 20  # bytes; a Criteo row has about 250
MAX_RAW = 4096  # bytes of a broken line that are kept

_PLAIN_CHUNK = 1 << 20
# A zstd archive can hold 32,768 times its size: 128 MiB a chunk at most.
_PACKED_CHUNK = 1 << 12


class ArchiveError(OSError):
    """An archive ends too early or cannot be decompressed."""


class SourceChangedError(ValueError):
    """A file was written to while it was read."""


class Piece(NamedTuple):
    """Whole lines, or one broken line with the reason."""

    data: bytes
    reason: str = ""


@dataclass
class Source:
    """One input file, and what reading it to its end has found.

    Args:
        path: Where it lies.
    """

    path: Path
    size: int = field(init=False)  # bytes of the file
    bytes_read: int = field(default=0, init=False)
    lines: int = field(default=0, init=False)
    rows: int = field(default=0, init=False)
    sha256: str = field(default="", init=False)  # of the file as it lies
    complete: bool = field(default=True, init=False)  # no broken archive

    def __post_init__(self) -> None:
        self.size = self.path.stat().st_size

    @property
    def name(self) -> str:
        return self.path.name

    def chunks(self) -> Iterator[bytes]:
        """Decompressed bytes; fills in `size`, `bytes_read` and `sha256`.

        Raises:
            ArchiveError: After all bytes that could be decompressed.
            SourceChangedError: The file was written to meanwhile.
        """
        digest = hashlib.sha256()
        make = _decompressors().get(self.path.suffix.lower())
        read = self._read(digest, _PACKED_CHUNK if make else _PLAIN_CHUNK)
        try:
            yield from self._unpacked(read, make) if make else read
        finally:
            self.sha256 = digest.hexdigest()

    def _unpacked(
        self, read: Iterator[bytes], make: Callable[[], Any]
    ) -> Iterator[bytes]:
        given = 0
        try:
            for data in decompress(read, make):
                given += len(data)
                yield data
        except ArchiveError:
            self.complete = False
            reached = self.bytes_read
            for _ in read:  # the digest is that of the whole file
                pass
            yield from self._salvaged(make, reached, given)
            raise

    def _read(self, digest: Any, size: int) -> Iterator[bytes]:
        with open(self.path, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            self.size = before.st_size
            while chunk := file.read(size):
                digest.update(chunk)
                self.bytes_read += len(chunk)
                yield chunk
            after = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            return  # a pipe has no size
        sizes = {before.st_size, after.st_size, self.bytes_read}
        if len(sizes) > 1 or before.st_mtime_ns != after.st_mtime_ns:
            raise SourceChangedError(
                f"{self.path} was written to while it was read. Wait until "
                "it is complete, and begin again. Received: "
                f"{before.st_size} bytes at first, {self.bytes_read} read, "
                f"{after.st_size} at last"
            )

    def _salvaged(
        self, make: Callable[[], Any], reached: int, given: int
    ) -> Iterator[bytes]:
        """What an archive holds between the last whole chunk and its damage.

        A decompressor gives nothing of a chunk with an error in it, so the
        file is read once more, and that chunk byte by byte.

        Args:
            make: Makes a decompressor.
            reached: Bytes of the file up to the end of the broken chunk.
            given: Decompressed bytes that are known already.
        """
        if not self.path.is_file():
            return

        def chunks() -> Iterator[bytes]:
            with open(self.path, "rb") as file:
                for _ in range(max(0, reached - 1) // _PACKED_CHUNK):
                    yield file.read(_PACKED_CHUNK)
                while file.tell() < reached:
                    yield file.read(1)

        with suppress(ArchiveError):
            for data in decompress(chunks(), make):
                known = min(given, len(data))
                given -= known
                yield data[known:]


def checksum(path: Path) -> str:
    """SHA-256 of a file as it lies; equals `Source.sha256` once it is read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_sources(sources: Sources) -> list[Source]:
    """Checks one path or several.

    Raises:
        ValueError: No source, a directory, or a file that is named twice.
        FileNotFoundError: A file that is not there.
    """
    paths = [sources] if isinstance(sources, str | Path) else list(sources)
    if not paths:
        raise ValueError(
            "`sources` must name at least one file. Received: sources=[]. "
            "Check the pattern that the list was made from."
        )
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            raise ValueError(
                "`sources` must be files, not directories. Received: "
                f"{str(path)!r}. Pass sorted(Path({str(path)!r}).glob"
                "('*.tsv'))."
            )
        if not path.exists():
            raise FileNotFoundError(
                "`sources` must name files that exist. Received: "
                f"{str(path)!r}. Check the path."
            )
        found.append(Source(path))
    for path, times in Counter(s.path.resolve() for s in found).items():
        if times > 1:  # its rows would be in training and test alike
            raise ValueError(
                "`sources` must name each file once. Received: "
                f"{str(path)!r} {times} times. Remove the repetition."
            )
    return found


def decompress(
    chunks: Iterable[bytes], make: Callable[[], Any]
) -> Iterator[bytes]:
    """Decompresses a file of one or several members.

    Args:
        chunks: The file's bytes.
        make: Makes a decompressor with `decompress`, `eof`, `unused_data`.

    Raises:
        ArchiveError: The archive is corrupt or ends within a member.
    """
    machine = make()
    inside = True  # a member; an empty file is no archive either
    try:
        for chunk in chunks:
            rest = chunk
            # gzip and xz allow zero bytes after a member.
            while rest := rest if inside else rest.lstrip(b"\0"):
                yield machine.decompress(rest)
                inside = not machine.eof
                rest = b""
                if not inside:
                    rest = machine.unused_data
                    machine = make()
    except _archive_errors() as error:
        raise ArchiveError(str(error)) from error
    if inside:
        raise ArchiveError("ends within a compressed member")


def whole_lines(
    chunks: Iterable[bytes], block_bytes: int, max_line: int = MAX_LINE
) -> Iterator[Piece]:
    """Cuts a stream of bytes into blocks of whole lines.

    Args:
        chunks: The bytes; `ArchiveError` in it ends the stream with a piece
            that has a reason.
        block_bytes: Size above which a block is given out.
        max_line: Size above which a line is given out as broken.
    """
    carry = b""
    skipping = False  # within the rest of a line that was too long
    try:
        for chunk in _at_most(chunks, block_bytes):
            if skipping:
                end = chunk.find(b"\n") + 1
                if not end:
                    continue
                chunk, skipping = chunk[end:], False
            cut = chunk.rfind(b"\n") + 1
            if cut:
                yield Piece(b"".join((carry, memoryview(chunk)[:cut])))
                carry = chunk[cut:]
            else:
                carry += chunk
            if len(carry) > max_line:
                yield Piece(carry[:MAX_RAW], TOO_LONG)
                carry, skipping = b"", True
    except ArchiveError:
        yield Piece(carry[:MAX_RAW], BAD_ARCHIVE)
        return
    if carry:
        yield Piece(carry)


def _at_most(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Chunks of about `size` bytes: large ones cut, small ones joined."""
    parts: list[bytes] = []
    held = 0
    try:
        for chunk in chunks:
            parts.append(chunk)
            held += len(chunk)
            if held >= size:
                joined = b"".join(parts)
                for start in range(0, len(joined), size):
                    yield joined[start : start + size]
                parts, held = [], 0
    except ArchiveError:
        yield b"".join(parts)
        raise
    yield b"".join(parts)


def _decompressors() -> dict[str, Callable[[], Any]]:
    return {
        ".gz": lambda: zlib.decompressobj(wbits=31),
        ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
        ".zst": _zstandard,
    }


def _zstandard() -> Any:
    import zstandard

    # As `zstd --long=31` packs; the window's memory is touched as it fills.
    machine = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    return machine.decompressobj()


def _archive_errors() -> tuple[type[Exception], ...]:
    try:
        import zstandard
    except ImportError:
        return zlib.error, lzma.LZMAError, EOFError
    return zlib.error, lzma.LZMAError, EOFError, zstandard.ZstdError
