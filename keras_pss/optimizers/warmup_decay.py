"""Learning rate schedule with warm-up, hold and decay."""

import math
from typing import Any

import keras
from keras import ops

Tensor = Any

DECAYS = ("constant", "cosine", "linear", "polynomial", "exponential")
# Steps are split into words below this, which are exact in float32.
_WORD = 2**16


@keras.saving.register_keras_serializable("keras_pss")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, is held constant, and decays.

        rate(t) = min(1, (t + 1) / warmup_steps) (e + (η - e) f(r))
        r = clip((decay_start + decay_steps - t) / decay_steps, 0, 1)

        "constant"     f(r) = 1
        "linear"       f(r) = r
        "polynomial"   f(r) = r^power
        "cosine"       f(r) = sin²(π r / 2) = (1 + cos(π (1 - r))) / 2

    for step t = 0, 1, ..., where η is `learning_rate` and e is
    `end_learning_rate`; with `"exponential"`, η^r e^(1 - r) replaces the second
    factor. The first step has the rate η / warmup_steps, the step before
    `decay_start` has η, and all steps from `decay_start + decay_steps` on have
    e.

    Steps are subtracted as integers, so r is exact except for the rounding to
    float32, and the relative error of the rate is below 1e-6 even after
    billions of steps; with `"exponential"` it is below 3e-7 |log(e / η)|. Keras
    counts steps in 64 bits on TensorFlow and in 32 bits, up to 2^31 - 1, on JAX
    and PyTorch.

    Args:
        learning_rate: The highest rate η, a positive float.
        warmup_steps: Number of steps until η is reached. Default: 0, no
            warm-up.
        decay: Shape of the decay: `"constant"`, `"cosine"`, `"linear"`,
            `"polynomial"` or `"exponential"`. Default: `"constant"`.
        decay_start: The step at which the decay starts, still at η; at least
            `warmup_steps`, which is the default.
        decay_steps: Number of steps from `decay_start` until
            `end_learning_rate` is reached. Required unless `decay` is
            `"constant"`, which takes none.
        end_learning_rate: The last rate e, in [0, η]; positive for
            `"exponential"`. Default: 0.
        power: Exponent of the `"polynomial"` decay, positive. Default: 2.

    Call arguments:
        step: The step t as an integer scalar: a Keras variable, a tensor or
            a number.

    Output: float32 scalar.

    Raises:
        ValueError: If an argument is out of range, if a decay has no
            `decay_steps`, or if `"constant"` has `decay_start` or
            `decay_steps`.

    Example:

    ```python
    from keras_pss.optimizers.warmup_decay import WarmupDecay

    schedule = WarmupDecay(
        24.0, 2_750, "polynomial", decay_start=49_315, decay_steps=27_772
    )
    float(schedule(2_749))  # 24.0
    float(schedule(49_315 + 27_772 // 2))  # 6.0
    optimizer = keras.optimizers.SGD(schedule)
    ```

    References:
        Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1
        hour" (2017), section 2.2 (warm-up). Loshchilov & Hutter, "SGDR:
        stochastic gradient descent with warm restarts" (2017), equation 5
        (cosine). MLPerf's reference implementation of DLRM,
        `LRPolicyScheduler` of facebookresearch/dlrm (hold, then a polynomial
        of power 2).
    """

    def __init__(
        self,
        learning_rate: float,
        warmup_steps: int = 0,
        decay: str = "constant",
        decay_start: int | None = None,
        decay_steps: int | None = None,
        end_learning_rate: float = 0.0,
        power: float = 2.0,
    ) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.decay = decay
        self.decay_start = decay_start
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self._check_rates()
        self._check_steps()

    def _check_rates(self) -> None:
        if self.decay not in DECAYS:
            raise ValueError(
                f"`decay` must be one of {', '.join(DECAYS)}. "
                f"Received: decay={self.decay!r}"
            )
        for name in ("learning_rate", "power"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(
                    f"`{name}` must be positive. Received: {name}={value}"
                )
        end = self.end_learning_rate
        if not 0 <= end <= self.learning_rate:
            raise ValueError(
                "`end_learning_rate` must be in [0, learning_rate]. Received: "
                f"end_learning_rate={end}, learning_rate={self.learning_rate}"
            )
        if self.decay == "exponential" and not end:
            raise ValueError(
                "`end_learning_rate` must be positive with "
                "decay='exponential', which never reaches 0. "
                f"Received: end_learning_rate={end}"
            )

    def _check_steps(self) -> None:
        least = {"warmup_steps": 0, "decay_start": 0, "decay_steps": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if name != "warmup_steps" and value is None:
                continue
            if not isinstance(value, int) or value < smallest:
                raise ValueError(
                    f"`{name}` must be an integer of at least {smallest}. "
                    f"Received: {name}={value!r}"
                )
        if self.decay == "constant":
            if self.decay_start is not None or self.decay_steps is not None:
                raise ValueError(
                    "decay='constant' takes no `decay_start` and no "
                    "`decay_steps`. Leave them out or choose a decay. "
                    f"Received: decay_start={self.decay_start}, "
                    f"decay_steps={self.decay_steps}"
                )
        elif self.decay_steps is None:
            raise ValueError(
                f"`decay_steps` must be given with decay={self.decay!r}: the "
                "number of steps from `decay_start` to `end_learning_rate`. "
                "Received: decay_steps=None"
            )
        if self.decay_start is not None and (
            self.decay_start < self.warmup_steps
        ):
            raise ValueError(
                "`decay_start` must be at least `warmup_steps`. Received: "
                f"decay_start={self.decay_start}, "
                f"warmup_steps={self.warmup_steps}"
            )

    def __call__(self, step: Any) -> Tensor:
        rate = self._decayed(step)
        if not self.warmup_steps:
            return rate
        return rate * _fraction(step, -1, self.warmup_steps)

    def _decayed(self, step: Any) -> Tensor:
        """The second factor of the formula."""
        rate, end = self.learning_rate, self.end_learning_rate
        if self.decay_steps is None:
            return ops.convert_to_tensor(rate, "float32")
        start = self.warmup_steps
        if self.decay_start is not None:
            start = self.decay_start
        left = _fraction(start + self.decay_steps, step, self.decay_steps)
        if self.decay == "exponential":
            return end * ops.exp(math.log(rate / end) * left)
        if self.decay == "cosine":
            # sin² avoids the cancellation of the cosine form near the end.
            left = ops.square(ops.sin(math.pi / 2 * left))
        elif self.decay == "polynomial":
            left = ops.power(left, self.power)
        return end + (rate - end) * left

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
            "decay_start": self.decay_start,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
        }


def _fraction(after: Any, before: Any, of: int) -> Tensor:
    """(after - before) / of, clipped to [0, 1]; one of the two is a tensor.

    The differences of the words are exact, so their sum is rounded only once.
    No constant exceeds the 32 bits of a step on JAX.
    """
    high = ops.cast(after // _WORD - before // _WORD, "float32")
    low = ops.cast(after % _WORD - before % _WORD, "float32")
    return ops.clip((high * _WORD + low) / float(of), 0, 1)
