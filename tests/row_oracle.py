"""Row-wise optimizers in NumPy, in float64, and batches with duplicates."""

import numpy as np

ROWS, WIDTH, STEPS = 12, 3, 6


def batches(seed=0):
    """Ids and a gradient for each of them; ids repeat, one has zeros."""
    random = np.random.RandomState(seed)
    for _ in range(STEPS):
        ids = random.randint(0, ROWS - 2, 9).astype("int32")
        ids[:2] = ids[2]
        values = random.normal(size=(9, WIDTH)).astype("float32")
        # Rows of padding: one whose entries are zero.
        ids[-2:], values[-2:] = ROWS - 1, 0
        yield ids, values


def dense(ids, values):
    found = np.zeros((ROWS, WIDTH))
    np.add.at(found, ids, values)
    return found.astype("float32")


def start():
    return np.random.RandomState(7).normal(size=(ROWS, WIDTH)).astype("float32")


class Adam:
    def __init__(self, rate, b1=0.9, b2=0.999, epsilon=1e-7):
        self.rate, self.b1, self.b2, self.epsilon = rate, b1, b2, epsilon
        self.slots = [np.zeros((ROWS, WIDTH)), np.zeros((ROWS, WIDTH))]

    def step(self, w, g, t):
        m, v = self.slots
        m[:] = self.b1 * m + (1 - self.b1) * g
        v[:] = self.b2 * v + (1 - self.b2) * g**2
        rate = self.rate * np.sqrt(1 - self.b2**t) / (1 - self.b1**t)
        return w - rate * m / (np.sqrt(v) + self.epsilon)


class Adagrad:
    def __init__(self, rate, epsilon=1e-8):
        self.rate, self.epsilon = rate, epsilon
        self.slots = [np.zeros(ROWS)]

    def step(self, w, g, t):
        (s,) = self.slots
        s += (g**2).mean(axis=1)
        return w - self.rate * g / (np.sqrt(s) + self.epsilon)[:, None]


class SGD:
    def __init__(self, rate, momentum=0.0, nesterov=False):
        self.rate, self.momentum, self.nesterov = rate, momentum, nesterov
        self.slots = [np.zeros((ROWS, WIDTH))] if momentum else []

    def step(self, w, g, t):
        if not self.slots:
            return w - self.rate * g
        (m,) = self.slots
        m[:] = self.momentum * m - self.rate * g
        return w + (self.momentum * m - self.rate * g if self.nesterov else m)


def trained(optimizer, gradients, decay=0.0):
    """The table after dense gradients; only rows with any of them change."""
    w = start().astype("float64")
    for t, gradient in enumerate(gradients, 1):
        g = gradient.astype("float64")
        rows = g.any(axis=1)
        before = [slot.copy() for slot in optimizer.slots]
        new = optimizer.step(w * (1 - optimizer.rate * decay), g, t)
        w[rows] = new[rows]
        for slot, old in zip(optimizer.slots, before, strict=True):
            slot[~rows] = old[~rows]
    return w
