# %% [markdown]
# # Open vocabulary: raw ids, hashed, without a dictionary
#
# Users and items come as texts, and new ones come every day. A vocabulary that
# was built on the first day gives all new items one id (out of vocabulary). A
# ROBE table with `input_dim=None` takes any hash of 63 bits as an id: nothing
# is built, nothing grows, and new items are learned as soon as they occur.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'` (or `[jax,train]`)
# - Run: `python examples/open_vocabulary.py`, about 10 seconds of CPU time
#
# ```text
# ids                    parameters  day     AUC  new items
# vocabulary of day 0        41,297    1  0.6855     0.6516
# vocabulary of day 0        41,297    2  0.6998     0.6787
# vocabulary of day 0        41,297    3  0.7051     0.6817
# open vocabulary            33,601    1  0.6755     0.6374
# open vocabulary            33,601    2  0.7108     0.6998
# open vocabulary            33,601    3  0.7401     0.7416
# ```

# %%
import argparse
import hashlib
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_pss
from keras_pss.data import synthetic
from keras_pss.metrics import Metrics

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=200_000)
parser.add_argument("--users", type=int, default=2_000)
parser.add_argument("--items", type=int, default=1_000)
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Data
#
# Four days. Half of the items are there from the first day; each of the next
# two days brings another quarter.

# %%
likes = synthetic.generate_likes(
    rows=options.rows,
    num_users=options.users,
    num_items=options.items,
    bayes_auc=0.85,
)
random = np.random.default_rng(1)
since = random.choice([0, 0, 1, 2], options.items)  # first day of each item
day = random.integers(since[likes.items], 4)
users = np.array([f"user {n}" for n in likes.user_ids])[likes.users]
items = np.array([f"item {n}" for n in likes.item_ids])[likes.items]

# %% [markdown]
# ## Ids
#
# A hash that is the same on all machines and in all versions: the first 63 bits
# of BLAKE2b. Two of a billion texts have the same one with a probability of one
# in twenty. JAX cuts integers to 32 bits unless JAX_ENABLE_X64=1 is set: there,
# 31 bits.

# %%
BITS = 31 if keras.backend.backend() == "jax" else 63


def hashed(texts):
    """Texts (n,) to int64 ids (n,) in [0, 2^BITS)."""
    distinct, place = np.unique(texts, return_inverse=True)
    ids = [
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        for text in distinct.tolist()
    ]
    return (np.array(ids, "uint64") >> np.uint64(64 - BITS)).astype("int64")[
        place
    ]


def looked_up(texts, vocabulary):
    """Texts (n,) to ids by a sorted vocabulary; 0 is out of vocabulary."""
    place = np.searchsorted(vocabulary, texts).clip(max=len(vocabulary) - 1)
    return np.where(vocabulary[place] == texts, place + 1, 0)


known = [np.unique(texts[day == 0]) for texts in (users, items)]
ids = {
    "vocabulary of day 0": [
        looked_up(users, known[0]),
        looked_up(items, known[1]),
    ],
    "open vocabulary": [hashed(users), hashed(items)],
}

# %% [markdown]
# ## Models


# %%
def build(user_embedding, item_embedding, dtype):
    user = keras.Input((), dtype=dtype, name="user")
    item = keras.Input((), dtype=dtype, name="item")
    u, i = user_embedding(user), item_embedding(item)
    x = keras.layers.Concatenate()([u, i, u * i])
    x = keras.layers.Dense(32, activation="relu")(x)
    like = keras.layers.Dense(1, activation="sigmoid")(x)
    return keras_pss.models.Model({"user": user, "item": item}, like)


def vocabulary_model():
    tables = [keras.layers.Embedding(len(texts) + 1, 16) for texts in known]
    return build(*tables, "int32")


def open_model():
    memory = keras_pss.SharedMemory(options.users * 16)
    tables = [keras_pss.ROBEEmbedding(None, 16, memory=memory) for _ in "ui"]
    return build(*tables, "int64" if BITS > 31 else "int32")


# %% [markdown]
# ## Day by day
#
# Each day is scored before it is trained on, as in production.

# %%
aucs = {}
print(f"{'ids':22}{'parameters':>11}{'day':>5}{'AUC':>8}{'new items':>11}")
for name, make in {
    "vocabulary of day 0": vocabulary_model,
    "open vocabulary": open_model,
}.items():
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy")
    for today in range(4):
        rows = day == today
        x = dict(
            zip(("user", "item"), (i[rows] for i in ids[name]), strict=True)
        )
        y = likes.labels[rows]
        if today:
            scores = model.predict_on_batch(x)
            new = since[likes.items[rows]] > 0
            aucs[name, today] = (
                Metrics.of(y, scores).auc,
                Metrics.of(y[new], scores[new]).auc,
            )
            print(
                f"{name:22}{model.count_params():>11,}{today:>5}"
                f"{aucs[name, today][0]:>8.4f}{aucs[name, today][1]:>11.4f}"
            )
        model.fit(x, y, batch_size=1024, epochs=2, verbose=0)
