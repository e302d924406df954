"""A loaded agent that speaks the language of its environment: the spaces that an adapter translated are saved with it.

Networks see one array and answer with integers from 0; an environment may give numbers, tuples or dicts, and count its
actions from 1. Where both are the same, as in all native environments, nothing is translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.pettingzoo_spaces import Seat, make_seat
from marl_app.players.agent import Agent
from marl_app.players.saved_spaces import space_from_json

Array = NDArray[Any]


class NativeAgent(Agent):
    """An `Agent` that takes observations as the environment gives them, and returns actions of its action space.

    An observation may contain its mask, as PettingZoo's {"observation": ..., "action_mask": ...}. Arrays in the layout
    of the networks are also accepted, one or a stack of them.
    """

    def __init__(self, blob: bytes, average_symmetries: bool = False) -> None:
        super().__init__(blob, average_symmetries)
        self._seats: list[Seat] | None = None
        if "raw_spaces" in self.metadata:
            self._seats = [
                make_seat(name, *map(space_from_json, pair))
                for name, pair in zip(self.metadata["agents"], self.metadata["raw_spaces"], strict=True)
            ]

    def act(
        self,
        observation: Any,
        action_mask: Any = None,
        agent: Any = None,
        *,
        rng: np.random.Generator | None = None,
        greedy: bool = False,
        memory: Array | None = None,
    ) -> Any:
        """Return an action of the environment's space for one observation, or an array of them for a stack.

        Arguments and errors as in `Agent.act`; `observation` as described above.
        """
        observation, action_mask = self._translate(observation, action_mask, agent)
        result = super().act(observation, action_mask, agent, rng=rng, greedy=greedy, memory=memory)
        seat = self._seat(agent)
        if seat is None:
            return result
        actions, *rest = result if self.memory_size else (result,)
        single = np.ndim(actions) == len(seat.action_space.shape or ())
        actions = seat.decode_action(actions) if single else np.stack([seat.decode_action(row) for row in actions])
        return (actions, *rest) if rest else actions

    def probabilities(
        self, observation: Any, action_mask: Any = None, agent: Any = None, memory: Array | None = None
    ) -> Array:
        """Return action probabilities, in the order of the environment's actions; see `Agent.probabilities`."""
        observation, action_mask = self._translate(observation, action_mask, agent)
        return super().probabilities(observation, action_mask, agent, memory)

    def _seat(self, agent: Any) -> Seat | None:
        """Return the spaces of the agent, or of the first of several."""
        return None if self._seats is None else self._seats[int(self._agent_indices(agent)[0])]

    def _translate(self, observation: Any, mask: Any, agent: Any) -> tuple[Any, Any]:
        """Return an observation in the layout of the networks, and its mask."""
        seat = self._seat(agent)
        if seat is None:
            if isinstance(observation, Mapping) and "observation" in observation:
                mask = observation.get("action_mask") if mask is None else mask
                observation = observation["observation"]
            return observation, mask
        raw_space, shape = seat.raw_observation_space, seat.observation_space.shape
        is_box = isinstance(raw_space, spaces.Box)
        if isinstance(observation, np.ndarray) and (
            observation.shape == shape or (not is_box and observation.shape[-len(shape) :] == shape)
        ):
            return observation, mask  # in the layout of the networks already
        if is_box and np.ndim(observation) > len(raw_space.shape or ()):
            return np.stack([seat.encode_observation(row) for row in np.asarray(observation)]), mask
        encoded, own_mask = seat.encode(observation)
        if mask is None:
            return encoded, own_mask
        return encoded, seat.encode_mask(mask) if np.ndim(mask[0]) else mask
