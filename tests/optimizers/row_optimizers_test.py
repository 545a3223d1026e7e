"""Row-wise optimizers against NumPy, for every form that a gradient has."""

import keras
import numpy as np
import pytest
import row_oracle as oracle
from keras import ops

from keras_pss.optimizers import (
    ClippedMultiOptimizer,
    LazyAdam,
    LazySGD,
    RowOptimizer,
    RowwiseAdagrad,
)
from keras_pss.optimizers.slots import reset_rows, slots_of

TENSORFLOW = keras.backend.backend() == "tensorflow"
# (our own, its arguments, NumPy's)
CASES = {
    "adam": (LazyAdam, {}, oracle.Adam),
    "adagrad": (RowwiseAdagrad, {}, oracle.Adagrad),
    "sgd": (LazySGD, {}, oracle.SGD),
    "momentum": (LazySGD, {"momentum": 0.9}, oracle.SGD),
    "nesterov": (LazySGD, {"momentum": 0.8, "nesterov": True}, oracle.SGD),
}
FORMS = ["dense", *(["eager", "graph"] if TENSORFLOW else [])]
# XLA takes a second to compile each.
PAIRS = [(form, case) for form in FORMS for case in CASES]
PAIRS += [("xla", "adam"), ("xla", "adagrad")] * TENSORFLOW
LIMITS = ["clipnorm", "clipvalue", "global_clipnorm", None]
CLIPPED = [(form, limit) for form in FORMS for limit in LIMITS]
CLIPPED += [("xla", "global_clipnorm")] * TENSORFLOW


def numpy_of(x):
    return np.array(ops.convert_to_numpy(x))


def a_table(dtype="float32"):
    return keras.Variable(oracle.start(), dtype=dtype, name="table")


def stepping(optimizer, table, form):
    """A function that applies the gradient of a batch in one of its forms."""
    optimizer.build([table])

    def apply(gradient):
        optimizer.apply([gradient], [table])

    if form == "dense":
        return lambda ids, values: apply(
            ops.convert_to_tensor(oracle.dense(ids, values))
        )
    import tensorflow as tf

    def indexed(ids, values):
        apply(tf.IndexedSlices(values, ids))

    if form == "eager":
        return lambda *batch: indexed(*map(tf.constant, batch))
    return tf.function(indexed, jit_compile=form == "xla")


@pytest.mark.parametrize(("form", "case"), PAIRS)
def test_rows_of_the_batch_are_updated_by_the_formula(form, case):
    cls, options, expected = CASES[case]
    decay = 0.3 if case in ("adam", "momentum") else None
    optimizer, table = cls(0.05, weight_decay=decay, **options), a_table()
    step = stepping(optimizer, table, form)
    for batch in oracle.batches():
        step(*batch)
    right = expected(0.05, **options)
    gradients = [oracle.dense(*batch) for batch in oracle.batches()]
    rows = oracle.trained(right, gradients, decay or 0)
    np.testing.assert_allclose(numpy_of(table), rows, atol=1e-6)
    np.testing.assert_array_equal(numpy_of(table)[-2:], oracle.start()[-2:])
    slots = [v for v in optimizer.variables if len(v.shape)]
    assert [tuple(v.shape) for v in slots] == [s.shape for s in right.slots]
    for slot, wanted in zip(slots, right.slots, strict=True):
        np.testing.assert_allclose(numpy_of(slot), wanted, atol=2e-6)


@pytest.mark.parametrize(("form", "limit"), CLIPPED)
def test_sums_are_clipped_after_the_loss_scale(form, limit):
    """+3 and -3 for one row are no gradient, and 8 times c is c."""
    options = {} if limit is None else {limit: 0.5}
    optimizer, table = LazySGD(1.0, loss_scale_factor=8.0, **options), a_table()
    ids = np.array([4, 4, 2, 6, 2], "int32")
    values = np.zeros((5, oracle.WIDTH), "float32")
    values[:, 0] = [3, -3, 0.25, -1, 0.5]
    stepping(optimizer, table, form)(ids, 8 * values)
    changed = numpy_of(table) - oracle.start()
    norm = np.hypot(0.75, 1)
    expected = {
        None: [-0.75, 0, 1],
        "clipvalue": [-0.5, 0, 0.5],
        "clipnorm": [-0.375 / norm, 0, 0.5 / norm],
        "global_clipnorm": [-0.375 / norm, 0, 0.5 / norm],
    }[limit]
    np.testing.assert_allclose(changed[[2, 4, 6], 0], expected, atol=1e-6)
    assert np.count_nonzero(changed.any(axis=1)) == 2
    assert optimizer.loss_scale_factor == 8


@pytest.mark.parametrize("form", FORMS[:2])
def test_several_optimizers_are_clipped_by_one_norm(form):
    table, kernel = a_table(), keras.Variable(np.zeros(2), name="kernel")
    parts = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(1.0), {"table": LazySGD(1.0)}
    )
    both = ClippedMultiOptimizer(parts, 4.0, global_clipnorm=1.0)
    both.build([table, kernel])
    ids = np.array([1, 1, 3], "int32")
    values = np.full((3, oracle.WIDTH), 4.0, "float32") * [[1], [2], [0]]
    gradient = ops.convert_to_tensor(oracle.dense(ids, values))
    if form == "eager":
        import tensorflow as tf

        gradient = tf.IndexedSlices(values.astype("float32"), ids)
    ours = ops.convert_to_tensor(np.array([4.0, -8.0], "float32"))
    both.apply([gradient, ours], [table, kernel])
    norm = np.sqrt(3 * 9 + 1 + 4)
    np.testing.assert_allclose(
        numpy_of(kernel), [-1 / norm, 2 / norm], atol=1e-6
    )
    changed = numpy_of(table) - oracle.start()
    np.testing.assert_allclose(changed[1], -3 / norm, atol=1e-6)
    assert not changed[[0, 2, 3]].any()
    again = ClippedMultiOptimizer.from_config(both.get_config())
    assert (again.global_clipnorm, again.loss_scale_factor) == (1.0, 4.0)


@pytest.mark.parametrize("form", FORMS[::2])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("size", [1e-4, 300])
def test_tables_of_16_bits_are_updated_in_float32(form, dtype, size):
    """The squares of these gradients are 0 and infinite in float16."""
    limits = [{}, {"clipnorm": size}, {"global_clipnorm": size}]
    cases = [("adam", {}), *[("adagrad", limit) for limit in limits]]
    ids = np.array([1, 4, 4], "int32")
    values = np.full((3, oracle.WIDTH), size / 2, "float32")
    scale = 1 / np.sqrt(1.25 * oracle.WIDTH)  # of a gradient that is clipped
    for case, limit in cases:
        cls, _, expected = CASES[case]
        optimizer, table = cls(0.05, **limit), a_table(dtype)
        step = stepping(optimizer, table, form)
        for _ in range(3):
            if form == "dense":
                dense = ops.cast(oracle.dense(ids, values), dtype)
                optimizer.apply([dense], [table])
            else:
                step(ids, ops.cast(values, dtype))
        gradient = oracle.dense(ids, values) * (scale if limit else 1)
        rows = oracle.trained(expected(0.05), [gradient] * 3)
        found = numpy_of(ops.cast(table, "float32"))
        # It is rounded once a step.
        np.testing.assert_allclose(
            found, rows, atol=0.015 if dtype == "bfloat16" else 0.002
        )
        slots = [v for v in optimizer.variables if len(v.shape)]
        assert {v.dtype for v in slots} == {"float32"}


def test_where_every_row_trains_lazy_adam_is_adam():
    random = np.random.RandomState(3)
    tables = []
    for optimizer in (LazyAdam(0.01), keras.optimizers.Adam(0.01)):
        tables.append(a_table())
        random.seed(3)
        optimizer.build(tables[-1:])
        for _ in range(4):
            gradient = random.normal(size=tables[-1].shape).astype("float32")
            optimizer.apply([ops.convert_to_tensor(gradient)], tables[-1:])
    ours, theirs = map(numpy_of, tables)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="compares with torch.optim"
)
def test_lazy_adam_is_pytorchs_sparse_adam():
    import torch

    table = a_table()
    step = stepping(LazyAdam(0.02, epsilon=1e-8), table, "dense")
    weight = torch.nn.Parameter(torch.tensor(oracle.start()))
    theirs = torch.optim.SparseAdam([weight], lr=0.02)
    for ids, values in oracle.batches():
        # It counts rows whose gradient is zero as rows of the batch.
        ids, values = ids[:-2], values[:-2]
        step(ids, values)
        index = torch.tensor(ids[None].astype("int64"))
        with torch.sparse.check_sparse_tensor_invariants():
            weight.grad = torch.sparse_coo_tensor(
                index, torch.tensor(values), tuple(weight.shape)
            )
            theirs.step()
    np.testing.assert_allclose(
        numpy_of(table), weight.detach().cpu().numpy(), atol=1e-6
    )


@pytest.mark.parametrize("form", FORMS)
def test_accumulated_gradients_are_one_step(form):
    optimizer = RowwiseAdagrad(0.1, gradient_accumulation_steps=2, clipnorm=9.0)
    table = a_table()
    step = stepping(optimizer, table, form)
    gradients = []
    for ids, values in oracle.batches():
        step(ids, values)
        gradients.append(oracle.dense(ids, values))
    means = [(a + b) / 2 for a, b in zip(*[iter(gradients)] * 2, strict=True)]
    right = oracle.Adagrad(0.1)
    rows = oracle.trained(right, means)
    np.testing.assert_allclose(numpy_of(table), rows, atol=1e-6)


def test_a_schedule_is_that_of_all_steps():
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.25])
    table = a_table()
    step = stepping(LazySGD(rate), table, "dense")
    gradient = np.ones((1, oracle.WIDTH), "float32")
    for row in (3, 5, 8):  # in steps 0, 1 and 2
        step(np.array([row], "int32"), gradient)
    changed = oracle.start() - numpy_of(table)
    np.testing.assert_allclose(changed[[3, 5, 8], 0], [0.5, 0.5, 0.25], 1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LazyAdam(use_ema=True), "no moving averages of weights"),
        (lambda: LazyAdam(beta_1=1.0), r"`beta_1` must be in \[0, 1\)"),
        (lambda: LazyAdam(epsilon=0.0), "`epsilon` must be a positive number"),
        (
            lambda: LazySGD().apply([ops.ones((2, 2))]),
            "Received: 1 gradients for 0 variables",
        ),
        (lambda: RowwiseAdagrad(epsilon=-1.0), "`epsilon` must be a positive"),
        (lambda: LazySGD(clipnorm=-1.0), "`clipnorm` must be a positive num"),
        (lambda: LazySGD(clipvalue=0.0), "`clipvalue` must be a positive num"),
        (lambda: LazySGD(global_clipnorm=np.inf), "number, or None. Received"),
        (lambda: LazySGD(clipvalue="1"), "Received: clipvalue='1'"),
        (lambda: LazySGD(weight_decay=-0.1), "must be a number of at least 0"),
        (lambda: LazySGD(momentum=1.5), r"`momentum` must be in \[0, 1\)"),
        (
            lambda: LazyAdam().build([keras.Variable(np.zeros(3), name="b")]),
            r"optimizers.for_tables\(model, optimizer\)`. Received: weight",
        ),
        (
            lambda: ClippedMultiOptimizer(
                keras.optimizers.OptimizerMap(LazySGD()), global_clipnorm=0.0
            ),
            "`global_clipnorm` must be a positive number, or None",
        ),
        (
            lambda: ClippedMultiOptimizer(
                keras.optimizers.OptimizerMap(
                    LazySGD(gradient_accumulation_steps=2)
                ),
                global_clipnorm=1.0,
            ),
            "clips the gradients of one step, not accumulated ones",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_subclass_keeps_slots_of_any_width():
    class Counting(RowOptimizer):
        """Divides by the number of steps that have trained the row."""

        def slot_shapes(self, shape):
            return {"count": (shape[0], 2)}

        def row_step(self, gradient, rows, slots, learning_rate):
            count = slots[0] + 1
            return rows - learning_rate * gradient / count[:, :1], [count]

    optimizer, table = Counting(1.0), a_table()
    step = stepping(optimizer, table, "dense")
    gradient = np.ones((1, oracle.WIDTH), "float32")
    for row in (2, 2, 5):
        step(np.array([row], "int32"), gradient)
    changed = oracle.start() - numpy_of(table)
    np.testing.assert_allclose(changed[[2, 5], 0], [1.5, 1], 1e-5)
    reset_rows(optimizer, table, np.array([2]))
    (count,) = slots_of(optimizer, table)
    np.testing.assert_array_equal(numpy_of(count)[[2, 5]], [[0, 0], [1, 1]])


def test_weights_without_decay_and_configs():
    optimizer = LazySGD(0.5, 0.9, True, weight_decay=0.2, clipvalue=3.0)
    config = LazySGD.from_config(optimizer.get_config()).get_config()
    assert config == optimizer.get_config()
    table = a_table()
    optimizer.exclude_from_weight_decay([table])
    gradient = np.ones((1, oracle.WIDTH), "float32")
    stepping(optimizer, table, "dense")(np.array([2], "int32"), gradient)
    changed = numpy_of(table)[2] - oracle.start()[2]
    np.testing.assert_allclose(changed, -0.95, atol=1e-6)
