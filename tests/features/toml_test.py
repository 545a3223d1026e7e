"""Schemas as TOML: what is saved loads, and errors name the entry."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8
)
LISTS = st.lists(TEXTS, min_size=1, max_size=3, unique=True)
COUNTS = st.integers(1, 2**31 - 1)
NUMBERS = st.floats(-1e300, 1e300)
MAYBE_COLUMN = st.none() | TEXTS


@st.composite
def id_options(draw):
    if draw(st.booleans()):
        return {"ids": "hash", "buckets": draw(st.none() | COUNTS)}
    return {
        "ids": "vocabulary",
        "min_count": draw(COUNTS),
        "max_values": draw(st.none() | COUNTS),
    }


def categorical(draw, name):
    dtype = draw(st.sampled_from(["string", "integer", "hex"]))
    return Categorical(
        name, draw(MAYBE_COLUMN), dtype=dtype, **draw(id_options())
    )


def multi(draw, name):
    combiner = draw(st.sampled_from(["mean", "sum", "sqrtn", "max"]))
    weights = None if combiner == "max" else draw(st.none() | st.just("\x00w"))
    return MultiCategorical(
        name,
        draw(MAYBE_COLUMN),
        separator=draw(st.none() | TEXTS),
        max_length=draw(COUNTS),
        keep=draw(st.sampled_from(["first", "last"])),
        combiner=combiner,
        weights=weights,
        **draw(id_options()),
    )


def dense(draw, name):
    transform = draw(st.sampled_from(["none", "standard", "log1p", "buckets"]))
    if transform == "buckets":
        return Dense(
            name, transform="buckets", num_buckets=max(2, draw(COUNTS))
        )
    low = 0.0 if transform == "log1p" else draw(st.none() | NUMBERS)
    missing = draw(st.just("mean") | NUMBERS)
    if missing != "mean" and low is not None:
        missing = max(missing, low)
    return Dense(
        name,
        draw(MAYBE_COLUMN),
        transform=transform,
        missing=missing,
        minimum=low,
        size=draw(COUNTS),
    )


@st.composite
def schemas(draw):
    makers = st.lists(
        st.sampled_from([categorical, multi, dense]), min_size=1, max_size=6
    )
    features = [
        make(draw, f"Straße {index}" if index % 2 else f"f{index}")
        for index, make in enumerate(draw(makers))
    ]
    simple = [f.name for f in features if isinstance(f, Categorical)]
    if len(simple) > 1:
        features.append(Cross("x", (simple[0], simple[1])))
    by = draw(st.sampled_from(["order", "time", "random", "group", "column"]))
    seed = draw(st.integers(0, 2**32 - 1))
    split = {"test": draw(st.floats(0, 0.99)), "seed": seed}
    if by == "column":
        test, *others = draw(LISTS)
        split |= {"column": draw(TEXTS), "values": {"test": [test]}}
        if others:
            split["values"]["validation"] = others
    if by == "group":
        split["last"] = draw(st.none() | COUNTS)
    return Schema(
        features,
        label=Label("\x00label", positive=draw(st.none() | LISTS)),
        timestamp=Timestamp("\x00t", features=("weekday",)),
        group=Group("\x00g"),
        split=Split(by, **split),
        format=Format(
            separator=draw(st.sampled_from([",", "\t", "::", "\x1f"])),
            quote=draw(st.sampled_from(['"', "'", None])),
            missing=draw(st.lists(st.text(alphabet="NA\\?", max_size=2))),
            strip=draw(st.booleans()),
        ),
        keys=draw(LISTS),
        title=draw(st.none() | TEXTS),
    )


@settings(deadline=None)
@given(schemas())
def test_what_is_written_is_read(schema):
    assert Schema.from_dict(schema.to_dict()) == schema
    assert Schema.from_dict(tomllib.loads(schema.to_toml())) == schema


def test_saved_schemas_load(tmp_path):
    schema = Schema([Categorical("a"), Categorical("b")], Label("c"))
    path = tmp_path / "shop.toml"
    schema.save(path)
    assert Schema.load(path) == Schema.load(str(path)) == schema
    # Neighbours that differ in nothing but the name are one entry.
    assert 'name = ["a", "b"]' in path.read_text()
    with pytest.raises(ValueError, match="`path` must be a new file"):
        schema.save(path, overwrite=False)
    with pytest.raises(ValueError, match=r"`path` must end in \.toml"):
        schema.save(tmp_path / "shop.json")
    assert [p.name for p in tmp_path.iterdir()] == ["shop.toml"]


def test_long_lists_are_broken_into_lines():
    schema = Schema([Categorical(f"column{i}") for i in range(50)])
    text = schema.to_toml()
    assert max(map(len, text.splitlines())) <= 80
    assert Schema.from_dict(tomllib.loads(text)) == schema


def test_an_entry_may_hold_several_names():
    content = {
        "feature": [
            {"kind": "multi", "name": ["a", "b"], "max_length": 3, "table": "t"}
        ]
    }
    schema = Schema.from_dict(content)
    assert [f.name for f in schema.features] == ["a", "b"]
    assert list(schema.tables) == ["t"]


ENTRIES = "title, keys, format, label, timestamp, group, split, feature"
WRONG = {
    'features = ["a"]': f"A schema has {ENTRIES}. Did you mean 'feature'? Rece",
    "feature = 3": "`feature` must be a list of entries, [[feature]]. Received",
    "title = 3": "`title` must be a valid string. Received: title=3",
    'label = "a"': "[label]: An entry must be a table of fields. Received: 'a'",
    '[label]\ncolum = "a"': "[label]: Label needs `column`. Did you mean 'colu",
    "[label]\ncolumn = 3": "[label]: `column` must be a valid string",
    "[format]\nquote = 3": "[format]: `quote` must be a valid string",
    "[split]\nby = 'tim'": "[split]: `by` must be 'order', 'time', 'random'",
    '[[feature]]\nname = "a"': "[[feature]] 1 ('a'): `kind` must be one of cat",
    '[[feature]]\nkind = "dence"\nname = "a"': "`kind` must be one of "
    "categorical, multi, dense, cross. Did you mean 'dense'? Received: kind=",
    '[[feature]]\nkind = ["dense"]\nname = "a"': "[[feature]] 1 ('a'): `kind` "
    "must be one of categorical, multi, dense, cross. Did you mean 'dense'? "
    "Received: kind=['dense']",
    '[[feature]]\nname = "a"\n[feature.kind]\nb = 1': "[[feature]] 1 ('a'): "
    "`kind` must be one of categorical, multi, dense, cross. Rec",
    '[[feature]]\nkind = "dense"': "[[feature]] 1: Dense needs `name`",
    '[[feature]]\nkind = "dense"\nname = "a"\n[[feature]]\nkind = "dense"\n'
    'name = "b"\nmininum = 3': "[[feature]] 2 ('b'): The fields of Dense are: "
    "name, column, dtype, transform, num_buckets, missing, minimum, maximum, "
    "size. Did you mean 'minimum'? Received: mininum=3",
    '[[feature]]\nkind = "dense"\nname = ["a", "b"]\ncolumn = "c"': "[[feature]"
    "] 1 (['a', 'b']): `column` needs an entry with one `name`. Received: col",
    '[[feature]]\nkind = "dense"\nname = ["a", 3]': "`name` must be a valid st",
    '[[feature]]\nkind = "dense"\nname = "a"\n[[feature]]\nkind = "dense"\n'
    'name = "a"': "`features` must have different names.",
    "feature = [3]": "[[feature]] 1: An entry must be a table of fields. Rece",
    "[[feature": "must be TOML. Received: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_errors_name_the_file_and_the_entry(tmp_path, text):
    path = tmp_path / "shop.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(WRONG[text])) as raised:
        Schema.load(path)
    assert str(raised.value).startswith(str(path))


def test_a_name_that_is_no_preset_lists_them():
    with pytest.raises(ValueError, match=r"one of avazu, criteo, .*'crito'"):
        Schema.load("crito")
    with pytest.raises(ValueError, match="A schema must be a dictionary"):
        Schema.from_dict([1])


def test_the_example_of_the_documentation_loads(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    example, split = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "shop.toml").write_text(example)
    schema = Schema.load(tmp_path / "shop.toml")
    assert [f.name for f in schema.features] == [
        *("user", "item", "viewed", "price", "user_hour")
    ]
    assert schema.tables["item"] == (schema["item"], schema["viewed"])
    (tmp_path / "tfds.toml").write_text(
        f"[label]\ncolumn = 'y'\n{split}\n[[feature]]\n"
        "kind = 'categorical'\nname = 'x'\n"
    )
    schema = Schema.load(tmp_path / "tfds.toml")
    assert schema.split.column == "tfds_split"
