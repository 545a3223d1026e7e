# %% [markdown]
# # Your own CSV, from a file to the score of a raw row
#
# A log is a table with a label. This makes a small one of a shop and takes it
# all the way: draft a schema, prepare, train, export, and score rows as they
# stand in the file. With a CSV of your own, give its path and its label.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'`
# - Run: `python examples/own_csv.py`, about 20 seconds of CPU time, or
#   `python examples/own_csv.py clicks.csv.gz --label clicked`
#
# ```text
# title = ...
# ...
# {'user': 2001, 'item': 643, 'hour': 25, 'weekday': 8, 'weekend': 3, 'tags': 6}
# tables        parameters  test AUC
# full      1x      45,662    0.8902
# auto     10x       4,564    0.8905
# shape: (5, 7)
# ┌───────┬──────┬──────────────┬───────┬────────────┬─────────┬──────────┐
# │ user  ┆ item ┆ tags         ┆ price ┆ at         ┆ clicked ┆ score    │
# │ ---   ┆ ---  ┆ ---          ┆ ---   ┆ ---        ┆ ---     ┆ ---      │
# │ str   ┆ str  ┆ str          ┆ f64   ┆ i64        ┆ i64     ┆ f32      │
# ╞═══════╪══════╪══════════════╪═══════╪════════════╪═════════╪══════════╡
# │ u1390 ┆ i4   ┆ blue|sale    ┆ 4.25  ┆ 1701799700 ┆ 1       ┆ 0.404743 │
# │ u1864 ┆ i4   ┆ red|sale     ┆ 8.04  ┆ 1701799760 ┆ 0       ┆ 0.373525 │
# │ u1106 ┆ i2   ┆ eco          ┆ 37.86 ┆ 1701799820 ┆ 0       ┆ 0.223364 │
# │ u486  ┆ i10  ┆ eco|blue|red ┆ 3.13  ┆ 1701799880 ┆ 0       ┆ 0.727313 │
# │ u564  ┆ i1   ┆ new|eco|sale ┆ 8.74  ┆ 1701799940 ┆ 0       ┆ 0.238232 │
# └───────┴──────┴──────────────┴───────┴────────────┴─────────┴──────────┘
# largest difference: 0.0
# ```

# %%
import argparse
import os
import random
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import polars as pl
import tensorflow as tf

from keras_pss import data, training
from keras_pss.data.infer_schema import infer

parser = argparse.ArgumentParser()
parser.add_argument("log", nargs="?", type=Path, help="a CSV with a header")
parser.add_argument("--label", default="clicked")
parser.add_argument("--rows", type=int, default=30_000)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--batch-size", type=int, default=512)
parser.add_argument("--out", type=Path, default=Path("out/own_csv"))
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
options.out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## A log
#
# A user, an item, tags divided by bars, a price, a time in seconds, and whether
# the user clicked. Popular items are clicked more, and some tags sell.

# %%
TAGS = {"new": 0.3, "sale": 1.2, "red": -0.4, "blue": 0.0, "eco": 0.6}


def write_shop(path, rows):
    draw = random.Random(0)
    moods = [draw.gauss(0, 1) for _ in range(2_000)]
    appeals = [draw.gauss(0, 1) for _ in range(2_000)]
    with path.open("w") as file:
        print("user,item,tags,price,at,clicked", file=file)
        for row in range(rows):
            user = draw.randrange(2_000)
            item = int(draw.paretovariate(0.7)) % 2_000
            tags = draw.sample(list(TAGS), draw.randrange(4))
            price = draw.lognormvariate(2, 1)
            odds = moods[user] + appeals[item] - 0.05 * price - 1
            odds += sum(TAGS[tag] for tag in tags)
            clicked = int(draw.gauss(0, 1) < odds)
            print(
                *(f"u{user}", f"i{item}", "|".join(tags), f"{price:.2f}"),
                *(1_700_000_000 + 60 * row, clicked),
                sep=",",
                file=file,
            )


log = options.log
if log is None:
    log = options.out / "clicks.csv"
    write_shop(log, options.rows)

# %% [markdown]
# ## Schema
#
# What each column is, guessed from names and values. Read it through and edit
# the file; docs/data.md lists what it may say.

# %%
schema, _ = infer(log, label=options.label)
schema.save(options.out / "schema.toml")
print((options.out / "schema.toml").read_text())

# %% [markdown]
# ## Prepare
#
# Ids by decreasing count, and fixed-length records. The last rows in time are
# for testing.

# %%
prepared = data.prepare(log, options.out / "data", schema, overwrite=True)
print(prepared.tables)

# %% [markdown]
# ## Train and export
#
# A run keeps the best epoch on validation rows, tests it once and exports it
# as a SavedModel that takes raw rows.

# %%
aucs = {}
print(f"{'tables':12}{'parameters':>12}{'test AUC':>10}")
for method, budget in (("full", "1x"), ("auto", "10x")):
    config = training.RunConfig(
        model="deepfm",
        method=method,
        budget=budget,
        batch_size=options.batch_size,
        epochs=options.epochs,
    )
    run = options.out / f"run_{method}"
    shutil.rmtree(run, ignore_errors=True)  # that of an earlier call
    report = training.train(prepared, config, run, verbose=0)
    aucs[method] = report["auc"]
    print(
        f"{method:6}{budget:>6}{report['embedding_params']:>12,}"
        f"{report['auc']:>10.4f}"
    )

# %% [markdown]
# ## Score raw rows
#
# In Python, and by TensorFlow alone: the SavedModel needs neither Keras nor
# keras_pss. docs/serving.md says how TensorFlow Serving answers the same.

# %%
rows = pl.read_csv(log).tail(5)
score = training.raw_model(run)
scores = score(rows)
print(rows.with_columns(pl.Series("score", scores)))

served = tf.saved_model.load(run / "saved_model").signatures["serve_raw"]
raw = {
    name: tf.constant(rows[name].fill_null("").cast(pl.String).to_list())
    if spec.dtype == tf.string
    else tf.constant(rows[name].to_list(), spec.dtype)
    for name, spec in served.structured_input_signature[1].items()
}
served_scores = served(**raw)["probability"]
print("largest difference:", np.abs(served_scores - scores).max())
