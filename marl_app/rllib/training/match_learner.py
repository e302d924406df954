"""What a run asks of an RLlib `Learner`, besides RLlib's own methods.

All are called in the learner's process, where the networks and optimizers are. The algorithm's configuration checks its
learner class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray


@runtime_checkable
class MatchLearner(Protocol):
    """A learner that can be saved. Weights and optimizers are saved by the run itself (`training/checkpoint.py`)."""

    def extra_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what a checkpoint keeps in addition: arrays of any shape by name, and JSON types by name."""

    def load_extra_state(self, arrays: Mapping[str, NDArray[Any]], plain: Mapping[str, Any], env_steps: int) -> None:
        """Restore what `extra_state` returned. env_steps: the run's, for schedules. Other arrays are to be ignored."""


@runtime_checkable
class ResettableLearner(Protocol):
    """A learner whose networks may start again, as those of exploiters do."""

    def reset_optimizers(self, module_ids: list[str]) -> None:
        """Reset the optimizer state of these networks, and other state that training has adapted."""
