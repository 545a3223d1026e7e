# %% [markdown]
# # Several devices: data parallelism with compressed tables
#
# Each device has the whole model and a part of each batch, and gradients are
# summed. A compressed table makes the copies and the sums small. The result is
# that of one device, up to the order in which numbers are added, which this
# shows: the same model is trained on one device and on several.
#
# It needs no GPU: the CPU is divided into logical devices. On GPUs, leave out
# the lines that divide it.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'`, or for JAX
#   `pip install '.[tensorflow-cpu,jax]'`
# - Run: `python examples/distributed.py`, about 20 seconds of CPU time;
#   on JAX, `KERAS_BACKEND=jax python examples/distributed.py`
#
# ```text
# tables   devices  numbers sent a step  test AUC
# full           1                    0    0.7384
# full           2              116,241    0.7380
# robe           1                    0    0.7129
# robe           2               15,441    0.7122
# ```

# %%
import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

import keras_pss
from keras_pss import distribution
from keras_pss.data import synthetic
from keras_pss.metrics import Metrics

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=100_000)
parser.add_argument("--users", type=int, default=3_000)
parser.add_argument("--items", type=int, default=500)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--devices", type=int, default=2)
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Devices
#
# They are set and connected before the backend runs anything.

# %%
if keras.backend.backend() == "jax":
    import jax

    jax.config.update("jax_num_cpu_devices", options.devices)
    several = distribution.connect("jax")
else:
    (cpu,) = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * options.devices
    tf.config.set_logical_device_configuration(cpu, logical)
    several = distribution.connect("mirrored")
one = distribution.connect(None)

# %% [markdown]
# ## Data and model
#
# A batch is that of all devices together.

# %%
BATCH = 1024
likes = synthetic.generate_likes(
    rows=options.rows,
    num_users=options.users,
    num_items=options.items,
    bayes_auc=0.85,
)
train, _, test = likes.split(last=0.1)


def batches():
    """Batches in the same order for each model."""
    rows = {"categorical": train.ids()}, train.labels.astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices(rows)
    return dataset.shuffle(len(train), seed=0).batch(BATCH).repeat()


def build(method):
    tables = keras_pss.EmbeddingCollection(
        [options.users, options.items], 16, method, "10x"
    )
    model = keras_pss.models.NeuralCF(tables, hidden_units=(64, 32))
    model.compile("adam", "binary_crossentropy")
    return model


# %% [markdown]
# ## Train and compare
#
# A step sends the gradients of all parameters.

# %%
aucs = {}
print(f"{'tables':8}{'devices':>8}{'numbers sent a step':>21}{'test AUC':>10}")
for method in ("full", "robe"):
    for devices in (one, several):
        keras.utils.set_random_seed(0)
        with devices.scope():
            model = build(method)
        devices.fit(
            model,
            batches(),
            epochs=options.epochs,
            steps_per_epoch=-(-len(train) // BATCH),
            verbose=0,
        )
        with devices.whole(model):
            scores = keras.ops.convert_to_numpy(
                model({"categorical": test.ids()})
            )
        aucs[method, devices.count] = Metrics.of(test.labels, scores).auc
        sent = model.count_params() if devices.count > 1 else 0
        print(
            f"{method:8}{devices.count:>8}{sent:>21,}"
            f"{aucs[method, devices.count]:>10.4f}"
        )
