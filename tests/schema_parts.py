"""Features that tests of schemas share."""

from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    MultiCategorical,
    Timestamp,
)

CITY = Categorical("city")
ITEM = Categorical("item", "item_id", "integer")
VIEWED = MultiCategorical(
    "viewed",
    dtype="integer",
    table="item",
    separator=" ",
    max_length=3,
    weights="seconds",
)
PRICE = Dense("price", transform="log1p")
AGE = Dense("age", transform="buckets", num_buckets=4)
PAIR = Cross("pair", ("city", "item"))
TIME = Timestamp("at", features=("hour", "weekend"))
