"""The validated hyperparameters of a training run.

What a layer or a model takes is known to Keras' classes alone, which are
imported for settings that name such an argument: a mistake in any other
setting is told without the seconds of that import.
"""

import math
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from typing import Any, Self

from pydantic import ValidationError, field_validator, model_validator

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import one_of
from keras_pss.layers.planned.choices import AUTO
from keras_pss.messages import reworded, shown
from keras_pss.training.settings import (
    DECAYS,
    METHODS,
    ROW_OPTIMIZERS,
    Settings,
)

# Arguments that `build_model` passes; the others are hyperparameters.
PARTS = ("embeddings", "wide", "mlp_embeddings", "num_dense", "name")

# Learning rates of ROBE's table 8 (Adam 0.001; DLRM's SGD 1.0), and the usual
# 0.01 for Adagrad. Momentum multiplies the 0.1 of lazy SGD by ten.
LEARNING_RATES = {
    "adam": 1e-3,
    "adagrad": 1e-2,
    "sgd": 1.0,
    "lazy_adam": 1e-3,
    "rowwise_adagrad": 1e-2,
    "lazy_sgd": 0.1,
}
LAZY_MOMENTUM = 0.9


class RunConfig(Settings):
    """Hyperparameters of a run; `Settings` describes each of them.

    Raises:
        ValueError: If a setting is unknown, has the wrong type, is out of
            range or conflicts with another one. It is raised before the data
            is read, which can take long.
    """

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            known = ", ".join(Settings.model_fields)
            raise ValueError(
                reworded(error, f"A run's settings are: {known}.")
            ) from None

    @field_validator("budget", mode="before")
    @classmethod
    def _check_budget(cls, budget: Any) -> str | int | None:
        return None if budget is None else Budget.parse(budget).form

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.method != AUTO:
            one_of("method", self.method, METHODS)
        if self.options or self.budget is None:
            from keras_pss.layers.embedding.methods import checked_options

            checked_options(self.method, self.options, self.budget is None)
        if self.model_options:
            self._check_model_options()
        self.schedule(2**40)  # or an error
        if (
            self.network_learning_rate is not None
            and self.optimizer not in ROW_OPTIMIZERS
        ):
            raise ValueError(
                "`network_learning_rate` needs an optimizer of the tables' "
                f"own: one of {', '.join(ROW_OPTIMIZERS)}. Received: "
                f"network_learning_rate={self.network_learning_rate}, "
                f"optimizer={self.optimizer!r}"
            )
        if self.min_rows is not None and self.compress_largest is not None:
            raise ValueError(
                "`compress_largest` replaces `min_rows`: give only one. "
                f"Received: compress_largest={self.compress_largest}, "
                f"min_rows={self.min_rows}"
            )
        return self

    def _check_model_options(self) -> None:
        from keras_pss.models.by_name import MODELS

        known = [
            name
            for name in signature(MODELS[self.model]).parameters
            if name not in PARTS
        ]
        for name, value in self.model_options.items():
            if name not in known:
                raise ValueError(
                    f"`model_options` of model={self.model!r} are: "
                    f"{', '.join(known)}. Received: {name}={shown(value)}"
                )

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Self:
        """A config from the settings of a recipe or a report, by name."""
        return cls(**settings)

    def as_dict(self) -> dict[str, Any]:
        """All settings by name, as they are saved."""
        settings = {
            name: deepcopy(getattr(self, name))
            for name in Settings.model_fields
        }
        # Runs saved before these were settings have no such keys.
        if self.monitor == "auc":
            del settings["monitor"]
        if self.network_learning_rate is None:
            del settings["network_learning_rate"]
        return settings

    def schedule(self, steps: int | None = None) -> Any:
        """The learning rate: a number, or a `WarmupDecay`.

        Args:
            steps: Number of steps in all epochs. A decay without
                `decay_steps` ends there.

        Raises:
            ValueError: If the settings of the decay are inconsistent.
        """
        return self._schedule(self._rate(), self.end_learning_rate, steps)

    def network_schedule(self, steps: int | None = None) -> Any:
        """The learning rate of the network beside a row-wise optimizer.

        It has the shape of `schedule`, with the same ratio of its highest to
        its last rate.

        Args:
            steps: As in `schedule`.
        """
        rate = self.network_learning_rate
        if rate is None:
            lazy = self.optimizer == "lazy_adam"
            rate = self._rate() if lazy else LEARNING_RATES["adam"]
        end = self.end_learning_rate * (rate / self._rate())
        return self._schedule(rate, end, steps)

    def _rate(self) -> float:
        return self.learning_rate or LEARNING_RATES[self.optimizer]

    def _schedule(self, rate: float, end: float, steps: int | None) -> Any:
        if self.decay == "constant":
            for name in ("decay_start", "decay_steps", "end_learning_rate"):
                if getattr(self, name):
                    raise ValueError(
                        f"`{name}` needs a `decay`: one of "
                        f"{', '.join(DECAYS[1:])}. "
                        f"Received: {name}={getattr(self, name)}"
                    )
            if not self.warmup_steps:
                return rate
        ends, start = self.decay_steps, self.decay_start
        if ends is None and steps is not None and self.decay != "constant":
            begun = self.warmup_steps if start is None else start
            ends = max(1, steps - begun)
        from keras_pss.optimizers.warmup_decay import WarmupDecay

        return WarmupDecay(
            rate,
            warmup_steps=self.warmup_steps,
            decay=self.decay,
            decay_start=start,
            decay_steps=ends,
            end_learning_rate=end,
        )

    def rounds(self, rows: int) -> "Rounds":
        """How the endless stream of training batches is divided into rounds.

        Args:
            rows: Number of training rows.
        """
        epoch = math.ceil(rows / self.batch_size)
        steps = math.ceil(epoch / self.evaluations)
        return Rounds(
            epoch=epoch,
            steps=steps,
            of_epoch=math.ceil(epoch / steps),
            count=math.ceil(self.epochs * epoch / steps),
        )


@dataclass(frozen=True)
class Rounds:
    """A round is the steps from one evaluation to the next.

    Attributes:
        epoch: Number of steps in an epoch.
        steps: Number of steps in a round.
        of_epoch: Number of rounds in an epoch, rounded up.
        count: Number of rounds in the run, rounded up.
    """

    epoch: int
    steps: int
    of_epoch: int
    count: int
