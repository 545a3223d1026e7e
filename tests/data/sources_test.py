"""Compressed files, whole and damaged, and files that are read as streams."""

import gzip
import lzma
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_pss.data.readers.block import BrokenRowError
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.readers.reasons import BAD_ARCHIVE, TOO_LONG
from keras_pss.data.readers.source import MAX_LINE, as_sources, whole_lines
from keras_pss.features import Categorical, Format, Schema

SCHEMA = Schema(
    [Categorical("a"), Categorical("b")],
    format=Format(header=False, columns=["a", "b"], separator="\t", quote=None),
)
GOOD = b"one\ttwo"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Lines that do not compress well."""
    numbers = np.random.default_rng(0).integers(0, 1 << 60, (9000, 2))
    path = tmp_path_factory.mktemp("log") / "log.tsv"
    path.write_text("".join(f"{a:x}\t{b:x}\n" for a, b in numbers))
    return path


def read(path, **settings):
    """Rows as tuples, and rejects without the file."""
    reader = LogReader(path, SCHEMA, **settings)
    blocks = list(reader)
    rows = [row for block in blocks for row in block.rows.rows()]
    rejects = [r[1:5] for b in blocks for r in b.rejects]
    assert sum(reader.rejects.values()) == len(rejects)
    assert reader.sources[0].rows == len(rows)
    return rows, rejects


PACK = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", PACK)
def test_compressed_files_read_like_plain_ones(log, tmp_path, suffix):
    data = log.read_bytes()
    half = data.index(b"\n", len(data) // 2) + 1
    # Two members, as `cat a.gz b.gz` makes them; gzip and xz allow padding.
    padding = b"" if suffix == ".zst" else b"\0" * 8
    path = tmp_path / f"log.tsv{suffix}"
    path.write_bytes(
        PACK[suffix](data[:half]) + PACK[suffix](data[half:]) + padding
    )
    assert read(path) == read(log)


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_broken_archives_keep_the_rows_before(log, tmp_path, suffix, damage):
    packed = PACK[suffix](log.read_bytes())
    path = tmp_path / f"log.tsv{suffix}"
    if damage == "cut":
        path.write_bytes(packed[: len(packed) // 2])
    elif damage == "garbage":
        path.write_bytes(packed + b"not an archive at all")
    else:
        path.write_bytes(b"")
    expected, _ = read(log)
    rows, (reject,) = read(path)
    assert rows == expected[: len(rows)]
    if damage == "cut":
        assert 500 < len(rows) < len(expected)
    else:
        assert len(rows) == (len(expected) if damage == "garbage" else 0)
    line, reason, column, *_ = reject
    assert (line, reason, column) == (len(rows) + 1, BAD_ARCHIVE, "")
    with pytest.raises(BrokenRowError, match=f":{line}: archive truncated"):
        list(LogReader(path, SCHEMA, strict=True))


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("behind", [False, True])
def test_rows_before_a_wrong_checksum_are_kept(log, tmp_path, suffix, behind):
    """All lines are whole, so all of them are there, and then the damage."""
    packed = bytearray(PACK[suffix](log.read_bytes()))
    if suffix == ".zst":
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        packed = bytearray(compressor.compress(log.read_bytes()))
    # gzip ends with CRC and size; a block of xz with its check.
    at = {".gz": -8, ".xz": -28, ".zst": -1}[suffix]
    packed[at] ^= 1
    path = tmp_path / f"log.tsv{suffix}"
    path.write_bytes(packed + (PACK[suffix](GOOD) if behind else b""))
    expected, _ = read(log)
    rows, (reject,) = read(path)
    assert rows == expected
    assert reject[:2] == (len(expected) + 1, BAD_ARCHIVE)


@pytest.mark.parametrize("window", [28, 31])
def test_zstd_archives_of_long_windows(tmp_path, window):
    parameters = zstandard.ZstdCompressionParameters(
        window_log=window, write_content_size=False
    )
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    path = tmp_path / "a.tsv.zst"
    machine = packer.compressobj()
    path.write_bytes(machine.compress(GOOD + b"\n") + machine.flush())
    with pytest.raises(zstandard.ZstdError, match="too much memory"):
        zstandard.ZstdDecompressor().decompressobj().decompress(
            path.read_bytes()
        )
    rows, rejects = read(path)
    assert (len(rows), rejects) == (1, [])


def change(path, how):
    match how:
        case "shrinks":
            os.truncate(path, path.stat().st_size // 2)
        case "is emptied":
            os.truncate(path, 0)
        case "grows":
            with open(path, "ab") as file:
                file.write(GOOD + b"\n")
        case "is changed":
            with open(path, "r+b") as file:
                file.write(b"0")
            os.utime(path, ns=(0, 0))


@pytest.mark.parametrize("suffix", ["", *PACK])
@pytest.mark.parametrize(
    "how", ["shrinks", "is emptied", "grows", "is changed"]
)
def test_a_file_that_changes_while_it_is_read(tmp_path, suffix, how):
    path = tmp_path / f"a.tsv{suffix}"
    # More than a chunk; lines do not matter.
    data = np.random.default_rng(0).bytes(20_000 if suffix else 1_200_000)
    path.write_bytes(PACK[suffix](data) if suffix else data)
    (source,) = as_sources(path)
    chunks = source.chunks()
    next(chunks)
    change(path, how)
    with pytest.raises(ValueError, match=r"was written to while it was read"):
        list(chunks)


def test_a_file_that_grew_before_it_is_read_has_its_new_size(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(GOOD + b"\n")
    reader = LogReader(path, SCHEMA)
    change(path, "grows")
    assert sum(map(len, reader)) == 2
    assert reader.bytes_total == reader.bytes_done == path.stat().st_size


def test_a_pipe_is_read(tmp_path):
    path = tmp_path / "pipe.tsv"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(path.write_bytes, GOOD + b"\n" + GOOD)
        rows, rejects = read(path)
        assert written.result() > 0
    assert (len(rows), rejects) == (2, [])


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_zero_bytes_between_members_may_span_chunks(tmp_path, suffix):
    path = tmp_path / f"a.tsv{suffix}"
    member = PACK[suffix](GOOD + b"\n")
    path.write_bytes(member + bytes(100_000) + member + bytes(100_000))
    rows, rejects = read(path)
    assert (len(rows), rejects) == (2, [])


def test_members_are_one_text(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(GOOD[:5]) + gzip.compress(GOOD[5:]))
    rows, rejects = read(path)
    assert (rows, rejects) == ([("one", "two")], [])


def test_a_bomb_is_unpacked_piece_by_piece(tmp_path):
    path = tmp_path / "bomb.tsv.zst"
    with (
        path.open("wb") as plain,
        zstandard.ZstdCompressor().stream_writer(plain) as file,
    ):
        for _ in range(256):
            file.write(bytes(1 << 20))
    (source,) = as_sources(path)
    sizes = [len(chunk) for chunk in source.chunks()]
    assert sum(sizes) == 1 << 28
    assert max(sizes) <= 1 << 27


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_huge_line_is_one_reject(tmp_path, end):
    path = tmp_path / "a.tsv"
    after = [b"x", GOOD] if end else []
    path.write_bytes(
        GOOD + b"\n" + b"9" * (3 * MAX_LINE) + end + b"\n".join(after)
    )
    rows, rejects = read(path, block_bytes=1 << 17)
    assert rows == [("one", "two")] * (2 if end else 1)
    assert rejects[0][:4] == (2, TOO_LONG, "", b"9" * 4096)
    assert [r[0] for r in rejects] == ([2, 3] if end else [2])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b""))),
    st.integers(1, 50),
    st.integers(1, 60),
    st.integers(1, 20),
)
def test_too_long_lines_are_cut_out(lines, chunk, block_bytes, max_line):
    data = b"".join(line + b"\n" for line in lines)
    chunks = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    seen = []
    for piece in whole_lines(chunks, block_bytes, max_line):
        if piece.reason:
            assert piece.reason == TOO_LONG
            seen.append(piece.data)
        else:
            seen.extend(piece.data.split(b"\n")[:-1])
    assert len(seen) == len(lines)
    for got, line in zip(seen, lines, strict=True):
        # A line may also come whole with the block that it ends in.
        assert got == line or (len(line) > max_line and line.startswith(got))


def test_the_reader_can_be_left_early(log):
    reader = LogReader(log, SCHEMA, block_bytes=1000)
    assert len(next(iter(reader))) > 0
    assert sum(map(len, reader)) == 9000


def test_sources_are_checked(tmp_path, log):
    with pytest.raises(ValueError, match=r"each file once.*log\.tsv' 2 times"):
        as_sources([log, str(log.parent / ".." / log.parent.name / log.name)])
    with pytest.raises(ValueError, match=r"at least one file.*sources=\[\]"):
        as_sources([])
    with pytest.raises(ValueError, match=r"not directories.*glob"):
        as_sources(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"that exist.*no\.tsv"):
        as_sources(tmp_path / "no.tsv")
