"""What a schema accepts, refuses and derives."""

import pickle
from copy import deepcopy

import pytest
from schema_parts import AGE, CITY, ITEM, PAIR, PRICE, TIME, VIEWED

from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    Group,
    Label,
    Schema,
    Split,
    TimeFeature,
)


def shop():
    return Schema(
        [VIEWED, PRICE, AGE, CITY, PAIR, ITEM],
        label=Label("clicked"),
        timestamp=TIME,
        group=Group("user"),
        split=Split("column", column="day", values={"test": "7"}),
        keys=("order", "at"),
    )


def test_derived_parts_follow_the_order_of_the_features():
    schema = shop()
    hour, weekend = TimeFeature("hour", "at"), TimeFeature("weekend", "at")
    assert schema.single == (AGE, CITY, PAIR, ITEM, hour, weekend)
    assert schema.multi == (VIEWED,)
    assert schema.dense == (PRICE,)
    assert schema.tables == {
        "age": (AGE,),
        "city": (CITY,),
        "pair": (PAIR,),
        "item": (ITEM, VIEWED),
        "hour": (hour,),
        "weekend": (weekend,),
    }
    assert list(schema.tables) == [f.table for f in schema.single]
    assert schema.columns == (
        *("viewed", "seconds", "price", "age", "city", "item_id"),
        *("clicked", "at", "user", "day", "order"),
    )


def test_features_are_found_by_name():
    schema = shop()
    assert schema["item"] == ITEM
    assert schema["hour"] == TimeFeature("hour", "at")
    with pytest.raises(
        KeyError, match=r"no feature 'pric'\. Did you mean 'pri"
    ):
        schema["pric"]


def test_defaults_that_follow_from_other_arguments():
    assert (CITY.column, CITY.table) == ("city", "city")
    assert (PRICE.minimum, Dense("x").minimum) == (0, None)
    assert Dense("x", transform="log1p", minimum=-0.5).minimum == -0.5
    assert Label("c", positive="yes").positive == ("yes",)
    assert Categorical("city", "city", table="city") == CITY


def test_a_schema_is_a_value():
    assert pickle.loads(pickle.dumps(shop())) == shop()
    assert deepcopy(shop()) == shop()
    with pytest.raises(AttributeError):
        CITY.min_count = 3


def test_a_column_may_be_read_twice():
    schema = Schema([Dense("x"), Categorical("x_id", column="x")])
    assert schema.columns == ("x",)


def test_a_time_feature_alone_makes_a_schema():
    schema = Schema([], timestamp=TIME)
    assert [f.name for f in schema.single] == ["hour", "weekend"]
    cross = Cross("c", ("hour", "city"))
    assert Schema([CITY, cross], timestamp=TIME)["c"] == cross
