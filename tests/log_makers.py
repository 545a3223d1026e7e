"""Random delimited logs with odd fields and broken lines, and schemas."""

import random

from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    Format,
    Group,
    Label,
    MultiCategorical,
    Schema,
    Split,
    Timestamp,
)

INTEGERS = ["I1", "I2"]
HEXES = ["C1", "C2", "C3"]
FILLED = {"a": "x", "n": "7", "h": "0a1b2c3d", "f": "1.5", "l": "1", "t": "0"}

tabs = Schema(
    [
        *(Dense(name, dtype="integer") for name in INTEGERS),
        *(Categorical(name, dtype="hex") for name in HEXES),
        Cross("pair", ("C1", "C3")),
    ],
    label=Label("click"),
    format=Format(
        separator="\t",
        header=False,
        columns=("click", *INTEGERS, *HEXES),
        quote=None,
    ),
)
quoted = Schema(
    [
        Categorical("name"),
        Categorical("item", dtype="integer"),
        Dense("price"),
        MultiCategorical(
            "genres", separator="|", max_length=3, weights="shares"
        ),
    ],
    label=Label("rating", threshold=3.5),
    timestamp=Timestamp("at", "epoch_s", features=("hour", "weekend")),
    group=Group("user"),
    keys=("user", "name"),
)
blanks = Schema(
    [
        Categorical("work"),
        Dense("age", dtype="integer"),
        Categorical("code", dtype="hex"),
    ],
    label=Label("income", positive=">50K", negative="<=50K"),
    format=Format(
        separator=", ",
        header=False,
        columns=("age", "work", "code", "income"),
        missing=("?",),
        strip=True,
    ),
)
carets = Schema(
    [
        MultiCategorical(
            "seen", separator="^", max_length=2, keep="last", dtype="integer"
        ),
        Categorical("item", dtype="integer"),
    ],
    label=Label("y", positive=("5", "yes")),
    timestamp=Timestamp("hour", "%y%m%d%H", features=("weekday", "hour")),
    split=Split("column", column="day", values={"test": "7"}),
    format=Format(separator="^^", missing=("", "NULL")),
)
wide = Schema(
    [Dense(f"d{i}") for i in range(60)],
    label=Label("y"),
    format=Format(separator=";"),
)
SCHEMAS = {
    "tabs": tabs,
    "quoted": quoted,
    "blanks": blanks,
    "carets": carets,
    "wide": wide,
}

_ODD = [
    *("", "", "", "?", "NULL", " ", " 1", "1 ", "+1", "-0", "01", "--1", "0x1"),
    *("1e3", "nan", "inf", "-Infinity", "1e400", ".5", "1.", ".", "1_0", "1.0"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *("0" * 30 + "7", "9" * 40, "٣", "é", "\ufeff", "\0", "\x1f", "\x1e"),
    *("DEADBEEF", "ff", "f" * 9, "0xff", "g", "true", "False", "yes", ">50K"),
    *('"', '""', '"x"', 'a"b', '"a', 'a"', '"a""b"', '"a"b', '"a\nb"', '"\n'),
    *('""""', "\r", "a\rb", "a|b", "|a||b|", "1|2", "1|x", "1^2^^3", "^", ":"),
    *("14102123", "14139999", "1700000000", "-5", "99999999999999999", ","),
    *("[1]", "{", "#", "\\", "'", "a, b", "\t", "^^^", ";"),
]
_GOOD = {
    **{name: ["1", "-2", "", "17", "2147483648"] for name in INTEGERS},
    **{name: ["0a1b2c3d", "ffffffff", "", "Ab", "00000000"] for name in HEXES},
    "click": ["0", "1"],
    "name": ["Ann", "", "Bob", '"x, y"', '"say ""hi"""', "5 inch", '"l1\nl2"'],
    "item": ["1", "007", "", "-3"],
    "price": ["1.5", "", "2", "1e3"],
    "genres": ["a|b", "", "c", "a||b|d|e"],
    "shares": ["1|2", "", ".5", "1||2|3|4"],
    "rating": ["1", "3.5", "5"],
    "at": ["1700000000", "0", "-1"],
    "user": ["u1", "", "u2"],
    "work": ["Private", "?", " State-gov", "x"],
    "age": ["39", "?", " 7", "8"],
    "code": ["ff", "?", "0a1b2c3d"],
    "income": [">50K", "<=50K"],
    "seen": ["1^2^3", "", "4", "1^"],
    "y": ["5", "0", "1"],
    "hour": ["14102123", "20010100"],
    "day": ["7", "6", ""],
}


def make_log(schema, seed, rows, odd=0.02):
    """Bytes of a log; `odd` is the rate of odd fields and of broken lines."""
    rng = random.Random(seed)
    form = schema.format
    names = list(form.columns or dict.fromkeys([*schema.columns, "unused"]))
    lines = []
    if form.columns is None:
        rng.shuffle(names)
        lines.append(form.separator.join(names))
    for _ in range(rows):
        fields = [
            rng.choice(_ODD)
            if rng.random() < odd
            else rng.choice(_GOOD.get(name, ["1", "0.5", "", "-2e3"]))
            for name in names
        ]
        # Genres and shares are of one length in most rows.
        if "genres" in names and rng.random() > odd:
            place = rng.randrange(4)
            for name in ("genres", "shares"):
                fields[names.index(name)] = _GOOD[name][place]
        if schema is wide:
            fields[names.index("y")] = rng.choice("01")
        line = form.separator.join(fields)
        if rng.random() < odd:
            line = rng.choice([line[:-3], line + form.separator, "", "x"])
        lines.append(line + rng.choice(["", "", "", "\r"]))
    data = "\n".join(lines).encode() + rng.choice([b"", b"\n"])
    if rng.random() < odd * 5:
        at = rng.randrange(len(lines[0]) + 2, len(data))
        data = data[:at] + b"\xff" + data[at:]
    return rng.choice([b"", b"\xef\xbb\xbf"]) + data
