"""A generated log of a shop: users, items, histories, tags, prices, times."""

import numpy as np

from keras_pss.features import (
    Categorical,
    Cross,
    Dense,
    Format,
    Group,
    Label,
    MultiCategorical,
    Schema,
    Timestamp,
)

SCHEMA = Schema(
    [
        Categorical("user"),
        Categorical("item", min_count=2),
        MultiCategorical(
            "viewed", separator=" ", max_length=3, table="item", min_count=2
        ),
        MultiCategorical(
            "tags",
            separator="|",
            max_length=2,
            combiner="sum",
            weights="scores",
        ),
        Dense("price", transform="log1p"),
        Dense("age", transform="buckets", num_buckets=4),
        Dense("rank", transform="standard", missing="mean"),
        Cross("user_hour", columns=("user", "hour"), buckets=50),
    ],
    label=Label("clicked"),
    timestamp=Timestamp("at", format="epoch_s", features=("hour",)),
    group=Group("user"),
    keys=("row",),
    format=Format(separator=","),
)
HEADER = "row,user,item,viewed,tags,scores,price,age,rank,at,clicked"


def lines(rows: int, seed: int = 0) -> list[str]:
    """Rows of the log, in time order, without the header."""
    draw = np.random.RandomState(seed)
    found = []
    for row in range(rows):
        tags = draw.choice(6, draw.randint(0, 4), replace=False)
        viewed = draw.randint(0, 20, draw.randint(0, 5))
        fields = [
            f"r{row}",
            f"u{draw.randint(0, 30)}",
            f"i{draw.randint(0, 20)}",
            " ".join(f"i{item}" for item in viewed),
            "|".join(f"tag {tag}" for tag in tags),
            "|".join(f"{draw.random_sample():.3f}" for _ in tags),
            "" if draw.rand() < 0.1 else f"{draw.lognormal(2):.2f}",
            "" if draw.rand() < 0.1 else str(draw.randint(16, 90)),
            "" if draw.rand() < 0.1 else f"{draw.normal(5, 2):.3f}",
            str(1_700_000_000 + 600 * row),
            str(int(draw.rand() < (0.7 if 1 in tags else 0.3))),
        ]
        found.append(",".join(fields))
    return found


def write(path, rows: int, seed: int = 0):
    """Writes the log with its header; returns the path."""
    path.write_text("\n".join([HEADER, *lines(rows, seed)]) + "\n")
    return path
