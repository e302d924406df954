"""The keys of PPO: algorithm=ppo, ippo and mappo. Imports neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from marl_app.config.algorithms import AlgorithmSettings, check_schedule
from marl_app.config.errors import ConfigError
from marl_app.config.section import check_number, key

CRITICS = ("local", "state", "agent_state")
MAGNETS = ("none", "uniform", "snapshot", "ema", "player")


@dataclass
class PPOSettings(AlgorithmSettings):
    """Proximal policy optimization (ppo, ippo, mappo), with RLlib's names and meanings."""

    rllib_config: ClassVar[str] = "marl_app.rllib.ppo.algorithm.LeaguePPOConfig"
    lambda_: float = key("Lambda of generalized advantage estimation.", at_least=0, at_most=1)
    clip_param: float = key("How far the probability ratio may differ from 1 before its gradient is clipped.", above=0)
    vf_clip_param: float | None = key("Limit of the squared value error; null = no clipping.", above=0)
    vf_loss_coeff: float = key("Weight of the value loss.", at_least=0)
    entropy_coeff: Any = key(
        "Weight of the entropy bonus; or [[0, weight], [env step, weight], ...]: linear in between, constant after the "
        "last.",
        at_least=0,
    )
    uniform_kl_coeff: Any = key(
        "Weight of KL(uniform || policy) over the legal actions, which keeps the probability of every action above "
        "about weight / (number of actions * |advantage|); or a schedule as of entropy_coeff.",
        at_least=0,
    )
    use_kl_loss: bool = key("Whether the KL divergence to the old policy is a term of the loss.")
    kl_coeff: float = key("Initial weight of the KL term, which adapts; used only with use_kl_loss.", at_least=0)
    kl_target: float = key("KL divergence toward which the weight adapts; used only with use_kl_loss.", above=0)
    num_epochs: int = key("Passes over the rows of one update.", at_least=1)
    shuffle_batch_per_epoch: bool = key("Whether the rows are shuffled before every pass.")
    critic: str = key(
        "Input of the critic: local = the agent's observation | state = the environment's global state or, without "
        "one, the observations of the agent's side | agent_state = that state and the agent's observation.",
        choices=CRITICS,
    )
    huber_delta: float | None = key("Value error above which the loss grows linearly; null = squared error.", above=0)
    normalize_advantages: bool = key(
        "Whether advantages are normalized to mean 0 and standard deviation 1 in every batch."
    )
    normalize_values: bool = key(
        "Whether the critic predicts values in units of their running standard deviation (PopArt)."
    )

    advantage_filter: float = key(
        "Share of the rows of a batch that are trained on, those with the largest absolute advantages; 1 = all.",
        above=0,
        at_most=1,
    )
    magnet: str = key(
        "Reference policy toward which main agents are regularized by a KL term: none | uniform over the legal actions "
        "| snapshot = the learner's newest snapshot | ema = an average of its weights | player = magnet_player.",
        choices=MAGNETS,
    )
    magnet_coeff: Any = key("Weight of that KL term; or a schedule as of entropy_coeff.", at_least=0)
    magnet_updates: Any = key(
        "Updates until the reference is renewed; or a schedule. Only with magnet=snapshot.", at_least=1
    )
    magnet_rate: float = key(
        "Weight of the new weights in the average, at every update. Only with magnet=ema.", above=0, at_most=1
    )
    magnet_player: str | None = key("A player, such as DIR:main@0003. Only with magnet=player.")

    def network_settings(self) -> dict[str, Any]:
        """Return the configured critic."""
        return {**super().network_settings(), "critic": self.critic}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("entropy_coeff", "uniform_kl_coeff", "magnet_coeff", "magnet_updates"):
            value = getattr(self, name)
            if isinstance(value, list):
                check_schedule(f"algorithm.{name}", value, "values >= 0")
            else:
                check_number(f"algorithm.{name}", value, float)
        if (self.magnet == "player") != (self.magnet_player is not None):
            raise ConfigError(
                f"algorithm.magnet_player={self.magnet_player}: give a player with algorithm.magnet=player, and null "
                "with others"
            )
        if self.minibatch_size is not None and self.minibatch_size > self.train_batch_size_per_learner:
            raise ConfigError(
                f"algorithm.minibatch_size={self.minibatch_size} is more than algorithm.train_batch_size_per_learner="
                f"{self.train_batch_size_per_learner}: give a minibatch that is not larger than the batch"
            )
