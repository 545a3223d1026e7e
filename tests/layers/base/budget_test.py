"""Budgets: their forms, and that no method stores more than one allows."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_pss
from keras_pss.layers.base.budget import Budget, InfeasibleBudget, feasible
from keras_pss.layers.embedding.methods import METHODS
from keras_pss.ops import rounding

FORMS = ["1x", "2.5x", 1, 50_000, "1B", "10MB", " 64 KiB ", "1.5gb"]
every_method = pytest.mark.parametrize("method", METHODS)
quick = settings(deadline=None, max_examples=25)


@pytest.mark.parametrize("form", FORMS)
def test_a_budget_keeps_its_form_and_is_parsed_once(form):
    budget = Budget.parse(form)
    assert budget.form == form
    assert Budget.parse(budget) is budget
    assert str(budget) == repr(form)
    assert hash(budget) == hash(Budget.parse(form))


@pytest.mark.parametrize(
    ("form", "full", "allowed"),
    [
        ("3x", 1000, 333),
        ("1x", 1000, 1000),
        (77, None, 77),
        ("10MB", 1, 2_500_000),
        ("64KiB", None, 16_384),
        ("7B", None, 1),
    ],
)
def test_parameters(form, full, allowed):
    assert Budget.parse(form).parameters(full) == allowed


@pytest.mark.parametrize(
    "form",
    [
        *("", "x", "0x", "0.5x", "-3x", "1e3x", "0MB", "huge", "5", "5XB"),
        *(0, -1, True, 2.5, None, [], {}, ["1x"], b"1x", math.nan),
        *("9" * 5000 + "x", "9" * 5000 + "GB", "1" * 10**6, object()),
    ],
)
def test_other_forms_are_refused(form):
    with pytest.raises(ValueError, match="`budget` must be a ratio") as caught:
        Budget.parse(form)
    assert "Received: budget=" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_ratio_of_an_open_table_is_refused():
    with pytest.raises(ValueError, match="a ratio needs the size"):
        Budget.parse("3x").parameters(None)


def test_shares_never_exceed_the_whole():
    assert Budget.parse("3x").share(1, 17) == Budget.parse("3x")
    for form in (1000, "10KB"):
        whole = Budget.parse(form)
        parts = [whole.share(part, 17) for part in (1, 16)]
        held = sum(part.parameters(None) for part in parts)
        assert 0.99 * whole.parameters(None) < held <= whole.parameters(None)
    assert Budget.parse(3).share(1, 100).parameters(None) == 1
    assert Budget.parse("3x").of_unfiltered(1000) == Budget.parse(333)
    assert Budget.parse("8KB").of_unfiltered(10) == Budget.parse("8KB")


@quick
@given(full=st.integers(1, 2**62), part=st.floats(1e-12, 1))
def test_a_feasible_ratio_is_one(full, part):
    smallest = max(1, int(full * part))
    said = re.fullmatch(r"(\d+) parameters \((.+x)\)", feasible(smallest, full))
    assert int(said[1]) == smallest
    allowed = Budget.parse(said[2]).parameters(full)
    # Three digits: no more than a hundredth is given away.
    assert smallest <= allowed <= 1.011 * smallest + 1


def test_a_table_that_is_smaller_than_the_method_has_no_ratio():
    assert feasible(30, 20) == feasible(30, None) == "30 parameters"


def stored(layer):
    """What a served layer stores, in units of four bytes, from its tables.

    HotRows' counters are for training alone.
    """
    held = 0
    for part in [layer, *layer.parts()]:
        if type(part).__name__ == "IdCounter":
            continue
        for table in part.tables().values():
            if table.dtype is not None:
                held += table.bytes
            elif type(part) is keras_pss.QuantizedEmbedding:
                held += rounding.packed_bytes(
                    table.rows, table.width, part.storage
                )
            elif getattr(part, "storage", "float32") != "float32":
                held += part.packed_bytes(table, "int8")
            else:
                held += 4 * table.size
    return -(-held // 4)


FORM = st.sampled_from(["1.5x", "6x", "40x", 700, 9000, "5KB", "90KB"])
WIDTH = st.sampled_from([4, 8, 16, 24])


@every_method
@quick
@given(rows=st.integers(1, 6000), width=WIDTH, form=FORM)
def test_what_is_built_stores_no_more_than_the_budget(
    method, rows, width, form
):
    if method == "full":
        return  # which ignores it
    allowed = Budget.parse(form).parameters(rows * width)
    try:
        layer = keras_pss.embedding(rows, width, method, form)
    except InfeasibleBudget as error:
        check_feasible(error, METHODS[method].from_budget, rows, width)
        return
    assert stored(layer) == layer.budget_size() <= allowed


def check_feasible(error, make, *shape):
    """The budget that a message names is the smallest one."""
    said = re.search(
        r"at least (\d+) parameters(?: \(([\d.]+x)\))?", str(error)
    )
    smallest = int(said[1])
    assert stored(make(*shape, smallest)) <= smallest
    if said[2]:
        make(*shape, said[2])
    if smallest > 1:
        with pytest.raises(InfeasibleBudget, match=f"at least {smallest} par"):
            make(*shape, smallest - 1)


@quick
@given(
    inner=st.sampled_from(["tt", "hash", "clustered", "quantized"]),
    rows=st.integers(20, 6000),
    capacity=st.none() | st.integers(1, 20),
    form=FORM,
)
def test_hot_rows_store_no_more_than_the_budget(inner, rows, capacity, form):
    def make(rows, width, budget):
        return keras_pss.HotRows.from_budget(
            rows, width, budget, inner, capacity
        )

    try:
        layer = make(rows, 8, form)
    except InfeasibleBudget as error:
        check_feasible_hot_rows(error, make, rows)
        return
    found = stored(layer.embedding) + stored(layer.hot)
    allowed = Budget.parse(form).parameters(rows * 8)
    assert found == layer.budget_size() <= allowed


def check_feasible_hot_rows(error, make, rows):
    smallest = int(re.search(r"at least (\d+) parameters", str(error))[1])
    assert make(rows, 8, smallest).budget_size() <= smallest
    with pytest.raises(InfeasibleBudget):
        make(rows, 8, smallest - 1)


@every_method
@quick
@given(
    dims=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    form=FORM,
    min_rows=st.none() | st.just(50),
)
def test_collections_store_no_more_than_the_budget(
    method, dims, form, min_rows
):
    if method == "full":
        return

    def make(budget):
        return keras_pss.EmbeddingCollection(
            dims, 8, method, budget, min_rows=min_rows
        )

    def held(layer):
        return sum(stored(part) for part in layer.parts())

    try:
        layer = make(form)
    except InfeasibleBudget as error:
        smallest = int(re.search(r"least (\d+) parameters", str(error))[1])
        assert held(make(smallest)) <= smallest
        with pytest.raises(InfeasibleBudget):
            make(smallest - 1)
        return
    allowed = Budget.parse(form).parameters(8 * sum(dims))
    assert held(layer) == layer.budget_size() <= allowed


def test_pointers_count_in_every_form():
    for form in ("6x", 80_000 // 6, "53332B"):
        layer = keras_pss.embedding(5000, 16, "clustered", budget=form)
        assert 13_200 < stored(layer) <= 13_333


def test_a_collection_that_was_saved_before_keeps_its_sizes():
    """A ratio and a number counted trained numbers alone."""
    given = ([5000, 4000, 3], 16, "clustered")
    new = keras_pss.EmbeddingCollection(*given, "6x")
    assert [part.num_clusters for part in new.single] == [103, 82]
    config = new.get_config()
    again = keras_pss.EmbeddingCollection.from_config(config)
    assert [part.num_clusters for part in again.single] == [103, 82]
    del config["count_index"]  # an older version had none
    for form, sizes in (
        ("6x", [415, 332]),
        (9000, [155, 124]),
        ("200KB", [554, 443]),
    ):
        old = keras_pss.EmbeddingCollection.from_config(
            {**config, "budget": form}
        )
        assert [part.num_clusters for part in old.single] == sizes
        assert old.get_config()["budget"] == form
        again = keras_pss.EmbeddingCollection.from_config(old.get_config())
        assert [part.num_clusters for part in again.single] == sizes


def test_a_budget_may_be_a_parsed_one():
    budget = Budget.parse("20x")
    layer = keras_pss.embedding(1000, 8, "hash", budget)
    assert layer.num_buckets == 50
    tables = keras_pss.EmbeddingCollection([1000, 9], 8, "hash", budget)
    assert tables.get_config()["budget"] == "20x"
