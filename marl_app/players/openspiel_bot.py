"""An agent as a `pyspiel.Bot`, for OpenSpiel's own evaluations and matches against its bots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel

from marl_app.envs.openspiel_adapter import OpenSpielCopy
from marl_app.players.policy import Policy


class OpenSpielBot(pyspiel.Bot):
    """A bot that plays as player `player_id` of a game, with an agent that was trained in `env=openspiel`.

    The agent observes what `envs/openspiel_adapter.py` gives: the information state tensor of the game, or its
    observation tensor if it has none. The memory of a recurrent agent begins at `restart`; each `step` updates it.
    Raises ValueError for a game whose tensors or actions are not those of the agent.
    """

    def __init__(
        self, game: Any, player_id: int, policy: Policy, shape: tuple[int, ...], actions: int, **how: Any
    ) -> None:
        super().__init__()
        # The adapter's own view of the game, so that the agent sees what it saw in training.
        self._copy = OpenSpielCopy(game)
        if self._copy.shape != shape or game.num_distinct_actions() != actions:
            raise ValueError(
                f"this agent observes {shape} and has {actions} actions; the tensors of {game} have the shape "
                f"{self._copy.shape}, and it has {game.num_distinct_actions()} actions: train with env=openspiel"
            )
        self._player_id, self._policy, self._how = player_id, policy, how
        self.restart()

    def player_id(self) -> int:
        """Return the player that the bot plays."""
        return self._player_id

    def restart(self) -> None:
        """Begin a match: forget what a recurrent agent remembers."""
        self._memory = np.zeros((1, self._policy.memory_size), np.float32) if self._policy.memory_size else None

    def restart_at(self, state: Any) -> None:
        """Begin at a state; a recurrent agent does not know what it observed before."""
        self.restart()

    def provides_policy(self) -> bool:
        """Return False: `step_with_policy` is not provided."""
        return False

    def step(self, state: Any) -> int:
        """Return a legal action of the player in this state, in which it is to move."""
        # A batch of one row.
        observation = self._copy.observe_state(state, self._player_id)[None]
        mask = np.zeros((1, state.num_distinct_actions()), np.bool_)
        mask[0, state.legal_actions(self._player_id)] = True
        agents = np.array([self._player_id])
        result = self._policy.act(observation, mask, agents, memory=self._memory, **self._how)
        if self._memory is not None:
            result, self._memory = result
        return int(result[0])
