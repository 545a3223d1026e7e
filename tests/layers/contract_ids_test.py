"""The contract of ids: their dtypes, padding, and ids without a row."""

import keras
import numpy as np
import pytest
from contract import IDS, assert_rows, large_arguments, rows_of
from keras import ops
from methods import DIM, every_class


@every_class
def test_integer_dtypes_give_the_same_rows(method):
    layer = method.make()
    expected = layer.materialize()[IDS]
    for dtype in ("int8", "uint8", "int16", "int64"):
        rows = rows_of(layer, ops.convert_to_tensor(IDS.astype(dtype)))
        assert_rows(layer, rows, expected)


@every_class
def test_an_id_without_a_row_is_an_error(method):
    layer = method.make()
    for wrong in (-1, DIM, 2**31 - 1):
        message = rf"integers in \[0, input_dim\) = \[0, {DIM}\).*{wrong}"
        with pytest.raises(ValueError, match=message):
            layer(np.array([[1, wrong]], "int32"))


@every_class
def test_predict_never_gives_another_ids_row(method):
    model = keras.Sequential([keras.Input((4,), dtype="int32"), method.make()])
    wrong = np.array([[0, DIM, -1, 1]], "int32")
    if keras.backend.backend() == "jax":  # compiled, so it cannot raise
        rows = model.predict(wrong, verbose=0)[0]
        missing = np.isnan(rows).all(axis=1)
        np.testing.assert_array_equal(missing, [False, True, True, False])
        assert np.isfinite(rows[[0, 3]]).all()
        return
    # ValueError where ids are known, InvalidArgumentError in a graph.
    with pytest.raises(Exception, match=r"integers in \[0, input_dim\)"):
        model.predict(wrong, verbose=0)


@every_class
def test_float_ids_are_exact_or_refused(method):
    layer = method.make()
    rows = rows_of(layer, ops.convert_to_tensor(IDS.astype("float32")))
    assert_rows(layer, rows, layer.materialize()[IDS])
    with pytest.raises(ValueError, match="Ids of layer"):
        layer(np.array([1.5], "float32"))
    with pytest.raises(ValueError, match="Ids of layer"):
        layer(np.array([np.nan], "float32"))
    large = method.make(
        input_dim=2**24 + 2, output_dim=16, **large_arguments(method, 16)
    )
    for dtype in "float32", "float16", "bfloat16":
        with pytest.raises(ValueError, match=r"rounded.*dtype=\"int32\""):
            large.compute_output_spec(keras.KerasTensor((3,), dtype))
    assert not large.built
    with pytest.raises(ValueError, match="looks up integer ids"):
        layer(keras.Input((3,), dtype="bool"))


@every_class
def test_mask_zero(method):
    layer = method.make(mask_zero=True)
    mask = layer.compute_mask(ops.convert_to_tensor([[0, 1, 2, 0]]))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(mask), [[False, True, True, False]]
    )
    assert layer.supports_masking
    assert method.make().compute_mask(np.array([0])) is None


@every_class
@pytest.mark.parametrize("ids", [3, [[1, 2]]], ids=["scalar", "2-D"])
def test_materialize_takes_a_list_of_ids(method, ids):
    with pytest.raises(ValueError, match=r"`ids` must be a 1-D.*of shape \("):
        method.make().materialize(ids)
