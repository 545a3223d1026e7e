"""Base class of layers that are composed of other embedding layers."""

from typing import Any

from keras_pss.layers.base.memory import MemoryReport
from keras_pss.layers.base.packable import Packable, check_mode
from keras_pss.layers.base.sharing import Holder
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import measured_moments
from keras_pss.optimizers.slots import Optimizer


class Composite(Packable, Holder):
    """Base of layers that have no tables except those of their sub-layers.

    A subclass declares its sub-layers in `parts()` and looks up rows in
    `call`.
    """

    def parts(self) -> list[Any]:
        """The sub-layers that hold weights."""
        return list(self.nested_layers().values())

    def tables(self) -> dict[str, Table]:
        return {}

    def lookup_bytes(self) -> int:
        return 0  # each part reports its own

    def lookup_flops(self) -> int:
        return 0

    def build(self, input_shape: Any = None) -> None:
        parts = self.parts()
        rows = [getattr(part, "input_dim", None) for part in parts]
        with measured_moments.shared(rows):
            for part in parts:
                if not part.built:
                    part.build()
        self.built = True

    def budget_size(self) -> int:
        """Size of all parts as a budget counts it, in parameters."""
        return sum(part.budget_size() for part in self.parts())

    def full_parameters(self) -> int | None:
        """Size of the uncompressed tables; None for an open vocabulary."""
        raise NotImplementedError

    def memory_report(self, optimizer: Optimizer = "adam") -> MemoryReport:
        """Sizes of the layer, compared with the uncompressed tables."""
        return MemoryReport.of(self, self.full_parameters(), optimizer)

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Packs every part; see `TableLayer.quantize`.

        Keras' `model.quantize` does not call this method of a layer with
        parts. It packs the parts one by one, so its `filters` decide for each
        part by the part's own name, such as `"shared"`. To exclude this layer,
        exclude its parts.
        """
        self.check_quantization(mode, config)
        for part in self.parts():
            if part.quantization_mode is None:
                part.quantize(mode, config=config)

    def check_quantization(self, mode: Any, config: Any) -> None:
        """Raises the errors of `quantize` without changing anything."""
        check_mode(mode, self.name)
        for part in self.parts():
            if part.quantization_mode is None:
                part.check_quantization(mode, config)
