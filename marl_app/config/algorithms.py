"""The keys of the group `algorithm`: those that all algorithms share, and those of each family."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from marl_app.config.errors import ConfigError
from marl_app.config.section import Section, check_number, key

CRITICS = ("local", "state", "agent_state")


@dataclass
class AlgorithmConfig(Section):
    """Keys that all learning algorithms share. Each family adds keys, which exist only where the family is chosen."""

    path: ClassVar[str] = "algorithm"
    option: ClassVar[str] = ""
    """The option of the group `algorithm` that shows a family's defaults."""
    rllib_config: ClassVar[str] = ""
    """The path of the `MatchConfig` that trains with these settings."""
    max_learners: ClassVar[int | None] = None
    """Learner processes that the algorithm can use; None = any number."""
    lr: float = key("Learning rate of Adam.", above=0)
    gamma: float = key("Discount factor from an agent's action to its next action.", at_least=0, at_most=1)
    grad_clip: float | None = key("Limit of the gradient, see grad_clip_by; null = no clipping.", above=0)
    grad_clip_by: str = key("What grad_clip limits.", choices=("value", "norm", "global_norm"))
    train_batch_size_per_learner: int = key("Env steps collected per iteration, for each learner process.", at_least=1)
    minibatch_size: int = key(
        "Rows per gradient step: agent steps in PPO, env steps in value decomposition.", at_least=1
    )
    death_masking: bool = key("Whether a central state has zeros in place of agents that have finished.")
    normalize_rewards: bool = key(
        "Whether rewards are divided by the running standard deviation of discounted returns."
    )

    def network_settings(self) -> dict[str, Any]:
        """Return the arguments of `networks_of` that the algorithm decides."""
        return {}


@dataclass
class PPOConfig(AlgorithmConfig):
    """Proximal policy optimization (ppo, ippo, mappo), with RLlib's names and meanings."""

    option: ClassVar[str] = "ppo"
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

    def network_settings(self) -> dict[str, Any]:
        """Return the configured critic."""
        return {"critic": self.critic}

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.entropy_coeff, list):
            check_schedule("algorithm.entropy_coeff", self.entropy_coeff, "weights >= 0")
        else:
            check_number("algorithm.entropy_coeff", self.entropy_coeff, float)
        if self.minibatch_size > self.train_batch_size_per_learner:
            raise ConfigError(
                f"algorithm.minibatch_size={self.minibatch_size} is more than algorithm.train_batch_size_per_learner="
                f"{self.train_batch_size_per_learner}: give a minibatch that is not larger than the batch"
            )


@dataclass
class ValueDecompositionConfig(AlgorithmConfig):
    """Value decomposition for a cooperative team (vdn, qmix), with the names and meanings of RLlib's DQN."""

    option: ClassVar[str] = "qmix"
    rllib_config: ClassVar[str] = "marl_app.rllib.team_q.algorithm.TeamQConfig"
    max_learners: ClassVar[int | None] = 1
    mixer: str = key(
        "How the value of the team is computed from those of its agents: vdn = their sum | qmix = a network that is "
        "monotonic in each, with weights generated from the global state.",
        choices=("vdn", "qmix"),
    )
    mixing_embed_dim: int = key("Width of the mixing network; used only with mixer=qmix.", at_least=1)
    hypernet_embed: int = key("Width of the networks that generate its weights; used only with mixer=qmix.", at_least=1)
    double_q: bool = key("Whether the trained networks choose the next actions and the target networks value them.")
    bootstrap_truncated: bool = key(
        "Whether the return of a truncated match includes the estimated value of its last state; false = the match "
        "counts as ended there."
    )
    target_network_update_freq: int = key("Env steps between updates of the target networks.", at_least=1)
    tau: float = key(
        "Share of the trained networks in an update of the target networks; 1 = a copy.", above=0, at_most=1
    )
    huber_delta: float | None = key("TD error above which the loss grows linearly; null = squared error.", above=0)
    epsilon: list[Any] = key(
        "Probability of a random action in training, as [[env step, probability], ...]: linear in between, constant "
        "after the last."
    )
    training_intensity: float = key("How many times an env step is trained on, on average.", above=0)
    replay_capacity: int = key("Env steps that the replay buffer keeps.", at_least=1)
    num_steps_sampled_before_learning_starts: int = key(
        "Env steps in the replay buffer before learning starts, or continues after a resume.", at_least=0
    )

    def network_settings(self) -> dict[str, Any]:
        """Return the settings of networks whose outputs are action values."""
        return {"epsilon_greedy": True}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_schedule("algorithm.epsilon", self.epsilon, "probabilities from 0 to 1", at_most=1)
        # A fragment has at most two rows per env step: one more where a match was truncated.
        for name, factor in (("train_batch_size_per_learner", 2), ("num_steps_sampled_before_learning_starts", 1)):
            least = factor * getattr(self, name)
            if self.replay_capacity < least:
                raise ConfigError(
                    f"algorithm.replay_capacity={self.replay_capacity} is too little for algorithm.{name}="
                    f"{getattr(self, name)}: give at least {least}"
                )


def check_schedule(name: str, schedule: list[Any], values: str, at_most: float = math.inf) -> None:
    """Raise ConfigError unless it is [[0, value], [step, value], ...] with growing steps and values in [0, at_most].

    `values` describes the values in the error message.
    """
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
