"""Training by several replicas, in a process that has two devices."""

import subprocess
import sys

SETUP = """
import keras, numpy as np, tensorflow as tf, keras_pss
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
ids = np.random.default_rng(0).zipf(1.5, 160).clip(max=60) - 1
"""


def check(script):
    """Runs a script of assertions; it finds `ids` and devices CPU:0, CPU:1."""
    result = subprocess.run(
        [sys.executable, "-c", f'{SETUP}{script}\nprint("held")'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "held", result.stderr
