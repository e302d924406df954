"""The keys of temporal-difference learning: algorithm=td. Imports neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from marl_app.config.algorithms import AlgorithmSettings, check_schedule
from marl_app.config.errors import ConfigError
from marl_app.config.section import check_number, key


@dataclass
class TDSettings(AlgorithmSettings):
    """TD(lambda) control with a network that has a value for every action, such as model=afterstates."""

    rllib_config: ClassVar[str] = "marl_app.rllib.td.algorithm.LeagueTDConfig"
    lambda_: float = key(
        "Weight of longer returns: 0 = the value of the next observation, 1 = the return of the match.",
        at_least=0,
        at_most=1,
    )
    temperature: Any = key(
        "Temperature of exploration: actions are drawn from a softmax of their values, which differ by at most 2; or a "
        "schedule [[0, temperature], [env step, temperature], ...].",
        above=0,
    )
    play_temperature: float = key("Temperature of saved players: snapshots, evaluation, load_agent.", above=0)
    num_epochs: int = key("Passes over the rows of one update.", at_least=1)
    shuffle_batch_per_epoch: bool = key("Whether the rows are shuffled before every pass.")

    # What the learner of PPO reads besides, switched off: this loss has one term.
    critic: ClassVar[str] = "local"
    advantage_filter: ClassVar[float] = 1.0
    huber_delta: ClassVar[float | None] = None
    vf_clip_param: ClassVar[float | None] = None
    normalize_advantages: ClassVar[bool] = False
    normalize_values: ClassVar[bool] = False
    magnet: ClassVar[str] = "none"
    magnet_coeff: ClassVar[Any] = 0.0
    uniform_kl_coeff: ClassVar[Any] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalize_rewards:
            raise ConfigError("algorithm.normalize_rewards=true: values are in units of the rewards; give false")
        if isinstance(self.temperature, list):
            check_schedule("algorithm.temperature", self.temperature, "temperatures > 0")
            if min(value for _, value in self.temperature) <= 0:
                raise ConfigError(f"algorithm.temperature={self.temperature}: give temperatures > 0")
        else:
            check_number("algorithm.temperature", self.temperature, float)
