"""The reader of any log against one that goes line by line in plain Python."""

import csv
import gzip
import hashlib
import lzma

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from log_makers import SCHEMAS, make_log
from log_oracle import Oracle

from keras_pss.data.readers.block import BrokenRowError
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.readers.reasons import BAD_ARCHIVE
from keras_pss.features import Categorical, Dense, Format, Schema

PACK = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def read(path, schema, **settings):
    """All rows as dictionaries, and (line, reason, column) of the rejects."""
    reader = LogReader(path, schema, **settings)
    rows, rejects = [], []
    for block in reader:
        rows += block.rows.to_dicts()
        rejects += block.rejects
    assert sum(reader.rejects.values()) == len(rejects)
    assert reader.first_reject == (rejects[0] if rejects else None)
    assert sum(source.rows for source in reader.sources) == len(rows)
    assert reader.bytes_done == reader.bytes_total
    return rows, [(r.line, r.reason, r.column) for r in rejects]


def check(path, schema, data, **settings):
    path.write_bytes(data)
    expected = Oracle(schema, data, settings.get("labelled", True))
    rows, rejects = read(path, schema, **settings)
    assert rejects == expected.rejects
    assert len(rows) == len(expected.rows)
    for row, right in zip(rows, expected.rows, strict=True):
        assert row == right
    return rows


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("odd", [0.0, 0.02, 0.3])
def test_reader_equals_oracle(tmp_path, name, odd):
    for seed in range(4):
        data = make_log(SCHEMAS[name], seed, 60, odd)
        check(tmp_path / "log.csv", SCHEMAS[name], data)


@pytest.mark.parametrize("name", ["tabs", "quoted", "carets"])
@pytest.mark.parametrize("block_bytes", [1, 7, 64, 300])
def test_blocks_of_any_size_give_the_same_rows(tmp_path, name, block_bytes):
    data = make_log(SCHEMAS[name], 7, 25, 0.1)
    check(tmp_path / "a.csv", SCHEMAS[name], data, block_bytes=block_bytes)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.text('ab",\n\r\x1f\ufeff0', max_size=6), max_size=4),
        max_size=6,
    ),
    st.integers(1, 40),
    st.booleans(),
)
@example([['"\n', "a"]] * 2, 1, True)
def test_any_text(tmp_path_factory, lines, block_bytes, long):
    separator = ",," if long else ","
    schema = Schema(
        [Categorical("a"), Categorical("b")], format=Format(separator=separator)
    )
    text = "\n".join(separator.join(line) for line in [["b", "a"], *lines])
    path = tmp_path_factory.getbasetemp() / "any.csv"
    check(path, schema, text.encode(), block_bytes=block_bytes)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.text('ab",; é\n', max_size=9)] * 2),
        min_size=1,
        max_size=9,
    )
)
def test_what_csv_writes_is_read(tmp_path_factory, rows):
    schema = Schema([Categorical("a"), Categorical("b")])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("a", "b"), *rows])
    found, rejects = read(path, schema)
    assert [(row["a"], row["b"]) for row in found] == rows
    assert rejects == []


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_archives_give_the_same_rows(tmp_path, suffix):
    data = make_log(SCHEMAS["quoted"], 3, 40, 0.05)
    plain, packed = tmp_path / "a.csv", tmp_path / f"a.csv{suffix}"
    plain.write_bytes(data)
    half = len(data) // 2
    packed.write_bytes(PACK[suffix](data[:half]) + PACK[suffix](data[half:]))
    assert read(packed, SCHEMAS["quoted"]) == read(plain, SCHEMAS["quoted"])


def test_a_truncated_archive_gives_its_rows_and_a_reject(tmp_path):
    data = b"a\n" + b"".join(b"%d\n" % i for i in range(50_000))
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(data)[:-10_000])
    reader = LogReader(path, Schema([Categorical("a")]))
    rows = sum(map(len, reader))
    assert 10_000 < rows < 50_000
    assert reader.rejects == {BAD_ARCHIVE: 1}
    assert not reader.sources[0].complete
    assert reader.first_reject.line == rows + 2  # after the header


@pytest.mark.parametrize("name", SCHEMAS)
def test_nothing_is_dropped_in_silence(tmp_path, name):
    """Lines are headers, rows or rejects; quotes are no line breaks here."""
    data = make_log(SCHEMAS[name], 11, 80, 0.1).replace(b'"', b"")
    path = tmp_path / "log.csv"
    path.write_bytes(data)
    reader = LogReader(path, SCHEMAS[name], block_bytes=500)
    blocks = list(reader)
    header = SCHEMAS[name].format.columns is None
    rows = sum(map(len, blocks))
    lines = sum(block.lines for block in blocks)
    assert lines == rows + sum(len(b.rejects) for b in blocks) + header
    assert lines == data.count(b"\n") + (not data.endswith(b"\n"))
    assert reader.sources[0].lines == lines


def test_lines_are_counted_in_each_file(tmp_path):
    schema = Schema([Dense("n", dtype="integer")])
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text('x,n\n"1\n2",3\n4,z\n')
    paths[1].write_text("n,x\n1,2\nz,4\n")
    reader = LogReader(paths, schema)
    rejects = [r for block in reader for r in block.rejects]
    assert [(r.file, r.line, r.column, r.raw) for r in rejects] == [
        (str(paths[0]), 4, "n", b"4,z"),
        (str(paths[1]), 3, "n", b"z,4"),
    ]
    assert [source.lines for source in reader.sources] == [4, 3]
    digest = hashlib.sha256(paths[0].read_bytes()).hexdigest()
    assert reader.sources[0].sha256 == digest


def test_a_reject_of_several_lines_keeps_its_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'x,n\r\n"1\r\n2",z\r\n"open\r\n1,2\r\n')
    schema = Schema([Dense("n")])
    blocks = list(LogReader(path, schema))
    rejects = [r for block in blocks for r in block.rejects]
    assert [(r.line, r.raw) for r in rejects] == [
        (2, b'"1\r\n2",z'),
        (4, b'"open'),
    ]
    assert [n for block in blocks for n in block.rows["n"]] == [2.0]


def test_strict_raises_at_the_first_reject(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n\n1\nx\ny\n")
    reader = LogReader(path, Schema([Dense("n")]), strict=True)
    with pytest.raises(
        BrokenRowError, match=r"a.csv:3: not a number \(column n\).*'x'"
    ):
        list(reader)


def test_rows_without_labels(tmp_path):
    schema = SCHEMAS["tabs"]
    data = make_log(schema, 1, 30, 0.0)
    rows = check(tmp_path / "a.tsv", schema, data, labelled=False)
    assert "label" not in rows[0]
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    cut = b"\n".join(line.partition(b"\t")[2] for line in lines if line)
    assert check(tmp_path / "b.tsv", schema, cut, labelled=False) == rows


_NUMBERS = st.text("0123456789+-. \te_", max_size=5) | st.integers(
    -(2**64), 2**64
).map(str)


@given(texts=st.lists(_NUMBERS, max_size=8), separator=st.sampled_from(",\t;"))
@example(texts=["1", " 2", "3"], separator=",")
@example(texts=["1", "3\t"], separator=";")
@example(texts=["-1", "+2", "-0", "", str(2**63)], separator="\t")
@settings(max_examples=200, deadline=None)
def test_integers_are_exact_or_rejected(tmp_path_factory, texts, separator):
    schema = Schema(
        [Dense("size", dtype="integer"), Categorical("x", dtype="hex")],
        format=Format(
            separator=separator, quote=None, header=False, columns=("x", "size")
        ),
    )
    texts = [text.replace(separator, "") for text in texts]
    lines = [f"0000ab{n:02}{separator}{text}\n" for n, text in enumerate(texts)]
    path = tmp_path_factory.mktemp("log") / "log.csv"
    check(path, schema, "".join(lines).encode())


@given(texts=st.lists(st.text("0123456789abcdefA-", max_size=9), max_size=8))
@example(texts=["-1234567"])
@example(texts=["12345678", "1234567A"])
@settings(max_examples=200, deadline=None)
def test_hexadecimal_texts_are_canonical(tmp_path_factory, texts):
    """Minus signs of numbers beside them are not taken for theirs."""
    schema = Schema(
        [
            Dense("a", "number", dtype="integer"),
            Dense("b", "number", dtype="integer"),
            Categorical("x", dtype="hex"),
        ],
        format=Format(quote=None, header=False, columns=("x", "number")),
    )
    data = "".join(f"{text},{n - 1}\n" for n, text in enumerate(texts))
    path = tmp_path_factory.mktemp("log") / "log.csv"
    check(path, schema, data.encode())
