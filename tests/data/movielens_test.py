"""MovieLens' formats against a reader that goes line by line, and splits."""

import contextlib
import gzip
import hashlib
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_pss.data import movielens
from keras_pss.data.movielens import ratings

REAL_FILE = (
    Path(__file__).parents[2].parent
    / "shared/data/movielens_1m.interactions.csv.xz"
)
LIKES = b"user_id,movie_id,like"
RATINGS = b"userId,movieId,rating,timestamp"


def number(text):
    found = int(text) if re.fullmatch(rb"[+-]?[0-9]+", text) else -1
    return found if 0 <= found < 2**63 else None


def rating(text):
    ok = re.fullmatch(rb"0\.5|[1-4](\.[05])?|5(\.0)?", text)
    return int(float(text) >= 4) if ok else None


def like(text):
    return {b"0": 0, b"0.0": 0, b"1": 1}.get(text)


def seconds(text):
    """Microseconds, of years that Polars knows."""
    found = int(text) if re.fullmatch(rb"[+-]?[0-9]+", text) else 10**20
    return found * 1_000_000 if abs(found) <= 8_200_000_000_000 else None


PARSERS = {
    LIKES: (b",", (number, number, like)),
    RATINGS: (b",", (number, number, rating, seconds)),
    b"": (b"::", (number, number, rating, seconds)),
}


def oracle(lines, header):
    """Rows (user, item, like, time), or the number of the first broken line."""
    separator, parsers = PARSERS[header]
    rows = []
    for count, line in enumerate(lines, 2 if header else 1):
        texts = line.rstrip(b"\r").split(separator)
        if len(texts) != len(parsers):
            return count
        values = [p(text) for p, text in zip(parsers, texts, strict=True)]
        if None in values:
            return count
        rows.append((*values, 0)[:4])
    return rows


odd = st.one_of(
    st.sampled_from(
        b"|-|-1|+1|1.|.5|0.0|0.5|5.5|5.0|4|4.5|0|6|3.7|9999999999999999|1e3"
        b"|10000000000000000|00000000000000000|1 | 1|1:2|:|1\r|\r|\xd9\xa1"
        b"|978300760|0x1|1,2|a|nan|5.0.|10|1/5|/|;|:5|4:|4.50".split(b"|")
    ),
    st.binary(max_size=6).map(lambda b: re.sub(b'[\n"]', b"", b)),
)


@st.composite
def files(draw):
    header = draw(st.sampled_from([LIKES, RATINGS, b""]))
    separator, parsers = PARSERS[header]
    good = {
        number: st.integers(0, 40).map(lambda i: b"%d" % i),
        rating: st.sampled_from([b"0.5", b"1", b"3.5", b"4", b"4.0", b"5"]),
        seconds: st.integers(0, 40).map(lambda i: b"%d" % i),
        like: st.sampled_from([b"0", b"1"]),
    }
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        fields = [draw(good[parser]) for parser in parsers]
        if draw(st.integers(0, 15)) == 0:
            fields[draw(st.integers(0, len(fields) - 1))] = draw(odd)
        if draw(st.integers(0, 30)) == 0:
            fields.pop()
        end = draw(st.sampled_from([b"", b"", b"\r"]))
        lines.append(separator.join(fields) + end)
    return header, lines, draw(st.booleans()), draw(st.integers(1, 200))


@settings(max_examples=200, deadline=None)
@given(files())
@example((b"", [b"1::2::4::3", b"1:2:::4::3"], True, 1000))
@example((b"", [b"1::2::4::3", b"1::2::4:3", b"x::2::4::3"], True, 1000))
@example((LIKES, [b"1,2,1", b""], True, 1000))
@example((LIKES, [b"1,2,"], False, 3))
@example((RATINGS, [b"1,2,,3"], True, 3))
def test_parser_equals_oracle(tmp_path_factory, made):
    header, lines, ends, block_bytes = made
    all_lines = [header, *lines] if header else lines
    content = b"\n".join(all_lines) + (b"\n" if ends and all_lines else b"")
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(content)
    if not ends and all_lines and not all_lines[-1]:
        lines = lines[:-1]  # an empty rest is no line
    expected = oracle(lines, header)
    first = lines[0] if lines else b"::"
    if not header and b"::" not in first:
        with pytest.raises(ValueError, match=r"fuzz:1: the first line must"):
            ratings.read(path, block_bytes)
    elif isinstance(expected, int):
        broken = rf"fuzz:{expected}: (must be|wrong number|not UTF-8)|returns"
        with pytest.raises(ValueError, match=broken):
            ratings.read(path, block_bytes)
    elif not expected:
        with pytest.raises(ValueError, match="holds no interactions"):
            ratings.read(path, block_bytes)
    else:
        columns, sha256 = ratings.read(path, block_bytes)
        assert sha256 == hashlib.sha256(content).hexdigest()
        rows = np.column_stack(columns)
        np.testing.assert_array_equal(rows, expected)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.integers(1, 100))
def test_any_bytes_give_rows_or_a_value_error(
    tmp_path_factory, content, block_bytes
):
    path = tmp_path_factory.getbasetemp() / "bytes"
    for start in (b"", b"1::1::4::9", LIKES + b"\n", RATINGS + b"\r\n"):
        path.write_bytes(start + content)
        with contextlib.suppress(ValueError):
            columns, _ = ratings.read(path, block_bytes)
            assert len({len(column) for column in columns}) == 1


@pytest.fixture
def log(tmp_path):
    """Unsorted users, ids with holes, ties in time."""
    path = tmp_path / "ratings.dat"
    path.write_text(
        "9::50::5::200\n"
        "4::50::1::900\n"
        "9::10::3::100\n"
        "4::70::4::800\n"
        "9::70::4::200\n"
        "9::20::2::300\n"
    )
    return path


def test_rows_are_by_user_and_time(log):
    found = movielens.load(log)
    np.testing.assert_array_equal(found.user_ids, [4, 9])
    np.testing.assert_array_equal(found.item_ids, [10, 20, 50, 70])
    np.testing.assert_array_equal(
        found.ids(), [[0, 3], [0, 2], [1, 0], [1, 2], [1, 3], [1, 1]]
    )
    np.testing.assert_array_equal(found.labels, [1, 0, 0, 1, 1, 0])
    assert (len(found), found.num_users, found.num_items) == (6, 2, 4)
    assert found.like_rate == 0.5
    np.testing.assert_array_equal(found.user_counts, [2, 4])
    np.testing.assert_array_equal(found.item_counts, [1, 1, 2, 2])
    for array in (found.users, found.items, found.labels):
        assert array.dtype == np.int32


def test_formats_and_archives_agree(log, tmp_path):
    expected = movielens.load(log)
    rated = log.read_bytes().replace(b"::", b",")
    texts = {"ratings.csv": RATINGS + b"\n" + rated}
    rows = np.column_stack(
        [
            expected.user_ids[expected.users],
            expected.item_ids[expected.items],
            expected.labels,
        ]
    )
    lines = [LIKES.decode(), *[",".join(map(str, row)) for row in rows]]
    texts["likes.csv"] = "\r\n".join(lines).encode()
    packers = {
        "": bytes,
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.compress,
    }
    for name, text in texts.items():
        for suffix, pack in packers.items():
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(pack(text))
            found = movielens.load(path)
            np.testing.assert_array_equal(found.ids(), expected.ids())
            np.testing.assert_array_equal(found.labels, expected.labels)
            np.testing.assert_array_equal(found.item_ids, expected.item_ids)


@pytest.mark.parametrize(
    ("line", "rule", "received"),
    [
        (b"1,2", "wrong number of fields: write as many", "b'1,2'"),
        (b"1,2,3", "must be like: 0 or 1", "b'1,2,3'"),
        (b"1,2,", "must be like: 0 or 1", "b'1,2,'"),
        (b"x,2,1", "must be user_id: an integer of at", "b'x,2,1'"),
        (b"-1,2,1", "must be user_id: an integer of at", "user_id='-1'"),
        (b"1,,1", "must be movie_id: an integer of at", "movie_id=''"),
        (b"1,\xff,1", "not UTF-8: save the file as UTF-8", r"b'1,\xff,1'"),
    ],
)
def test_errors_name_file_line_rule_and_content(tmp_path, line, rule, received):
    path = tmp_path / "likes.csv"
    path.write_bytes(b"\n".join([LIKES, b"1,2,1", line, b"1,3"]))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        movielens.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:3: {rule}")
    assert f" Received: {received}. Mend or remove the line;" in text


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("1::2::4.25::3", "must be rating: 0.5 to 5 in steps of 0.5"),
        ("1::2::8::3", "must be rating: 0.5 to 5 in steps of 0.5"),
        ("1::2::4::", "must be timestamp: seconds since 1970"),
        ("1::2::4::2003-01-02", "must be timestamp: seconds since 1970"),
    ],
)
def test_another_scale_of_ratings_or_times_is_an_error(tmp_path, line, rule):
    path = tmp_path / "ratings.dat"
    path.write_text(f"1::2::4::3\n{line}\n")
    with pytest.raises(ValueError, match=f"dat:2: {rule}"):
        movielens.load(path)


def test_the_rows_know_their_file(log):
    found = movielens.load(log)
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    assert found.source == (log.name, digest)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "likes.csv"
    path.write_bytes(b"user,item\n1,2\n")
    with pytest.raises(
        ValueError,
        match=r"likes.csv:1: the first line must.*This is 2 columns separated "
        r"by commas, with a header. Declare its columns with a `schema`",
    ):
        movielens.load(path)
    path.write_bytes(LIKES + b"\n" + b"1" * (2 << 20))
    with pytest.raises(ValueError, match=r"likes.csv:2: line too long"):
        movielens.load(path)
    packed = tmp_path / "likes.csv.gz"
    whole = gzip.compress(LIKES + b"\n" + b"1,2,1\n" * 1000)
    packed.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"gz:\d+: archive truncated"):
        movielens.load(packed)
    with pytest.raises(FileNotFoundError):
        movielens.load(tmp_path / "none.csv")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(3, 40), min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(1, 333)),
)
@example([100, 3], 290)
@example([30], 100)
def test_split_equals_a_loop_over_users(counts, thousandths):
    users = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    count = np.arange(len(users), dtype=np.int32)  # names each row
    whole = movielens.Interactions(
        users, count, count % 2, np.arange(len(counts)), np.arange(len(users))
    )
    expected = {"train": [], "validation": [], "test": []}
    for user in range(len(counts)):
        rows = count[users == user].tolist()
        held = max(1, len(rows) * (thousandths or 0) // 1000)
        expected["test"] += rows[-held:]
        expected["validation"] += rows[-2 * held : -held]
        expected["train"] += rows[: -2 * held]
    parts = whole.split(thousandths / 1000 if thousandths else 1)
    for name, rows in expected.items():
        part = getattr(parts, name)
        assert part.items.tolist() == rows
        np.testing.assert_array_equal(part.users, users[rows])
        np.testing.assert_array_equal(part.labels, count[rows] % 2)
        assert (part.num_users, part.num_items) == (len(counts), len(users))


def test_split_refuses_what_leaves_nothing_to_train_on(log):
    whole = movielens.load(log)
    with pytest.raises(ValueError, match=r"1 of 2 users with too few, .* id 4"):
        whole.split(last=1)
    for last in (0, -1, 0.5, 0.0, 1.5, True, "1"):
        with pytest.raises(
            ValueError, match="positive int, a number of interactions, or"
        ):
            whole.split(last=last)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_FILE.exists(), reason="the file is not there")
def test_one_million_ratings():
    found = movielens.load(REAL_FILE)
    assert len(found) == 1_000_209
    assert (found.num_users, found.num_items) == (6040, 3706)
    assert round(found.like_rate, 3) == 0.575
    parts = found.split(last=0.1)
    assert sum(map(len, parts)) == len(found)
    assert all(part.user_counts.min() >= 1 for part in parts)
