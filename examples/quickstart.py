# %% [markdown]
# # Quickstart: compressed embeddings in a Keras model
#
# A model of two embeddings is trained to tell which items users like, three
# times: with `keras.layers.Embedding`, and with two compressed layers in its
# place. The last one is saved, loaded and asked for a prediction. The likes are
# generated.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'` (or `[jax,train]`)
# - Run: `python examples/quickstart.py`, about 15 seconds of CPU time
#
# ```text
# embeddings    parameters  test AUC
# full             177,601    0.7474
# robe              19,201    0.7384
# low rank          12,633    0.7493
# the true probabilities      0.8508
# likes: 0.341 0.496
# ```

# %%
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_pss
from keras_pss.data import synthetic
from keras_pss.metrics import Metrics

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=200_000)
parser.add_argument("--users", type=int, default=10_000)
parser.add_argument("--items", type=int, default=1_000)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--out", type=Path, default=Path("out/quickstart"))
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Data
#
# Which items each user met, and liked or not. Popularity follows Zipf's law,
# and what a user likes depends on tastes, so that there is something to learn.
# The last tenth of each user's rows is for testing, the tenth before it for
# validation.

# %%
likes = synthetic.generate_likes(
    rows=options.rows,
    num_users=options.users,
    num_items=options.items,
    bayes_auc=0.85,
)
train, validation, test = likes.split(last=0.1)


def inputs(part):
    return {"user": part.users, "item": part.items}


# %% [markdown]
# ## Model
#
# `embedding` is the only part that changes. `keras_pss.models.Model` is
# `keras.Model` with a check of the ids, which Keras itself would truncate.


# %%
def build(embedding):
    user = keras.Input((), dtype="int32", name="user")
    item = keras.Input((), dtype="int32", name="item")
    u = embedding(likes.num_users, 16)(user)
    i = embedding(likes.num_items, 16)(item)
    x = keras.layers.Concatenate()([u, i, u * i])
    x = keras.layers.Dense(32, activation="relu")(x)
    like = keras.layers.Dense(1, activation="sigmoid")(x)
    return keras_pss.models.Model({"user": user, "item": item}, like)


def robe(rows, width):
    return keras_pss.embedding(rows, width, method="robe", budget="10x")


def low_rank(rows, width):
    return keras_pss.embedding(rows, width, "mixed_dimension", budget="10x")


# %% [markdown]
# ## Train and compare

# %%
layers = {"full": keras.layers.Embedding, "robe": robe, "low rank": low_rank}
aucs = {}
print(f"{'embeddings':12}{'parameters':>12}{'test AUC':>10}")
for name, layer in layers.items():
    keras.utils.set_random_seed(0)
    model = build(layer)
    model.compile(
        keras.optimizers.Adam(2e-3),
        "binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc")],
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
    scores = model.predict_on_batch(inputs(test))
    aucs[name] = Metrics.of(test.labels, scores).auc
    print(f"{name:12}{model.count_params():>12,}{aucs[name]:>10.4f}")
print(f"the true probabilities{'':2}{test.bayes_auc:>10.4f}")

# %% [markdown]
# ## Save and load
#
# A `.keras` file needs `import keras_pss` to load, and nothing else.

# %%
options.out.mkdir(parents=True, exist_ok=True)
model.save(options.out / "model.keras")
loaded = keras.models.load_model(options.out / "model.keras")
some = {"user": np.array([7, 8]), "item": np.array([0, 99])}
print("likes:", *loaded.predict_on_batch(some)[:, 0].round(3))
