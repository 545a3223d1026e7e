"""The TSV reader against a parser that goes line by line in plain Python."""

import gzip
import lzma
import os
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_pss.data.criteo import BrokenRowError, TsvReader, schema
from keras_pss.data.criteo.tsv_reader import BLOCK_BYTES
from keras_pss.data.readers.block import (
    BAD_ARCHIVE,
    BAD_HEX,
    BAD_INTEGER,
    BAD_LABEL,
    OUT_OF_RANGE,
    TOO_LONG,
    WRONG_COLUMNS,
)
from keras_pss.data.readers.source import MAX_LINE, as_sources, whole_lines

GOOD = b"\t".join([b"1", *[b"%d" % i for i in range(13)], *[b"0a1B2c3d"] * 26])


def oracle_line(line):
    """(values, None) or (None, (reason, column)) of one line."""
    fields = line.removesuffix(b"\r").split(b"\t")
    if len(fields) != 40:
        return None, (WRONG_COLUMNS, "")
    values = []
    for name, text in zip(schema.COLUMNS, fields, strict=True):
        if name == "label":
            if text not in (b"0", b"1"):
                return None, (BAD_LABEL, name)
            values.append(int(text))
        elif name[0] == "I":
            if not re.fullmatch(rb"(-?[0-9]+)?", text):
                return None, (BAD_INTEGER, name)
            digits = text.lstrip(b"-").lstrip(b"0")
            # Python refuses to convert thousands of digits.
            value = int(text or b"0") if len(digits) < 20 else 2**64
            if not -(2**31) <= value < 2**31:
                return None, (OUT_OF_RANGE, name)
            values.append(max(value, 0))
        else:
            if not re.fullmatch(rb"([0-9a-fA-F]{1,8})?", text):
                return None, (BAD_HEX, name)
            values.append(int(text or b"0", 16))
    return values, None


def oracle(data):
    """All good rows, and (line, reason, column, raw) of the broken ones."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    rows, rejects = [], []
    for number, line in enumerate(lines, 1):
        values, broken = oracle_line(line)
        if broken:
            rejects.append((number, *broken, line.removesuffix(b"\r")))
        else:
            rows.append(values)
    return np.array(rows, np.int64).reshape(-1, 40), rejects


def read(path, **settings):
    """Rows (n, 40) and rejects without the file."""
    reader = TsvReader(path, **settings)
    blocks = list(reader)
    parts = [
        np.column_stack([b.labels, b.integers, b.categories.astype(np.int64)])
        for b in blocks
    ]
    rows = np.concatenate([np.zeros((0, 40), np.int64), *parts])
    rejects = [tuple(r)[1:] for b in blocks for r in b.rejects]
    assert sum(reader.rejects.values()) == len(rejects)
    assert reader.sources[0].rows == len(rows)
    return rows, rejects


ODD = (
    ["", "-", "+1", "-0", "--1", " 1", "1 ", "0x1", "1_0", "1e3", "nan", "1.0"],
    ["2147483647", "2147483648", "-2147483648", "-2147483649", "١٢"],
    ["00000000000000000000012", "9" * 5000, "-" + "9" * 12, "é", "-000000001"],
    ["123456789", "12345678", "-12345678", "1234567g", "@", "`", "/", ":", "G"],
    ["deadbeef", "DEADBEEF", "DeadBee", "f" * 9, "-1", "\r", "1\r", "\r1"],
    ["\0", '"', '"1"', "\x10\x11", "\x7f"],
)
odd_field = st.one_of(
    st.sampled_from([text.encode() for texts in ODD for text in texts]),
    st.binary(max_size=10).map(lambda b: b.replace(b"\n", b"")),
    st.integers(-(2**40), 2**40).map(lambda i: b"%d" % i),
    st.integers(0, 2**36).map(lambda i: b"%x" % i),
)
changes = st.lists(st.tuples(st.integers(0, 39), odd_field), max_size=3)


@st.composite
def lines(draw):
    if draw(st.integers(0, 4)) == 0:
        odd = st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"\t"))
        return draw(st.one_of(odd, st.just(b""), st.just(b"\t" * 39)))
    fields = GOOD.split(b"\t")
    for place, value in draw(changes):
        fields[place] = value
    if draw(st.integers(0, 9)) == 0:
        del fields[draw(st.integers(0, 39))]
    return b"\t".join(fields) + draw(st.sampled_from([b"", b"", b"\r"]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(lines(), max_size=8),
    st.booleans(),
    st.one_of(st.integers(1, 900), st.just(BLOCK_BYTES)),
)
@example([], False, 1)
@example([b"\r"], True, 3)
@example([GOOD + b"\r", b"", GOOD], False, 1)
def test_reader_equals_oracle(tmp_path_factory, rows, ends, block_bytes):
    data = b"\n".join(rows) + (b"\n" if ends else b"")
    path = tmp_path_factory.getbasetemp() / "fuzz.tsv"
    path.write_bytes(data)
    expected_rows, expected_rejects = oracle(data)
    got_rows, got_rejects = read(path, block_bytes=block_bytes, workers=2)
    np.testing.assert_array_equal(got_rows, expected_rows)
    assert got_rejects == expected_rejects


def test_every_byte_in_every_kind_of_field(tmp_path):
    lines = []
    for byte in set(range(256)) - {9, 10}:
        for place, others in ((0, b""), (3, b"7"), (20, b"7"), (39, b"abcdef")):
            for text in (bytes([byte]) + others, others + bytes([byte])):
                fields = GOOD.split(b"\t")
                fields[place] = text
                lines.append(b"\t".join(fields))
    path = tmp_path / "bytes.tsv"
    path.write_bytes(b"\n".join(lines))
    expected_rows, expected_rejects = oracle(b"\n".join(lines))
    got_rows, got_rejects = read(path)
    np.testing.assert_array_equal(got_rows, expected_rows)
    assert got_rejects == expected_rejects


def test_missing_and_negative_values_are_zero(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"0\t\t-2" + b"\t" * 37 + b"\n")
    rows, rejects = read(path)
    np.testing.assert_array_equal(rows, np.zeros((1, 40)))
    assert rejects == []


def test_rows_without_labels(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(GOOD[2:] + b"\n" + GOOD)
    rows, rejects = read(path, labelled=False)
    expected = oracle(GOOD)[0]
    expected[:, 0] = 0
    np.testing.assert_array_equal(rows, expected)
    assert rejects == [(2, WRONG_COLUMNS, "", GOOD)]


def test_lines_are_counted_in_each_file(tmp_path):
    paths = [tmp_path / "a.tsv", tmp_path / "b.tsv"]
    for path in paths:
        path.write_bytes(b"\n".join([GOOD, b"x", GOOD, b"y"]))
    reader = TsvReader(paths, block_bytes=50)
    rejects = [r for b in reader for r in b.rejects]
    assert [(r.file, r.line, r.raw) for r in rejects] == [
        (str(path), line, raw)
        for path in paths
        for line, raw in ((2, b"x"), (4, b"y"))
    ]
    assert [source.lines for source in reader.sources] == [4, 4]
    assert [source.rows for source in reader.sources] == [2, 2]
    assert reader.bytes_done == reader.bytes_total


def test_strict_raises_at_the_first_broken_row(tmp_path):
    path = tmp_path / "a.tsv"
    broken = GOOD.replace(b"\t12\t", b"\t1x\t")
    path.write_bytes(b"\n".join([GOOD, GOOD, broken, b"x"]))
    with pytest.raises(BrokenRowError) as caught:
        list(TsvReader(path, strict=True))
    message = str(caught.value)
    assert message.startswith(f"{path}:3: not an integer (column I13): ")
    assert "strict=False" in message
    assert "Received: b'1\\t0\\t1" in message


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
    got, expected = read(path), read(log)
    np.testing.assert_array_equal(got[0], expected[0])
    assert got[1] == expected[1] == []


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
    np.testing.assert_array_equal(rows, expected[: len(rows)])
    if damage == "cut":
        assert 500 < len(rows) < len(expected)
    else:
        assert len(rows) == (len(expected) if damage == "garbage" else 0)
    line, reason, column, _ = reject
    assert (line, reason, column) == (len(rows) + 1, BAD_ARCHIVE, "")
    with pytest.raises(BrokenRowError, match=f":{line}: archive truncated"):
        list(TsvReader(path, strict=True))


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
    np.testing.assert_array_equal(rows, expected)
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
    reader = TsvReader(path)
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
    path.write_bytes(gzip.compress(GOOD[:50]) + gzip.compress(GOOD[50:]))
    rows, rejects = read(path)
    np.testing.assert_array_equal(rows, oracle(GOOD)[0])
    assert rejects == []


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
    rows, rejects = read(path)
    np.testing.assert_array_equal(rows, oracle(b"\n".join([GOOD, *after]))[0])
    assert rejects[0] == (2, TOO_LONG, "", b"9" * 4096)
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
    reader = TsvReader(log, block_bytes=1000)
    assert len(next(iter(reader))) > 0
    assert sum(map(len, reader)) == 3000


def test_sources_are_checked(tmp_path, log):
    with pytest.raises(ValueError, match=r"each file once.*log\.tsv' 2 times"):
        TsvReader([log, str(log.parent / ".." / log.parent.name / log.name)])
    with pytest.raises(ValueError, match=r"at least one file.*sources=\[\]"):
        TsvReader([])
    with pytest.raises(ValueError, match=r"not directories.*glob"):
        TsvReader(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"that exist.*no\.tsv"):
        TsvReader(tmp_path / "no.tsv")
