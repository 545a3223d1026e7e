"""Drafts of schemas from files of every format."""

import gzip
import random
import re
import tomllib

import polars as pl
import pytest

from keras_pss.data.infer_schema import infer
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.features import (
    Categorical,
    Dense,
    Format,
    Group,
    Label,
    MultiCategorical,
    Schema,
    Split,
    Timestamp,
)

ROWS = 1500
GENRES = ("Drama", "War", "Comedy", "Crime", "Sci-Fi")
WORDS = "the a red shop sells old green shoes to young people in many towns"


def log(seed=0):
    """Columns of a made-up shop, typed."""
    draw = random.Random(seed)
    views = [
        [draw.randint(1, 400) for _ in range(draw.randint(1, 8))]
        for _ in range(ROWS)
    ]
    return {
        "row_id": [10**18 + 7919 * i for i in range(ROWS)],
        "clicked": [int(draw.random() < 0.3) for _ in range(ROWS)],
        "clicked_at": [1_600_000_000 + 60 * i for i in range(ROWS)],
        "user_id": [draw.randint(1, 300) for _ in range(ROWS)],
        "item_id": [draw.randint(1, 400) for _ in range(ROWS)],
        "price": [round(draw.lognormvariate(3, 2), 2) for _ in range(ROWS)],
        "visits": [int(draw.expovariate(0.05) ** 2) for _ in range(ROWS)],
        "warmth": [round(draw.gauss(0, 9), 1) for _ in range(ROWS)],
        "weekdays": [draw.randint(1, 7) for _ in range(ROWS)],
        "zip": [f"{draw.randint(0, 99999):05}" for _ in range(ROWS)],
        "city": [f"city {draw.randint(1, 60)}" for _ in range(ROWS)],
        "hashed": [f"{draw.randrange(200) * 9999991:08x}" for _ in range(ROWS)],
        "genres": [
            draw.sample(GENRES, draw.randint(1, 3)) for _ in range(ROWS)
        ],
        "items_viewed": views,
        "seconds": [[round(draw.random(), 3) for _ in v] for v in views],
        "text": [
            " ".join(draw.choices(WORDS.split(), k=12)) for _ in range(ROWS)
        ],
        "nothing": [None] * ROWS,
    }


def joined(columns):
    """Lists as text, as CSV holds them."""
    return {
        name: [
            "|".join(map(str, v)) if isinstance(v, list) else v for v in values
        ]
        for name, values in columns.items()
    }


def write(path, kind):
    """The log in one of the formats."""
    if kind in ("parquet", "ipc", "ndjson"):
        rows = pl.DataFrame(log())
        if kind != "ndjson":  # Polars writes no column of nulls to IPC
            rows = rows.with_columns(pl.col("nothing").cast(pl.String))
        getattr(rows, f"write_{kind}")(path)
        return
    columns = joined(log())
    lines = [kind.join(columns)] + [
        kind.join("" if v is None else str(v) for v in row)
        for row in zip(*columns.values(), strict=True)
    ]
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("log.csv", ","),
        ("log.csv.gz", ","),
        ("log.tsv", "\t"),
        ("log.txt", ";"),
        ("log.data", ", "),
        ("log.dat", "::"),
        ("log[1].parquet", "parquet"),
        ("log[1].arrow", "ipc"),
        ("log.json", "ndjson"),
    ],
)
def test_every_format_gives_the_same_features(tmp_path, name, kind):
    write(tmp_path / name, kind)
    schema, report = infer(tmp_path / name)
    text = kind not in ("parquet", "ipc", "ndjson")
    inner = "|" if text else None
    assert schema.features == (
        Categorical("user_id", dtype="integer"),
        Categorical("item_id", dtype="integer"),
        Dense("price", transform="log1p"),
        Dense("visits", dtype="integer", transform="log1p"),
        Dense("warmth", transform="standard"),
        Categorical("weekdays", dtype="integer"),
        Categorical("zip"),
        Categorical("city"),
        Categorical("hashed", dtype="hex"),
        MultiCategorical("genres", separator=inner, max_length=3),
        MultiCategorical(
            "items_viewed",
            dtype="integer",
            separator=inner,
            max_length=8,
            table="item_id",
            weights="seconds",
        ),
    )
    assert schema.label == Label("clicked")
    hours = ("hour", "weekday", "weekend")
    assert schema.timestamp == Timestamp("clicked_at", "epoch_s", hours)
    assert schema.group == Group("user_id")
    assert schema.keys == ("row_id",)
    assert schema.split == Split("order")
    if text:
        assert schema.format.separator == kind
    else:
        assert schema.format == Format(kind)
    assert tuple(row.column for row in report.columns) == tuple(log())
    if text:
        reader = LogReader(tmp_path / name, schema, strict=True)
        assert sum(map(len, reader)) == ROWS
    assert Schema.from_dict(tomllib.loads(schema.to_toml())) == schema


def test_the_report_says_why(tmp_path):
    write(tmp_path / "log.csv", ",")
    _, report = infer(tmp_path / "log.csv")
    rows = {row.column: row for row in report.columns}
    assert rows["zip"].why == "leading zeros, which integers would lose"
    assert rows["row_id"].decision == "key"
    assert rows["text"].decision == "left out"
    assert rows["nothing"].missing == 1
    assert rows["seconds"].decision == "weights"
    assert rows["items_viewed"].decision == "multi, table item_id"
    assert rows["user_id"].decision == "categorical integer, group"
    assert rows["weekdays"].distinct == 7
    assert len(rows["city"].examples) == 3
    shown = " ".join(str(report).split())
    assert "1,500 rows read, separator ',', with a header" in shown
    for row in report.columns:
        assert row.column[:8] in shown


def table(tmp_path, text, **options):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    return infer(path, **options)


def column(tmp_path, values, name="x", rows=1):
    """The draft for one column beside a label."""
    values = [*values] * rows
    lines = [f"{i % 2};{value}" for i, value in enumerate(values)]
    schema, report = table(tmp_path, f"label;{name}\n" + "\n".join(lines))
    return schema, report.columns[1]


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        (["1", "2", "-1"], Categorical("x", dtype="integer")),
        (["1", "02"], Categorical("x")),
        (["0", "10"], Categorical("x", dtype="integer")),
        (["a", ""], Categorical("x")),
        (["1.5", "0.5"], Dense("x", transform="standard")),
        (["1.5", "", "0.5"], Dense("x", transform="standard", missing="mean")),
        (["1e-3", "0.2", "100"], Dense("x", transform="log1p")),
        (["deadbeef", "00000001"], Categorical("x", dtype="hex")),
        (["deadbee", "00000001"], Categorical("x")),
        (["12345678", "87654321"], Categorical("x", dtype="integer")),
        (["99999999999999999999", "1"], Categorical("x")),
        (["1 2", "3 4 5"], MultiCategorical(
            "x", dtype="integer", separator=" ", max_length=3)),
        (["new york", "old york"], Categorical("x")),
        (["a^b", "b^a^c"], MultiCategorical("x", separator="^", max_length=3)),
        (["a,b", "b,a"], MultiCategorical("x", separator=",", max_length=2)),
        (["Paris, TX", "Rome, NY"], Categorical("x")),
        (["01|02", "2|01"], MultiCategorical("x", separator="|", max_length=2)),
        (["1|2", "2|3", "nan"], MultiCategorical(
            "x", dtype="integer", separator="|", max_length=2)),
        (["1|NA", "2|1"], MultiCategorical("x", separator="|", max_length=2)),
        (["a\x02b", "b\x02a"], MultiCategorical(
            "x", separator="\x02", max_length=2)),
        (["B0012345", "B0054321"], Categorical("x")),
        (["true", "false"], Categorical("x")),
        ([str(i) for i in range(-99, 99)],
            Dense("x", dtype="integer", transform="standard")),
        ([str(10_000 + 7 * i) for i in range(99)],
            Categorical("x", dtype="integer")),
        ([str(i**4) for i in range(99)],
            Dense("x", dtype="integer", transform="log1p")),
    ],
    ids=str,
)  # fmt: skip
def test_values_decide(tmp_path, values, feature):
    schema, _ = column(tmp_path, values, rows=3)
    assert schema.features == (feature,)


def test_names_decide_where_values_do_not(tmp_path):
    values = [str(10_000 + 7 * i) for i in range(99)] * 2
    schema, row = column(tmp_path, values, "price")
    assert isinstance(schema["price"], Dense)
    assert row.why == "the name says a quantity; standardized"
    schema, _ = column(tmp_path, [str(i**4) for i in range(99)] * 2, "shopId")
    assert schema.features == (Categorical("shopId", dtype="integer"),)


def test_ids_of_users_are_no_keys_though_each_comes_once(tmp_path):
    values = [f"u{i}" for i in range(1500)]
    schema, _ = column(tmp_path, values, "customer_id")
    assert schema.features == (Categorical("customer_id"),)
    schema, _ = table(
        tmp_path,
        "click;x;y\n"
        + "\n".join(f"{i % 2};{v};a" for i, v in enumerate(values)),
    )
    assert schema.keys == ("x",)
    assert schema.features == (Categorical("y"),)


def test_constants_are_said_to_be_so(tmp_path):
    _, row = column(tmp_path, ["7", "7", "7"])
    assert row.why == "the same value in each row of the sample"


def test_a_median_fills_integers(tmp_path):
    values = [str(10_000 + 7 * i) for i in range(99)]
    schema, _ = column(tmp_path, [*values, ""], "price", rows=2)
    assert schema["price"].missing == 10_343


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("t", ["2020-01-01 10:00:00", "2020-01-01 11:00:00"], None),
        ("t", ["2020-01-01T10:00:00Z", "2020-01-01T11:00:00.5Z"], None),
        ("hour", ["14102100", "14102123"], "%y%m%d%H"),
        ("hour", ["2014102100", "2014102123"], "%Y%m%d%H"),
        ("time", ["20141021101500", "20141021101501"], "%Y%m%d%H%M%S"),
        ("ts", ["1600000000", "1600000001"], "epoch_s"),
        ("createdTime", ["1600000000000", "1600000000001"], "epoch_ms"),
        ("d", ["21/10/2014 10:00", "22/10/2014 11:00"], "%d/%m/%Y %H:%M"),
        ("d", ["10/21/2014 10:00:01", "10/22/2014 11:00:02"],
            "%m/%d/%Y %H:%M:%S"),
    ],
)  # fmt: skip
def test_times_are_found(tmp_path, name, values, expected):
    schema, row = column(tmp_path, values, name)
    hours = ("hour", "weekday", "weekend")
    assert schema.timestamp == Timestamp(name, expected, hours)
    assert row.decision == "timestamp"


def test_days_have_no_hours_and_disorder_splits_by_time(tmp_path):
    schema, row = column(tmp_path, ["20141022", "20141021"], "date")
    assert schema.timestamp.features == ("weekday", "weekend")
    assert schema.split == Split("time")
    assert row.why == "digits as %Y%m%d, not in order"


def test_rows_in_the_order_of_users_are_split_within_users(tmp_path):
    rows = [f"{i % 2},{i // 20},{i % 3}" for i in range(400)]
    schema, _ = table(tmp_path, "click,user,x\n" + "\n".join(rows))
    assert schema.split == Split("group", last=4)
    random.Random(0).shuffle(rows)
    schema, _ = table(tmp_path, "click,user,x\n" + "\n".join(rows))
    assert schema.split == Split("order")


def test_digits_without_the_name_of_a_time_are_no_times(tmp_path):
    schema, _ = column(tmp_path, ["1600000000", "1600000001"] * 2)
    assert schema.timestamp is None


@pytest.mark.parametrize(
    ("values", "label", "why"),
    [
        (["0", "1"], Label("y"), "0 and 1"),
        (["0.0", "1.0"], Label("y"), "0 and 1"),
        (["false", "true"], Label("y"), "false and true"),
        (["1", "2"], Label("y", threshold=2), "the larger of two numbers, 2,"),
        (["-1", "1"], Label("y", threshold=1), "the larger of two numbers"),
        (["3", "4.5", "5"], Label("y", threshold=4), "from 4 on"),
        (["1", "10", "3"], Label("y", threshold=8), "from 8 on"),
        (["no", "yes", "yes"], Label("y", "yes", "no"), "'yes' means 1"),
        (["<=50K", ">50K"], Label("y", ">50K", "<=50K"), "'>50K' means 1"),
        (["e", "e", "p"], Label("y", "p", "e"), "'p', the rarer one, means 1"),
    ],
    ids=str,
)
def test_labels_become_0_and_1(tmp_path, values, label, why):
    rows = [f"{v},{i % 3}" for i, v in enumerate(values * 4)]
    schema, report = table(tmp_path, "y,x\n" + "\n".join(rows), label="y")
    assert schema.label == label
    assert why in report.columns[0].why


def test_a_label_is_found_by_its_name_or_place(tmp_path):
    schema, _ = table(tmp_path, "x,CLICK\n3,1\n4,0\n3,1\n")
    assert schema.label == Label("CLICK")
    schema, report = table(tmp_path, "1,5\n0,6\n0,5\n")
    assert schema.label == Label("column_1")
    assert schema.format.columns == ("column_1", "column_2")
    assert "No line names the columns" in report.notes[0]
    schema, report = table(tmp_path, "x,z\n3,1\n4,2\n3,1\n")
    assert schema.label is None
    assert "No column looks like a label." in report.notes[0]


def test_what_gives_the_label_away_is_noted(tmp_path):
    rows = [f"{i % 2},{'ab'[i % 2]},{i % 3}" for i in range(60)]
    _, report = table(tmp_path, "click,paid,x\n" + "\n".join(rows))
    assert report.notes == (
        "paid decides the label in every row of the sample. Remove it if it "
        "is known only after the click.",
    )


def test_rows_that_will_be_refused_are_noted(tmp_path):
    _, report = table(tmp_path, "click,x\n1,a\n,b\n0,a\n1,b\n")
    assert "25.0% of the rows have no label" in report.notes[0]
    lines = [f"{i % 2};2020-01-01;{i % 3}" for i in range(99)]
    _, report = table(tmp_path, "click;at;x\n0;;1\n" + "\n".join(lines))
    assert "1.0% of the rows have no time and will" in report.notes[0]
    schema, _ = table(tmp_path, "click;at;x\n0;;1\n" + "\n".join(lines[:9]))
    assert schema.timestamp is None


@pytest.mark.parametrize(
    ("text", "header", "separator"),
    [
        ("a,b\n1,2\n3,4", True, ","),
        ("1,2\n3,4", False, ","),
        ("p,x\ne,y\np,x\ne,x", False, ","),
        ("1\t2\t3|4\n1\t2\t5|6", False, "\t"),
        ("a;b\n1,5;2,5\n2,5;3,5", True, ";"),
        ("id,list\n1,a;b;c\n2,b;c;d", True, ","),
        ("1::2::3\n2::3::4", False, "::"),
        ('a,b\n"x, y",1\n"z",2', True, ","),
    ],
)
def test_lines_are_divided(tmp_path, text, header, separator):
    schema, _ = table(tmp_path, text)
    assert schema.format.header == header
    assert schema.format.separator == separator


def test_quotes_are_those_around_fields(tmp_path):
    text = 'click,t\n1,"x, ""y"""\n0,"z\nz"\n1,"x, ""y"""\n'
    schema, report = table(tmp_path, text)
    assert schema.format.quote == '"'
    assert report.rows == 3
    assert report.columns[1].examples[0] == 'x, "y"'
    inches = "click,t\n" + '1,5" disk\n0,3" disk\n' * 2
    schema, report = table(tmp_path, inches)
    assert schema.format.quote is None
    assert report.columns[1].examples == ('3" disk', '5" disk')


def test_a_quote_that_the_last_row_leaves_open_is_dropped(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('click,t\n1,"a"\n0,"b"\n1,"c\nd"\n')
    _, report = infer(path, rows=3)
    assert report.rows == 2


def test_a_column_without_a_name_is_left_out(tmp_path):
    # As pandas writes its index.
    schema, report = table(tmp_path, ",click,x\n0,1,a\n1,0,b\n2,1,a\n")
    assert schema.features == (Categorical("x"),)
    assert report.columns[0].why == "the header gives it no name"
    schema, _ = table(tmp_path, ",click,x\n2020-01-01,1,a\n2020-01-02,0,b\n")
    assert schema.timestamp is None


def test_missing_texts_are_found(tmp_path):
    text = "click,a,b,c\n1,?,3,NA\n0,x,NA,de\n1,y,\\N,x\n0,x,4,NA\n"
    schema, report = table(tmp_path, text)
    # A country NA is a category; among numbers, NA is none.
    assert schema.format.missing == ("", "?", "NA", "\\N")
    assert [row.missing for row in report.columns] == [0, 0.25, 0.5, 0]


def test_names_that_are_taken_are_changed(tmp_path):
    schema, _ = table(
        tmp_path, "click,label,a/b,time\n1,a,b,q\n0,c,b,q\n1,a,c,q"
    )
    assert schema.label == Label("click")
    assert schema.features == (
        Categorical("label_value", "label"),
        Categorical("a_b", "a/b"),
        Categorical("time_value", "time"),
    )


def test_tables_are_shared_by_values_and_names(tmp_path):
    draw = random.Random(1)
    sites = [f"site{i}.com" for i in range(30)]
    lines = ["click\tfrom\tto\tuser_id\tfilm_id\tfriend_user_id"]
    for _ in range(2000):
        row = draw.choices(sites, k=2)
        row += [str(draw.randint(1, 200)) for _ in range(3)]
        lines.append("\t".join([draw.choice("01"), *row]))
    schema, report = table(tmp_path, "\n".join(lines))
    assert schema["to"].table == schema["from"].table
    assert schema["film_id"].table == "film_id"
    assert schema["friend_user_id"].table == schema["user_id"].table
    assert "100% of its values are in" in report.columns[2].why


def test_a_history_shares_the_items_table(tmp_path):
    draw = random.Random(2)
    ids = [[draw.randint(1, 300) for _ in range(4)] for _ in range(999)]
    lines = [f"{i[0] % 2},{i[1]},{i[2]} {i[3]},{i[1] % 200}" for i in ids]
    text = "click,itemid,hist,shopid\n" + "\n".join(lines)
    schema, _ = table(tmp_path, text)
    assert schema["hist"].table == "itemid"
    assert schema["shopid"].table == "shopid"


def test_presets_are_recognized(tmp_path):
    row = ["1", *map(str, range(13)), *("68fd1e64",) * 26]
    schema, report = table(tmp_path, "\n".join(["\t".join(row)] * 3))
    assert "The preset 'criteo' describes such files" in report.notes[0]
    assert schema.format.columns == Schema.load("criteo").format.columns
    schema, report = table(tmp_path, "1::2::4::978300760\n1::3::5::978300761")
    assert "The preset 'movielens_1m'" in report.notes[0]
    assert schema.group == Group("userId")
    schema, report = table(tmp_path, "1::a::4::2\n0::b::5::2\n1::a::4::1")
    assert schema.format.columns[0] == "column_1"


def test_parquet_with_other_types(tmp_path):
    path = tmp_path / "log.parquet"
    pl.DataFrame(
        {
            "click": [True, False, True, False] * 5,
            "whole": [1.0, None, 2.0, float("nan")] * 5,
            "vector": pl.Series(
                [[0.5, 1.5]] * 20, dtype=pl.Array(pl.Float32, 2)
            ),
            "record": [{"a": 1}] * 20,
            "lists": [[[1], [2]]] * 20,
            "none": [[]] * 20,
            "kind": pl.Series(["a", "b"] * 10, dtype=pl.Categorical),
        }
    ).with_columns(at=pl.lit("2020-01-01").str.to_date()).write_parquet(path)
    schema, report = infer(path)
    assert schema.features == (
        Categorical("whole", dtype="integer"),
        Dense("vector", size=2),
        Categorical("kind"),
    )
    assert schema.label == Label("click")
    assert schema.timestamp == Timestamp("at", None, ("weekday", "weekend"))
    left = {r.column for r in report.columns if r.decision == "left out"}
    assert left == {"record", "lists", "none"}


def test_byte_order_marks_and_carriage_returns_are_no_text(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbfclick,x\r\n1,a\r\n0,b\r\n1,a\r\n")
    schema, report = infer(path)
    assert schema.label == Label("click")
    assert report.columns[1].examples == ("a", "b")


def test_a_damaged_archive_is_read_up_to_its_damage(tmp_path):
    rows = "".join(f"{i % 2},{i % 7}\n" for i in range(100_000))
    packed = gzip.compress(f"click,x\n{rows}".encode())
    path = tmp_path / "log.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    schema, report = infer(path)
    assert schema.label == Label("click")
    assert 0 < report.rows < 100_000
    assert "The archive is damaged" in report.notes[0]


def test_only_the_first_rows_are_read(tmp_path):
    _, report = table(tmp_path, "click,x\n" + "1,a\n0,b\n" * 100, rows=20)
    assert report.rows == 20


WRONG = {
    "empty": ("", "`file` must hold at least one line."),
    "one column": ("click\n1\n0", "`file` must have columns divided by a tab"),
    "twice": ("x,x\n1,b\n2,d", "`file` must name each column once"),
    "texts": (
        "click,x\nabc,1\nd,1\ne,2",
        "`label` must be a column of",
    ),
    "only a label": (
        "click,x\n1,\n0,",
        "`file` must have a column that can be",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_refused(tmp_path, case):
    text, message = WRONG[case]
    label = "click" if case == "texts" else None
    with pytest.raises(ValueError, match=re.escape(message)):
        table(tmp_path, text, label=label)


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="`file` must name a file that"):
        infer(tmp_path / "log.csv")
    with pytest.raises(ValueError, match=r"Did you mean 'click'\? Received"):
        table(tmp_path, "click,x\n1,a\n", label="clik")
    with pytest.raises(ValueError, match="`rows` must be an integer of at le"):
        table(tmp_path, "click,x\n1,a\n", rows=0)
    (tmp_path / "log.csv").write_bytes(gzip.compress(b"click,x\n1,a\n"))
    with pytest.raises(ValueError, match=r"Rename it to log\.csv\.gz"):
        infer(tmp_path / "log.csv")
