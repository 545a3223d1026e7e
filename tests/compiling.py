"""How models are compiled in tests of something else."""

import keras

# XLA takes most of the time that TensorFlow needs for a first step. The
# contract trains each class with it. JAX has nothing else to compile with.
WITHOUT_XLA = False if keras.backend.backend() == "tensorflow" else "auto"
