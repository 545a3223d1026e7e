"""Numbers become integers of a dtype as they are, or an error."""

import itertools

import keras
import numpy as np
import pytest

from keras_pss.ops.model_inputs import exact

EDGES = [
    2**k + d for k in (7, 8, 15, 16, 24, 31, 32, 53, 63, 64) for d in (-1, 0, 1)
]
NUMBERS = sorted({0, 1, 5, *EDGES, *(-n for n in EDGES)})
LARGEST = {"float16": 2**11, "float32": 2**24, "float64": 2**53}
GIVEN = [f"{s}int{b}" for s in ("", "u") for b in (8, 16, 32, 64)]
TARGETS = ("int32", "int64", "uint8")
PAIRS = list(itertools.product([*GIVEN, *LARGEST], TARGETS))
BACKEND = keras.backend.backend()


def is_held(number, dtype):
    info = np.iinfo(dtype)
    return int(info.min) <= number <= int(info.max)


def given_as(dtype):
    """Those of the numbers that the dtype can say, as NumPy has them."""
    if dtype in LARGEST:
        limit = int(np.finfo(dtype).max)
        return [np.array([n], dtype) for n in NUMBERS if abs(n) < limit]
    return [np.array([n], dtype) for n in NUMBERS if is_held(n, dtype)]


def target_of(dtype):
    # JAX has no 64-bit integers, so an int64 input holds what int32 holds.
    return "int32" if BACKEND == "jax" and dtype == "int64" else dtype


@pytest.mark.parametrize(("given", "target"), PAIRS)
def test_arrays(given, target):
    for x in given_as(given):
        number = int(x[0])
        held = is_held(number, target_of(target))
        if given in LARGEST:
            # One that is as large may be another number, rounded.
            held = held and abs(number) < LARGEST[given]
        if held:
            assert int(exact.number(x, target, "ids")[0]) == number
        else:
            with pytest.raises(ValueError, match="the first"):
                exact.number(x, target, "ids")


@pytest.mark.tf_only
@pytest.mark.parametrize(("given", "target"), PAIRS)
def test_tensors_eagerly_and_in_graphs(given, target):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None,), given)])
    def in_graph(x):
        return tf.cast(exact.number(x, target, "ids"), target)

    for x in given_as(given):
        try:
            expected = exact.number(x, target, "ids")
        except ValueError:
            for f, error in (
                (lambda x: exact.number(x, target, "ids"), ValueError),
                (in_graph, tf.errors.InvalidArgumentError),
            ):
                with pytest.raises(error, match="takes integers that"):
                    f(tf.constant(x))
        else:
            number = int(expected[0])
            found = exact.number(tf.constant(x), target, "ids")
            assert int(found[0]) == number == int(in_graph(tf.constant(x))[0])


@pytest.mark.parametrize("number", [5.7, 5 + 1e-9, np.nan, np.inf, -np.inf])
def test_what_is_no_integer(number):
    x = np.array([[1.0, number]])
    for given in x, keras.ops.convert_to_tensor(x):
        if np.array(given)[0, 1] == 5:
            continue  # as JAX has it
        with pytest.raises(ValueError, match=r"whole.*1 of 2 invalid"):
            exact.number(given, "int32", "ids")


@pytest.mark.parametrize("x", [np.array([True]), np.array(["7"])])
def test_other_dtypes_are_refused(x):
    with pytest.raises(ValueError, match=r"Input 'ids' takes.*Received: dtype"):
        exact.number(x, "int32", "ids")
    if x.dtype == bool:
        with pytest.raises(ValueError, match="dtype=bool"):
            exact.number(keras.ops.convert_to_tensor(x), "int32", "ids")


def test_what_is_no_id_stays_as_it_is():
    for x in [1.5], 7, np.array([1.5]):
        assert exact.number(x, "float32", "dense") is x
    x = np.array([7], "int32")
    assert exact.number(x, "int32", "ids") is x


@pytest.mark.tf_only
def test_the_number_that_xla_cannot_raise_for_is_no_id():
    import tensorflow as tf

    compiled = tf.function(
        lambda x: exact.number(x, "int32", "ids"), jit_compile=True
    )
    ids = tf.constant([5, 2**32 + 5, -(2**40), 7], tf.int64)
    np.testing.assert_array_equal(compiled(ids), [5, -1, -1, 7])
