# %% [markdown]
# # Neural collaborative filtering of MovieLens at several sizes
#
# NeuMF (He et al., WWW 2017) predicts which movies users like. It is trained
# with full tables and with several methods and budgets in their place.
#
# Nothing is downloaded. Give the path of `ratings.dat` (MovieLens 1M or 10M) or
# `ratings.csv` (later ones) from https://grouplens.org/datasets/movielens;
# without one, likes are generated.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'` (or `[jax,train]`)
# - Run: `python examples/movielens_ncf.py`, about 30 seconds of CPU time, or
#   `python examples/movielens_ncf.py ml-1m/ratings.dat`
#
# ```text
# 150,000 ratings, 2,000 users, 1,000 items
# tables                parameters     AUC    gAUC
# full              1x      96,000  0.7045  0.6414
# robe              3x      32,000  0.7037  0.6396
# robe             10x       9,600  0.6966  0.6408
# robe             30x       3,200  0.6618  0.6212
# mixed_dimension  10x       6,064  0.7000  0.6364
# hash             10x       9,600  0.5908  0.5533
# ```

# %%
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt

import keras_pss
from keras_pss.data import movielens, synthetic
from keras_pss.metrics import GroupAUC, Metrics

parser = argparse.ArgumentParser()
parser.add_argument("ratings", nargs="?", help="ratings.dat or ratings.csv")
parser.add_argument("--rows", type=int, default=150_000)
parser.add_argument("--users", type=int, default=2_000)
parser.add_argument("--items", type=int, default=1_000)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--out", type=Path, default=Path("out/movielens_ncf"))
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Data
#
# A rating of 4 and more is a like. The last tenth of each user's ratings is for
# testing, the tenth before it for validation.

# %%
if options.ratings:
    likes = movielens.load(options.ratings)
else:
    likes = synthetic.generate_likes(
        rows=options.rows, num_users=options.users, num_items=options.items
    )
train, validation, test = likes.split(last=0.1)
sizes = [likes.num_users, likes.num_items]
print(f"{len(likes):,} ratings, {sizes[0]:,} users, {sizes[1]:,} items")

# %% [markdown]
# ## Model
#
# NeuMF has two pairs of tables, one for the product and one for the MLP.


# %%
def neural_cf(method, budget):
    def tables(width):
        return keras_pss.EmbeddingCollection(
            sizes, width, method, budget, embeddings_initializer="normal"
        )

    pair = tables(16), tables(16)
    model = keras_pss.models.NeuralCF(*pair, hidden_units=(64, 32))
    return model, sum(each.count_params() for each in pair)


def inputs(part):
    return {"categorical": part.ids()}


# %% [markdown]
# ## Train and compare
#
# AUC, and its mean over the users (gAUC), which does not count who likes much.

# %%
results = {}
print(f"{'tables':20}{'parameters':>12}{'AUC':>8}{'gAUC':>8}")
for method, budget in [
    ("full", "1x"),
    ("robe", "3x"),
    ("robe", "10x"),
    ("robe", "30x"),
    ("mixed_dimension", "10x"),
    ("hash", "10x"),
]:
    keras.utils.set_random_seed(0)
    model, parameters = neural_cf(method, budget)
    model.compile(
        "adam", "binary_crossentropy", metrics=[keras.metrics.AUC(name="auc")]
    )
    model.fit(
        inputs(train),
        train.labels,
        batch_size=1024,
        epochs=options.epochs,
        validation_data=(inputs(validation), validation.labels),
        callbacks=[
            keras.callbacks.EarlyStopping(
                "val_auc", mode="max", patience=1, restore_best_weights=True
            )
        ],
        verbose=0,
    )
    scores = keras.ops.convert_to_numpy(model(inputs(test)))
    auc = Metrics.of(test.labels, scores).auc
    gauc = GroupAUC.of(test.labels, scores, test.users).gauc
    results[method, budget] = parameters, auc
    print(f"{method:16}{budget:>4}{parameters:>12,}{auc:>8.4f}{gauc:>8.4f}")

# %% [markdown]
# ## Plot

# %%
options.out.mkdir(parents=True, exist_ok=True)
figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
axes.axhline(results["full", "1x"][1], color="gray", label="full")
for method in ("robe", "mixed_dimension", "hash"):
    points = [v for (name, _), v in results.items() if name == method]
    axes.plot(*zip(*points, strict=True), "o-", label=method)
axes.set(xscale="log", xlabel="parameters of the tables", ylabel="test AUC")
axes.legend()
figure.savefig(options.out / "auc.png", dpi=150)
