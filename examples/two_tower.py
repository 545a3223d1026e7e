# %% [markdown]
# # Two-tower retrieval with a shared memory
#
# A tower of users and a tower of items map into one space, in which the items
# nearest to a user are recommended. Each positive pair of a batch competes with
# the items of the other pairs (an in-batch softmax), whose scores are corrected
# for how often popular items are drawn (Yi et al., "Sampling-bias-corrected
# neural modeling for large corpus item recommendations", RecSys 2019).
#
# The embeddings of both towers are full tables, or ROBE tables that share one
# memory of half or of a tenth of their size. Recall@k is that of a search
# through all items.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'` (or `[jax,train]`)
# - Run: `python examples/two_tower.py`, about 35 seconds of CPU time
#
# ```text
# embeddings        parameters  recall@10  recall@100
# popularity             1,000      0.138       0.425
# full                 136,384      0.275       0.710
# robe 2x               72,384      0.282       0.716
# robe 10x              21,184      0.189       0.550
# ```

# %%
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

import keras_pss
from keras_pss.data import synthetic

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=200_000)
parser.add_argument("--users", type=int, default=3_000)
parser.add_argument("--items", type=int, default=1_000)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--out", type=Path, default=Path("out/two_tower"))
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Data
#
# Pairs of a user and an item that the user liked. The last like of each user is
# held out.

# %%
sizes = [options.users, options.items]
likes = synthetic.generate_likes(
    rows=options.rows,
    num_users=options.users,
    num_items=options.items,
    bayes_auc=0.9,
)
train, _, test = likes.split(last=1)


def pairs(part):
    liked = part.labels == 1
    return part.users[liked], part.items[liked]


users, items = pairs(train)
held_users, held_items = pairs(test)
popularity = np.bincount(items, minlength=options.items) + 1.0
log_q = np.log(popularity / popularity.sum()).astype("float32")

# %% [markdown]
# ## Model
#
# The logit of user b and item c of a batch is `u_b · v_c - log Q(c)`, where
# Q(c) is the item's share of the pairs. Without the correction, the towers
# would learn to avoid popular items.


# %%
class TwoTower(keras.Model):
    """A tower for users and one for items, trained on positive pairs."""

    def __init__(self, user_tower, item_tower):
        super().__init__()
        self.user_tower = user_tower
        self.item_tower = item_tower

    def call(self, inputs):
        return self.user_tower(inputs["user"]), self.item_tower(inputs["item"])

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        user, item = y_pred
        logits = ops.matmul(user, ops.transpose(item)) - x["log_q"]
        # The same item in another pair is no negative.
        same = x["item"][:, None] == x["item"]
        itself = ops.eye(ops.shape(same)[0], dtype="bool")
        logits = ops.where(same & ~itself, -1e9, logits)
        return -ops.mean(ops.diagonal(ops.log_softmax(logits)))


def tower(embedding):
    return keras.Sequential(
        [
            keras.Input((), dtype="int32"),
            embedding,
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(32),
        ]
    )


def full_tables():
    return [keras.layers.Embedding(n, 32) for n in sizes]


def shared_memory(ratio):
    memory = keras_pss.SharedMemory(sum(sizes) * 32 // ratio)
    return [keras_pss.ROBEEmbedding(n, 32, memory=memory) for n in sizes]


# %% [markdown]
# ## Recall@k
#
# A held-out like is found if it is among the k best of all items that the user
# has not met before.


# %%
def recall(scores, most=200):
    """Recall@1 to recall@most of scores (users, items)."""
    scores = scores.copy()
    scores[train.users, train.items] = -np.inf
    scores = scores[held_users]
    own = np.take_along_axis(scores, held_items[:, None], axis=1)
    rank = (scores > own).sum(1)
    return np.cumsum(np.bincount(rank, minlength=most)[:most]) / len(rank)


models = {
    "full": full_tables,
    "robe 2x": lambda: shared_memory(2),
    "robe 10x": lambda: shared_memory(10),
}
recalls = {"popularity": recall(np.tile(popularity, (options.users, 1)))}
print(f"{'embeddings':16}{'parameters':>12}{'recall@10':>11}{'recall@100':>12}")


def show(name, parameters):
    curve = recalls[name]
    print(f"{name:16}{parameters:>12,}{curve[9]:>11.3f}{curve[99]:>12.3f}")


show("popularity", options.items)
for name, tables in models.items():
    keras.utils.set_random_seed(0)
    model = TwoTower(*map(tower, tables()))
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(
        {"user": users, "item": items, "log_q": log_q[items]},
        batch_size=512,
        epochs=options.epochs,
        verbose=0,
    )
    user = ops.convert_to_numpy(model.user_tower(np.arange(options.users)))
    item = ops.convert_to_numpy(model.item_tower(np.arange(options.items)))
    recalls[name] = recall(user @ item.T)
    show(name, model.count_params())

# %% [markdown]
# ## Results
#
# `items.npy` is what a nearest-neighbor index takes.

# %%
options.out.mkdir(parents=True, exist_ok=True)
np.save(options.out / "items.npy", item)
figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
for name, curve in recalls.items():
    axes.plot(np.arange(1, len(curve) + 1), curve, label=name)
axes.set(xlabel="k", ylabel="recall@k of a held-out like")
axes.legend()
figure.savefig(options.out / "recall.png", dpi=150)
