"""The keys of value decomposition: algorithm=qmix and vdn. Imports neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from marl_app.config.algorithms import AlgorithmSettings, check_schedule
from marl_app.config.errors import ConfigError
from marl_app.config.section import key


@dataclass
class TeamQSettings(AlgorithmSettings):
    """Value decomposition for a cooperative team (vdn, qmix), with the names and meanings of RLlib's DQN."""

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
        return {**super().network_settings(), "epsilon_greedy": True}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minibatch_size is None:
            raise ConfigError("algorithm.minibatch_size=null: give the env steps of a minibatch from the replay buffer")
        check_schedule("algorithm.epsilon", self.epsilon, "probabilities from 0 to 1", at_most=1)
        # A fragment has at most two rows per env step: one more where a match was truncated.
        for name, factor in (("train_batch_size_per_learner", 2), ("num_steps_sampled_before_learning_starts", 1)):
            least = factor * getattr(self, name)
            if self.replay_capacity < least:
                raise ConfigError(
                    f"algorithm.replay_capacity={self.replay_capacity} is too little for algorithm.{name}="
                    f"{getattr(self, name)}: give at least {least}"
                )
