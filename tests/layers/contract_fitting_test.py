"""The contract of fits to trained tables; oracles are in fitting/."""

import numpy as np
import pytest
from fitting import relative, trained_table
from keras import ops
from methods import DIM, WIDTH, every_row

import keras_pss

TABLE, COUNTS = trained_table(DIM, WIDTH)


@every_row
def test_a_fit_is_nearer_than_zeros_and_keeps_the_variables(method):
    layer = method.make()
    if method.cls is keras_pss.TensorRingEmbedding:
        with pytest.raises(NotImplementedError, match=r"keras_pss\.TTEmbed"):
            layer.fit_table(TABLE)
        return
    layer.build()
    variables = list(layer.weights)
    if "share" in method.arguments:
        # The other table of the memory is deleted.
        report = layer.memory.fit_tables([TABLE], [COUNTS])
        assert report.weighted_relative_error < 1
        return
    report = layer.fit_table(TABLE, COUNTS)
    rows = layer.materialize()
    assert report.relative_error == pytest.approx(relative(TABLE, rows), 1e-4)
    assert report.weighted_relative_error == pytest.approx(
        relative(TABLE, rows, COUNTS), 1e-4, abs=1e-6
    )
    assert report.weighted_relative_error < 1
    assert report.parameters == layer.memory_report().parameters
    assert all(a is b for a, b in zip(layer.weights, variables, strict=True))
    for weight in layer.weights:
        assert np.isfinite(ops.convert_to_numpy(weight)).all()
