"""Slots against Space-Saving in NumPy, and against the published bound."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_pss.ops import counting
from keras_pss.ops.hash_families import pss1
from keras_pss.ops.sketches import slots

WIDTH, SIZE = 5, 24
JAX = keras.backend.backend() == "jax"
# Steps of one size, since JAX compiles each size again.
STEP = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 3)),
    min_size=SIZE,
    max_size=SIZE,
)


def bucket_of(key, width):
    return int(pss1.starts(np.array([key]), width, slots.SEED)[0, 0])


class SpaceSaving:
    """Metwally's algorithm in each bucket, one key after the other."""

    def __init__(self, width):
        self.keys = [[None] * slots.SLOTS for _ in range(width)]
        self.scores = [[0] * slots.SLOTS for _ in range(width)]

    def add(self, key, amount):
        bucket = bucket_of(key, len(self.keys))
        keys, scores = self.keys[bucket], self.scores[bucket]
        if key not in keys:
            keys[scores.index(min(scores))] = key
        scores[keys.index(key)] += amount

    def has(self, key):
        return key in self.keys[bucket_of(key, len(self.keys))]

    def held(self):
        return {
            key: score
            for keys, scores in zip(self.keys, self.scores, strict=True)
            for key, score in zip(keys, scores, strict=True)
            if key is not None
        }

    def step(self, keys, amounts):
        """All occurrences of held keys, then one newcomer a bucket."""
        pairs = [(k, a) for k, a in zip(keys, amounts, strict=True) if a]
        missed = [(k, a) for k, a in pairs if not self.has(k)]
        for key, amount in pairs:
            if self.has(key):
                self.add(key, amount)
        new = {bucket_of(key, len(self.keys)): key for key, _ in missed}
        for key in new.values():
            self.add(key, sum(a for k, a in missed if k == key))


class Slots:
    """Slots as a layer keeps them."""

    def __init__(self, width, wide=False):
        shape = width, slots.SLOTS
        self.wide = wide
        self.scores = ops.zeros(shape, "int32")
        empty = ops.full(shape, slots.EMPTY, "int32")
        self.words = [*[ops.zeros(shape, "int32")] * wide, empty]

    def step(self, keys, amounts):
        words = counting.divided(np.asarray(keys, np.int64), self.wide)
        self.words, self.scores = slots.added(
            self.words,
            self.scores,
            [ops.convert_to_tensor(word.view(np.int32)) for word in words],
            ops.convert_to_tensor(np.asarray(amounts, np.int32)),
        )

    def held(self):
        words = [np.array(ops.convert_to_numpy(w)) for w in self.words]
        keys = counting.joined(*(w.reshape(-1).view(np.uint32) for w in words))
        scores = np.array(ops.convert_to_numpy(self.scores)).reshape(-1)
        used = words[-1].reshape(-1) != slots.EMPTY
        return dict(
            zip(keys[used].tolist(), scores[used].tolist(), strict=True)
        )


@settings(deadline=None, max_examples=5 if JAX else 25)
@given(steps=st.lists(STEP, max_size=6), wide=st.booleans())
def test_steps_are_those_of_space_saving(steps, wide):
    found, expected = Slots(WIDTH, wide), SpaceSaving(WIDTH)
    for step in steps:
        keys = [key * (2**33 + 12_345 if wide else 1) for key, _ in step]
        amounts = [2 * amount for _, amount in step]
        found.step(keys, amounts)
        expected.step(keys, amounts)
        assert found.held() == expected.held()


@settings(deadline=None, max_examples=5 if JAX else 15)
@given(steps=st.lists(STEP, min_size=1, max_size=8))
def test_scores_bound_what_was_counted(steps):
    """Never too small by more than what a key lost before it entered."""
    sketch = Slots(WIDTH)
    true, mass = {}, 0
    for step in steps:
        before = sketch.held()
        step = [(key, 2 * amount) for key, amount in step]
        sketch.step(*zip(*step, strict=True))
        after = sketch.held()
        for key, amount in step:
            if key in before or key in after:
                true[key] = true.get(key, 0) + amount
                mass += amount
        for key in true:
            if key not in after:
                true[key] = 0  # it starts again
    assert sum(after.values()) == mass
    for key, score in after.items():
        assert score >= true[key]
    by_bucket = {}
    for key, score in after.items():
        by_bucket.setdefault(bucket_of(key, WIDTH), []).append(score)
    for scores in by_bucket.values():
        assert len(scores) <= slots.SLOTS
        if len(scores) == slots.SLOTS:
            assert slots.SLOTS * min(scores) <= sum(scores)


def test_hot_keys_are_not_replaced():
    sketch = Slots(1)
    for key in (3, 4, 5, 6):
        sketch.step([key] * 2, [16] * 2)
    none = np.array([], np.int64)

    def mark(hot):
        scores = np.array(ops.convert_to_numpy(sketch.scores)).reshape(-1)
        keys = np.array(ops.convert_to_numpy(sketch.words[0])).reshape(-1)
        found = slots.marked(keys, scores, np.array(hot, np.int64))
        sketch.scores = ops.convert_to_tensor(
            found.reshape(1, 4).astype(np.int32)
        )

    mark([3, 5])
    sketch.step([7, 9, 3], [16, 16, 16])
    assert sketch.held() == {3: 49, 9: 48, 5: 33, 6: 32}
    mark([3, 9, 5, 6])
    sketch.step([7, 7, 9], [16, 16, 16])
    assert sketch.held() == {3: 49, 9: 65, 5: 33, 6: 33}
    mark(none)
    sketch.step([7], [16])
    assert sketch.held() == {3: 48, 9: 64, 7: 48, 6: 32}


@pytest.mark.parametrize("hot", [0, slots.HOT])
def test_scores_stop_before_they_overflow(hot):
    sketch = Slots(1)
    sketch.step([3], [16])
    # The score of 3 after 134 million rows without a refresh.
    full = np.array([[2**31 - 16 + hot, 0, 0, 0]], np.int32)
    sketch.scores = ops.convert_to_tensor(full)
    sketch.step([3, 3, 5], [16, 16, 16])
    most = slots.LARGEST_SCORE + hot
    assert sketch.held() == {3: most + 32, 5: 16}


def test_an_empty_step_changes_nothing():
    sketch = Slots(WIDTH)
    sketch.step([3, 4, 3], [2, 2, 2])
    before = sketch.held()
    sketch.step([], [])
    sketch.step([9, 3], [0, 0])
    assert sketch.held() == before == {3: 4, 4: 2}


def test_the_same_steps_give_the_same_bits_on_every_backend():
    random = np.random.RandomState(1)
    sketch = Slots(6)
    for _ in range(5):
        sketch.step(random.zipf(1.3, 64).clip(max=900), np.full(64, 16))
    held = sorted(sketch.held().items(), key=lambda x: (-x[1], x[0]))[:6]
    assert held == [
        (1, 1296),
        (2, 496),
        (900, 480),
        (6, 96),
        (4, 80),
        (5, 64),
    ]


@pytest.mark.parametrize(("share", "width"), [(0.02, 20), (0.01, 100)])
def test_a_frequent_key_is_held_as_often_as_published(share, width):
    """One key of a known share among as many equally rare ones as fit."""
    held, trials, length = 0, 60, 1500
    for trial in range(trials):
        random = np.random.RandomState(trial)
        keys = random.randint(0, 2**30, length)
        mine = 2**30 + trial
        keys[random.rand(length) < share] = mine
        sketch = SpaceSaving(width)
        for key in keys.tolist():
            sketch.add(key, 1)
        held += sketch.has(mine)
    bound = slots.probability_held(share, width)
    assert 0 < bound < 1
    assert held / trials > bound


def test_the_most_counted_keys_with_a_margin_for_hot_ones():
    keys = np.array([5, 9, 2, 7, 30, 31])
    scores = np.array([120, 80, 119, 121, 0, 1])
    none = np.array([], np.int64)
    found = slots.most_counted(keys, scores, 2, none)
    assert found.tolist() == [5, 7]
    # 9 keeps its row until two others have more than 1.5 times its score, and
    # a hot key without a slot keeps what nobody needs.
    found = slots.most_counted(keys, scores, 2, np.array([9]))
    assert found.tolist() == [7, 9]
    found = slots.most_counted(keys, scores, 6, np.array([1, 30]))
    assert found.tolist() == [1, 2, 5, 7, 9, 31]
    found = slots.most_counted(keys, scores, 9, none)
    assert found.tolist() == [2, 5, 7, 9, 31]
    width = 2
    bucket = pss1.starts(np.array([4, 6]), width, slots.SEED)[:, 0]
    held = np.full((2, 4), -1)
    held[bucket, [1, 2]] = [4, 6]
    scores = np.arange(8)
    expected = np.arange(8).reshape(2, 4)[bucket, [1, 2]].tolist()
    wanted = np.array([4, 6, 8])
    found = slots.found(held.reshape(-1), scores, wanted)
    assert found.tolist() == [*expected, 0]
