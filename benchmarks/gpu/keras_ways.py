"""Times of lookups on a GPU: the CUDA kernels and the `keras.ops` path.

    KERAS_BACKEND=jax python benchmarks/gpu/keras_ways.py robe|train

On JAX, `kernels` and `XLA` (the keras.ops path) are loops within one compiled
function; `copy` reads and writes as much as the rows that a lookup returns. On
TensorFlow, `kernels` and `graph` are TensorFlow graphs and `XLA` is a graph
with jit_compile=True; a call of each is timed, with what Python adds to it.
"lookup" is the rows; "both" is the rows and the dense gradient of the memory or
the cores. XLA multiplies in TF32 unless it is told otherwise; the kernels
multiply in float32 (`XLA, float32` does as well).
"""

import os
from typing import Any

os.environ.setdefault("KERAS_PSS_NATIVE", "gpu")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import keras
import numpy as np
from harness import STRIDE, Ways

from keras_pss import native
from keras_pss.layers import TTEmbedding
from keras_pss.layers.fused.robe_group import ROBEGroup
from keras_pss.training.environment import versions

BACKEND = keras.backend.backend()


def main() -> None:
    arguments = harness.arguments(__doc__)
    dry, what = arguments.dry_run, arguments.what
    gpu = gpu_name()
    if not dry and not gpu:
        raise SystemExit("No GPU. --dry-run tries the code without one.")
    if not native.available():
        raise SystemExit("No kernels: keras-pss build-ops --cuda")
    count = harness.repeats(dry) if BACKEND == "jax" else 1
    for case in harness.left(arguments.out, what, BACKEND, dry):
        layer, ids, limits = (robe if what == "robe" else train)(case)
        if layer is None:
            continue
        ways = WAYS[BACKEND](layer, ids, limits, count)
        harness.write(
            arguments.out,
            what,
            BACKEND,
            case,
            harness.measured(ways, arguments.rounds, count),
            parameters=layer.count_params(),
            gpu=gpu,
            dry=dry,
            versions=versions(),
        )


def gpu_name() -> str:
    if BACKEND == "jax":
        import jax

        device = jax.devices()[0]
        return device.device_kind if device.platform == "gpu" else ""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    if not found:
        return ""
    return tf.config.experimental.get_device_details(found[0])["device_name"]


def robe(case: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The layer of a case, its ids, and the rows of each column's table."""
    if harness.memory_of(case) > harness.LARGEST_MEMORY:
        return None, None, None
    layer = ROBEGroup(
        case["rows"],
        case["dim"],
        harness.memory_of(case),
        range(len(case["rows"])),
        block_size=case["block"],
        gradient="dense",
    )
    layer.build()
    return layer, harness.robe_ids(case), np.array(case["rows"], np.int32)


def train(case: dict[str, Any]) -> tuple[Any, Any, Any]:
    layer = TTEmbedding(
        case["rows"],
        int(np.prod(case["column_shape"])),
        rank=case["rank"],
        row_shape=case["row_shape"],
        column_shape=case["column_shape"],
    )
    layer.build()
    return layer, harness.train_ids(case), np.int32(case["rows"])


def jax_ways(layer: Any, ids: Any, limits: Any, count: int) -> Ways:
    import jax
    import jax.numpy as jnp

    weights = [v.value for v in layer.trainable_variables]
    x = jnp.asarray(ids)
    shape = (*ids.shape, layer.output_dim)
    up = jax.random.normal(jax.random.key(0), shape)

    def rows(weights: Any, x: Any) -> Any:
        return layer.stateless_call(weights, [], x)[0]

    def both(weights: Any, x: Any, up: Any) -> Any:
        found, pull = jax.vjp(lambda weights: rows(weights, x), weights)
        return found, pull(jnp.reshape(up, found.shape))

    steps = {
        "lookup": lambda weights, x, up: rows(weights, x),
        "both": both,
        "loop": lambda weights, x, up: x,
        # The first number of the last repeat's result, and thus never known.
        "copy": lambda weights, x, up: up + x.ravel()[0].astype("float32"),
    }

    def loop(step: Any) -> Any:
        def work(weights: Any, x: Any, up: Any) -> Any:
            def body(i: Any, total: Any) -> Any:
                found = step(weights, (x + i * STRIDE) % limits, up)
                # Nothing of the result may be left out.
                found = jax.lax.optimization_barrier(found)
                first = [
                    part.ravel()[0].astype("float32")
                    for part in jax.tree.leaves(found)
                ]
                return total + sum(first)

            return jax.lax.fori_loop(0, count, body, jnp.float32(0))

        compiled = jax.jit(work)
        compiled(weights, x, up)  # traced here, with or without kernels
        return lambda: jax.block_until_ready(compiled(weights, x, up))

    ways = {"loop": loop(steps["loop"]), "copy|lookup": loop(steps["copy"])}
    for step in ("lookup", "both"):
        ways[f"kernels|{step}"] = loop(steps[step])
        with native.disabled():
            ways[f"XLA|{step}"] = loop(steps[step])
            with jax.default_matmul_precision("highest"):
                if isinstance(layer, TTEmbedding):
                    ways[f"XLA, float32|{step}"] = loop(steps[step])
    return ways


def tensorflow_ways(layer: Any, ids: Any, limits: Any, count: int) -> Ways:
    import tensorflow as tf

    x = tf.constant(ids)
    up = tf.random.normal((*ids.shape, layer.output_dim))
    weights = [v.value for v in layer.trainable_variables]

    def lookup(x: Any) -> Any:
        return layer(x)

    def both(x: Any) -> Any:
        with tf.GradientTape() as tape:
            rows = layer(x)
        slopes = tape.gradient(rows, weights, tf.reshape(up, rows.shape))
        return rows, [tf.convert_to_tensor(slope) for slope in slopes]

    def timed(function: Any, jit: bool) -> Any:
        compiled = tf.function(function, jit_compile=jit)
        compiled(x)  # traced here, with or without kernels

        def call() -> None:
            for part in tf.nest.flatten(compiled(x)):
                tf.reshape(part, [-1])[0].numpy()  # waits for the GPU

        return call

    ways = {"loop": timed(lambda x: x[:1], False)}
    for step, function in ("lookup", lookup), ("both", both):
        ways[f"kernels|{step}"] = timed(function, False)
        with native.disabled():
            ways[f"graph|{step}"] = timed(function, False)
            ways[f"XLA|{step}"] = timed(function, True)
    return ways


WAYS = {"jax": jax_ways, "tensorflow": tensorflow_ways}

if __name__ == "__main__":
    main()
