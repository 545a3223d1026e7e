"""The contract of reported sizes and of budgets."""

import keras
import numpy as np
import pytest
from methods import DIM, WIDTH, every_method, every_row


@every_row
def test_reports_tell_the_truth(method):
    layer = method.make()
    layer.build()
    report = layer.memory_report("adam")
    size = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    kept = [
        table
        for owner in [layer, *layer.parts()]
        for table in owner.tables().values()
        if table.dtype is not None
    ]
    index = sum(t.size * np.dtype(t.dtype).itemsize for t in kept)
    assert report.parameters == size
    assert layer.count_params() == size + sum(table.size for table in kept)
    assert method.parameters in (0, size)
    assert report.index_bytes == index
    assert report.full_parameters == DIM * WIDTH
    assert report.compression == DIM * WIDTH / size
    assert report.optimizer_bytes == 2 * 4 * size
    assert report.training_bytes == 4 * 4 * size + index
    unserved = sum(t.bytes for t in kept if t.training)
    assert report.serving_bytes == 4 * size + index - unserved
    whole = [
        table.whole
        for owner in [layer, *layer.parts()]
        for table in owner.float_tables().values()
    ]
    assert (report.lookup_bytes > 0) == (not all(whole))
    # A matrix that every lookup reads is multiplied with.
    assert report.lookup_flops > 0 or not any(whole)
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    slots = sum(
        int(np.prod(v.shape)) for v in model.optimizer.variables if len(v.shape)
    )
    assert 4 * slots == report.optimizer_bytes
    layer.memory_report("sgd")
    with pytest.raises(ValueError, match="`optimizer` must be one of"):
        layer.memory_report("sdg")


@every_method
@pytest.mark.parametrize("budget", ["2x", "5x", 500, "1.5KB"])
def test_from_budget_is_never_above_it(method, budget):
    arguments = {
        k: v
        for k, v in method.arguments.items()
        if k
        in (
            "operation",
            "mapping",
            "hash",
            "sign",
            "num_cores",
            "num_partitions",
            "num_hashes",
            "weighted",
            "bias",
            "num_columns",
        )
    }
    allowed = {"2x": 1440, "5x": 576, 500: 500, "1.5KB": 375}[budget]
    smallest = method.cls.smallest_size(120, 24, **arguments)
    if allowed < smallest:
        with pytest.raises(ValueError, match=f"at least {smallest} param"):
            method.cls.from_budget(120, 24, budget, **arguments)
        return
    layer = method.cls.from_budget(120, 24, budget, **arguments)
    assert smallest <= layer.budget_size() <= allowed
    with pytest.raises(ValueError, match="`budget` must be a ratio"):
        method.cls.from_budget(120, 24, "huge")
