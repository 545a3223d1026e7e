"""Criteo's rows against a reader that goes line by line in plain Python."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from log_oracle import Oracle

from keras_pss.data.criteo import BrokenRowError
from keras_pss.data.readers.log_reader import BLOCK_BYTES, LogReader
from keras_pss.data.readers.reasons import WRONG_FIELDS
from keras_pss.data.readers.source import MAX_RAW
from keras_pss.features import Schema

SCHEMA = Schema.load("criteo")
GOOD = b"\t".join([b"1", *[b"%d" % i for i in range(13)], *[b"0a1B2c3d"] * 26])


def read(path, **settings):
    """Rows as tuples, and rejects without the file."""
    reader = LogReader(path, SCHEMA, **settings)
    blocks = list(reader)
    rows = [row for block in blocks for row in block.rows.rows(named=True)]
    rejects = [r[1:5] for block in blocks for r in block.rejects]
    assert sum(reader.rejects.values()) == len(rejects)
    assert reader.sources[0].rows == len(rows)
    return rows, rejects


def check(path, data, **settings):
    path.write_bytes(data)
    expected = Oracle(SCHEMA, data)
    rows, rejects = read(path, **settings)
    assert rows == expected.rows
    assert [reject[:3] for reject in rejects] == expected.rejects
    lines = data.split(b"\n")
    for line, _, _, raw in rejects:
        assert raw == lines[line - 1].rstrip(b"\r")[:MAX_RAW]


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


@settings(max_examples=150, deadline=None)
@given(
    st.lists(lines(), max_size=8),
    st.booleans(),
    st.one_of(st.integers(1, 900), st.just(BLOCK_BYTES)),
)
@example([], False, 1)
@example([b"\r"], True, 3)
@example([GOOD + b"\r", b"", GOOD], False, 1)
def test_reader_equals_oracle(tmp_path_factory, rows, ends, block_bytes):
    # A first row, as a text of carriage returns alone is refused whole.
    data = b"\n".join([GOOD, *rows]) + (b"\n" if ends else b"")
    path = tmp_path_factory.getbasetemp() / "fuzz.tsv"
    check(path, data, block_bytes=block_bytes, workers=2)


def test_every_byte_in_every_kind_of_field(tmp_path):
    lines = []
    for byte in set(range(256)) - {9, 10}:
        for place, others in ((0, b""), (3, b"7"), (20, b"7"), (39, b"abcdef")):
            for text in (bytes([byte]) + others, others + bytes([byte])):
                fields = GOOD.split(b"\t")
                fields[place] = text
                lines.append(b"\t".join(fields))
    # A block with all control characters in it is no text.
    check(tmp_path / "bytes.tsv", b"\n".join(lines), block_bytes=1 << 12)


def test_missing_values(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"0\t\t-2" + b"\t" * 37 + b"\n")
    (row,), rejects = read(path)
    assert (row["label"], row["I1"], row["I2"]) == (0, None, -2)
    assert row["C1"] == row["C26"] == "00000000"
    assert rejects == []


def test_rows_without_labels(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(GOOD[2:] + b"\n" + GOOD)
    rows, rejects = read(path, labelled=False)
    (expected,) = Oracle(SCHEMA, GOOD, False).rows
    assert rows == [expected]
    assert "label" not in expected
    assert rejects == [(2, WRONG_FIELDS, "", GOOD)]


def test_strict_raises_at_the_first_broken_row(tmp_path):
    path = tmp_path / "a.tsv"
    broken = GOOD.replace(b"\t12\t", b"\t1x\t")
    path.write_bytes(b"\n".join([GOOD, GOOD, broken, b"x"]))
    with pytest.raises(BrokenRowError) as caught:
        list(LogReader(path, SCHEMA, strict=True))
    message = str(caught.value)
    assert message.startswith(f"{path}:3: not an integer (column I13): ")
    assert "strict=False" in message
    assert "Received: b'1\\t0\\t1" in message
