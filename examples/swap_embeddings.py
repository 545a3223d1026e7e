# %% [markdown]
# # Smaller embeddings in a Keras model that exists already
#
# There are two ways, and neither needs the code that built the model:
#
# 1. `keras_pss.compress_model` takes the trained model. It fits compressed
#    tables to the trained ones and keeps all else; `fine_tune` recovers part of
#    what that cost.
# 2. `keras.models.clone_model` copies the architecture with compressed layers
#    in place of the embeddings. The copy is trained from scratch.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'` (or `[jax,train]`)
# - Run: `python examples/swap_embeddings.py`, about 15 seconds of CPU time
#
# ```text
# model                   parameters  test AUC
# as it is                    97,601    0.7442
# converted                   11,201    0.6794
# converted, tuned            11,201    0.7123
# trained from scratch        11,201    0.7299
# ...
# ```

# %%
import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import keras_pss
from keras_pss.data import synthetic
from keras_pss.metrics import Metrics

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=150_000)
parser.add_argument("--users", type=int, default=5_000)
parser.add_argument("--items", type=int, default=1_000)
parser.add_argument("--epochs", type=int, default=2)
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## A model of Keras alone
#
# It stands for yours: stock layers, compiled and trained.

# %%
likes = synthetic.generate_likes(
    rows=options.rows,
    num_users=options.users,
    num_items=options.items,
    bayes_auc=0.85,
)
train, validation, test = likes.split(last=0.1)


def data(part):
    return {"user": part.users, "item": part.items}, part.labels


def plain_model():
    user = keras.Input((), dtype="int32", name="user")
    item = keras.Input((), dtype="int32", name="item")
    u = keras.layers.Embedding(options.users, 16, name="users")(user)
    i = keras.layers.Embedding(options.items, 16, name="items")(item)
    x = keras.layers.Concatenate()([u, i, u * i])
    x = keras.layers.Dense(32, activation="relu")(x)
    x = keras.layers.Dense(1, activation="sigmoid")(x)
    return keras.Model({"user": user, "item": item}, x)


def fit(model):
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy")
    model.fit(*data(train), batch_size=1024, epochs=options.epochs, verbose=0)


aucs = {}


def show(name, model):
    x, y = data(test)
    scores = model.predict_on_batch(x)
    aucs[name] = Metrics.of(y, scores).auc
    print(f"{name:22}{model.count_params():>12,}{aucs[name]:>10.4f}")


keras.utils.set_random_seed(0)
model = plain_model()
fit(model)
print(f"{'model':22}{'parameters':>12}{'test AUC':>10}")
show("as it is", model)

# %% [markdown]
# ## 1. Compress the trained model
#
# The counts say which ids matter: how often each occurs in the training rows.

# %%
small, report = keras_pss.compress_model(
    model,
    method="robe",
    budget="10x",
    counts={"users": train.user_counts, "items": train.item_counts},
)
show("converted", small)
keras_pss.fine_tune(small, data(train), data(validation))
show("converted, tuned", small)

# %% [markdown]
# ## 2. Train a copy with other layers
#
# `clone_function` is called for each layer and returns what takes its place.


# %%
def compressed(layer):
    if not isinstance(layer, keras.layers.Embedding):
        return layer.__class__.from_config(layer.get_config())
    return keras_pss.embedding(
        layer.input_dim,
        layer.output_dim,
        method="robe",
        budget="10x",
        embeddings_initializer=layer.embeddings_initializer,
        name=layer.name,
    )


keras.utils.set_random_seed(0)
copy = keras.models.clone_model(model, clone_function=compressed)
fit(copy)
show("trained from scratch", copy)
print(report)
