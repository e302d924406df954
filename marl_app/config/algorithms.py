"""The keys of the group `algorithm` that all algorithms share. A family of algorithms adds keys in its own folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from marl_app.config.errors import ConfigError
from marl_app.config.section import Section, check_number, key


@dataclass
class AlgorithmSettings(Section):
    """Keys that all learning algorithms share. A family adds keys; with another algorithm they are unknown keys.

    A family is a subclass in a module that imports neither Ray nor torch, such as `rllib/ppo/settings.py`. The options
    of `conf/algorithm` name it, and give a value to every key, the inherited ones included:
    `defaults: [/marl_app.rllib.ppo.settings.PPOSettings@_here_, _self_]`.
    """

    path: ClassVar[str] = "algorithm"
    rllib_config: ClassVar[str] = ""
    """The path of the `MatchConfig` that trains with these settings."""
    max_learners: ClassVar[int | None] = None
    """Learner processes that the algorithm can use; None = any number."""
    on_policy_only: ClassVar[bool] = False
    """Whether the loss is right only for experience of the current weights, so that `runtime.pipeline` is refused."""
    lr: Any = key(
        "Learning rate of Adam; or [[0, rate], [env step, rate], ...]: linear in between, constant after the last.",
        at_least=0,
    )
    gamma: float = key("Discount factor from an agent's action to its next action.", at_least=0, at_most=1)
    grad_clip: float | None = key("Limit of the gradient, see grad_clip_by; null = no clipping.", above=0)
    grad_clip_by: str = key("What grad_clip limits.", choices=("value", "norm", "global_norm"))
    train_batch_size_per_learner: int = key("Env steps of a batch, see runtime.scale_batch.", at_least=1)
    minibatch_size: int | None = key(
        "Rows per gradient step: agent steps, or env steps of a team (value decomposition); null = the whole batch.",
        at_least=1,
    )
    death_masking: bool = key("Whether a central state has zeros in place of agents that have finished.")
    normalize_rewards: bool = key(
        "Whether rewards are divided by the running standard deviation of discounted returns."
    )
    symmetries: str = key(
        "Use of the symmetric views that an environment states, such as the mirror image of a board: none | random = "
        "each agent of a training match sees it in a random view | average = networks see all views, and average over "
        "them: a pass per view.",
        choices=("none", "random", "average"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.lr, list):
            check_schedule("algorithm.lr", self.lr, "rates >= 0")
        elif not check_number("algorithm.lr", self.lr, float) > 0:
            raise ConfigError(f"algorithm.lr={self.lr} is not allowed: give a value > 0")

    def network_settings(self) -> dict[str, Any]:
        """Return the arguments of `networks_for_env` that the algorithm decides."""
        return {"average_symmetries": self.symmetries == "average"}


def check_schedule(name: str, schedule: list[Any], values: str, at_most: float = math.inf) -> None:
    """Raise ConfigError unless it is [[0, value], [step, value], ...] with growing steps and values in [0, at_most].

    `values` describes the values in the error message.
    """
    # Points of the right form; if there are fewer than entries, the test of the lengths below fails.
    points = [point for point in schedule if isinstance(point, list) and len(point) == 2]
    numbers = [number for point in points for number in point]
    if (
        not schedule
        or len(points) < len(schedule)
        or any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers)
        or schedule[0][0] != 0
        or any(first[0] >= second[0] for first, second in zip(schedule[:-1], schedule[1:], strict=True))
        or not all(math.isfinite(value) and 0 <= value <= at_most for _, value in schedule)
    ):
        raise ConfigError(
            f"{name}={schedule} is not a schedule: give [[0, value], [env step, value], ...] with growing steps and "
            f"{values}"
        )
