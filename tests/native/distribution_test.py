"""Kernels under a `keras.distribution` of JAX: each device, its own ids."""

import os
import subprocess
import sys

import pytest
from kernels import BACKEND

pytestmark = [
    pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution"),
    pytest.mark.slow,
]

SCRIPT = """
import keras, numpy as np, jax, keras_pss
from keras_pss import native
from keras_pss.distribution import TableParallel

assert native.available()

def model():
    keras.utils.set_random_seed(0)
    ids = keras.Input((3,), dtype="int32")
    rows = keras_pss.ROBEEmbedding(
        500, 8, memory_size=1 << 16, block_size=4, sign=True)(ids)
    model = keras.Model(ids, keras.layers.Dense(1)(
        keras.layers.Flatten()(rows)))
    model.compile("adam", "mse")
    return model

ids = np.random.default_rng(0).integers(0, 500, (64, 3)).astype("int32")
labels = (ids[:, :1] % 2).astype("float32")

def trained():
    built = model()
    losses = built.fit(ids, labels, batch_size=16, epochs=2, shuffle=False,
                       verbose=0).history["loss"]
    return losses, built.get_weights()

def steps(built, rows):
    # What a step consists of for the first rows.
    state = [[v.value for v in part] for part in (
        built.trainable_variables, built.non_trainable_variables,
        built.optimizer.variables, built.metrics_variables)]
    step = jax.jit(lambda state, data: built.train_step(state, data))
    return step.lower(state, (ids[:rows], labels[:rows])).as_text()

def has_kernels(rows=16):
    built = model()
    built.train_on_batch(ids[:16], labels[:16])
    text = steps(built, rows)
    lookup = "@keras_pss_robe_lookup" in text
    assert lookup == ("@keras_pss_robe_gradient" in text)
    return lookup

def same(one, other):
    for a, b in zip(one[0] + one[1], other[0] + other[1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)

with native.disabled():
    wanted = trained()
same(trained(), wanted)

keras.distribution.set_distribution(keras.distribution.DataParallel())
same(trained(), wanted)
assert has_kernels()
assert not has_kernels(15), "45 ids for 2 devices"
# Outside of a compiled step, arrays are where they are.
layer = keras_pss.ROBEEmbedding(500, 8, memory_size=100)
assert layer(ids).shape == (64, 3, 8)
with native.disabled():
    same(trained(), wanted)
    assert not has_kernels()

keras.distribution.set_distribution(TableParallel(1))
same(trained(), wanted)
assert has_kernels()
keras.distribution.set_distribution(TableParallel(2))
same(trained(), wanted)
assert not has_kernels(), "each device has half of the memory"
"""


def test_each_device_looks_up_its_own_ids():
    flags = "--xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f'{SCRIPT}\nprint("held")'],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "held", done.stderr
