# %% [markdown]
# # Multi-hot features: bags of ids with weights
#
# Who a user is, is told here by what they liked before, not by an id: a bag of
# items, weighted 1 for a like and -1 for the opposite. So the model works for
# users whom it has never seen. The bag and the candidate item share a table.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'` (or `[jax,train]`)
# - Run: `python examples/multi_hot.py`, about 20 seconds of CPU time
#
# ```text
# table                 parameters  AUC of new users
# full              1x       8,000            0.7175
# robe              4x       2,000            0.7204
# mixed_dimension   4x       1,548            0.7174
# 3 forms of 100 bags: the same vectors
# ```

# %%
import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_pss
from keras_pss.data import synthetic
from keras_pss.metrics import Metrics

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=150_000)
parser.add_argument("--users", type=int, default=5_000)
parser.add_argument("--items", type=int, default=500)
parser.add_argument("--epochs", type=int, default=4)
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Data
#
# The first interactions of each user, at most 20 and at most half of them, are
# the history, and the later ones are the rows. A fifth of the users is only
# in the test rows. Bags are padded with -1.

# %%
LENGTH = 20
likes = synthetic.generate_likes(
    rows=options.rows,
    num_users=options.users,
    num_items=options.items,
    bayes_auc=0.85,
)
counts = likes.user_counts
first = np.cumsum(counts) - counts
place = np.arange(len(likes)) - first[likes.users]  # from the user's first row
in_history = place < np.minimum(LENGTH, counts // 2)[likes.users]

history = np.full((options.users, LENGTH), -1, "int32")
weights = np.zeros((options.users, LENGTH), "float32")
at = likes.users[in_history], place[in_history]
history[at] = likes.items[in_history]
weights[at] = 2.0 * likes.labels[in_history] - 1


def rows(chosen):
    users = likes.users[chosen]
    x = {
        "item": likes.items[chosen],
        "history": history[users],
        "history_weights": weights[users],
    }
    return x, likes.labels[chosen]


new_user = likes.users % 5 == 0
train, test = rows(~in_history & ~new_user), rows(~in_history & new_user)

# %% [markdown]
# ## Model
#
# Features have names, and two of them read one table. Each is one id, or a bag
# of `length` ids with a `combiner`.


# %%
def build(method, budget):
    tables = keras_pss.EmbeddingCollection(
        {"item": options.items},
        16,
        method,
        budget,
        features={
            "item": "item",
            "history": keras_pss.FeatureConfig(
                "item", length=LENGTH, combiner="sqrtn", weighted=True
            ),
        },
    )
    return tables, keras_pss.models.NeuralCF(tables, hidden_units=(64, 32))


# %% [markdown]
# ## Train and compare

# %%
aucs = {}
print(f"{'table':20}{'parameters':>12}{'AUC of new users':>18}")
for method, budget in [
    ("full", "1x"),
    ("robe", "4x"),
    ("mixed_dimension", "4x"),
]:
    keras.utils.set_random_seed(0)
    tables, model = build(method, budget)
    model.compile("adam", "binary_crossentropy")
    model.fit(*train, batch_size=1024, epochs=options.epochs, verbose=0)
    scores = model.predict_on_batch(test[0])
    aucs[method] = Metrics.of(test[1], scores).auc
    print(
        f"{method:16}{budget:>4}{tables.count_params():>12,}{aucs[method]:>18.4f}"
    )

# %% [markdown]
# ## Other forms of bags
#
# In a model of your own, `EmbeddingBag` pools the rows of any layer. It takes
# padded ids with a mask, all ids with row splits as PyTorch's `EmbeddingBag`,
# and on TensorFlow ragged and sparse tensors.

# %%
bag = keras_pss.EmbeddingBag(
    keras_pss.embedding(options.items, 16, "robe", "4x"), combiner="sqrtn"
)
padded, numbers = history[:100], weights[:100]
mask = padded >= 0
pooled = bag(padded, weights=numbers, mask=mask)
row_splits = np.concatenate([[0], np.cumsum(mask.sum(1))])
forms = [bag(padded[mask], weights=numbers[mask], row_splits=row_splits)]
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    ragged = tf.RaggedTensor.from_row_splits
    forms.append(
        bag(
            ragged(padded[mask], row_splits),
            weights=ragged(numbers[mask], row_splits),
        )
    )
numpy = keras.ops.convert_to_numpy
for form in forms:
    np.testing.assert_allclose(numpy(form), numpy(pooled), atol=1e-6)
print(f"{1 + len(forms)} forms of {len(padded)} bags: the same vectors")
