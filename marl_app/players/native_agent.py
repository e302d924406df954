"""A loaded agent in the spaces of its environment: those that an adapter translated are saved with the player.

Networks see one array and answer with integers from 0; an environment may give numbers, tuples or dicts, and count its
actions from 1. Where both are the same, as in all native environments, nothing is translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.pettingzoo_spaces import Seat, make_seat
from marl_app.envs.symmetries import Symmetries
from marl_app.players.agent import Agent
from marl_app.players.modules.actor_critic import ActorCritic
from marl_app.players.pettingzoo_policy import PettingZooPolicy
from marl_app.players.saved_spaces import space_from_json

if TYPE_CHECKING:
    from marl_app.players.openspiel_bot import OpenSpielBot

Array = NDArray[Any]

RAW_KEYS = ("environment_observation_space", "environment_action_space")
"""Keys of an exported file for spaces that an adapter translated."""


class NativeAgent(Agent):
    """An `Agent` that takes observations as the environment gives them, and returns actions of its action space.

    An observation may contain its mask, as PettingZoo's {"observation": ..., "action_mask": ...}. Arrays in the layout
    of the networks are also accepted, one or a stack of them. Where the environment's agents are numbers, a number as
    `agent` is that agent, not an index.
    """

    def __init__(self, blob: bytes, average_symmetries: bool = False) -> None:
        super().__init__(blob, average_symmetries)
        # By agent: the translation between its spaces in the environment and those of the networks.
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
        # One observation gave one action, a stack of R gave actions [R, *action shape].
        single = np.ndim(actions) == len(seat.action_space.shape or ())
        actions = seat.decode_action(actions) if single else np.stack([seat.decode_action(row) for row in actions])
        return (actions, *rest) if rest else actions

    def probabilities(
        self, observation: Any, action_mask: Any = None, agent: Any = None, memory: Array | None = None
    ) -> Array:
        """Return action probabilities, in the order of the environment's actions; see `Agent.probabilities`."""
        observation, action_mask = self._translate(observation, action_mask, agent)
        return super().probabilities(observation, action_mask, agent, memory)

    def value(self, observation: Any, agent: Any = None, memory: Array | None = None) -> Array | None:
        """Return what the critic expects of an observation of the environment; see `Agent.value`."""
        return super().value(self._translate(observation, None, agent)[0], agent, memory)

    def export(self, path: str | Path, agent: Any = None) -> None:
        """Write the network of an agent to a `.onnx` or a `.pt2` file; `players/export.py` has inputs and outputs.

        agent: its name or index; required if the player has several networks: a file has one.
        The file computes in float32, and this agent in bfloat16 where `model.precision` says so: then they differ by
        its rounding. Observations are arrays in the layout of the network; `network_observation` converts others. There
        is a value if the critic sees no more than the agent. The file averages over symmetries if this agent does.
        Raises ValueError for another suffix, an unknown agent and a network that torch cannot export; ImportError if
        the extra `export` is not installed.
        """
        from marl_app.players.export import export_network  # imports what only exporting needs

        name = self._network_name(agent)
        network = next(network for network in self.metadata["networks"] if network["name"] == name)
        # What a program without marl_app needs in order to use the file.
        facts = {
            "player": self.metadata.get("player", ""),
            "network": name,
            "agents": self.metadata["agents"],
            "agents_of_network": [self.metadata["agents"][index] for index in network["agents"]],
            "observation_space": network["observation_space"],
            "action_space": network["action_space"],
        }
        if "raw_spaces" in self.metadata:
            facts |= zip(RAW_KEYS, self.metadata["raw_spaces"][network["agents"][0]], strict=True)
        symmetries = Symmetries(**network["symmetries"]) if name in self._views else None
        export_network(path, self._modules[name], facts, symmetries)

    def network_observation(self, observation: Any, agent: Any = None) -> Array:
        """Return an observation of the environment as the networks and exported files take it, without its mask."""
        return np.asarray(self._translate(observation, None, agent)[0])

    @property
    def module(self) -> ActorCritic:
        """The only network, a `torch.nn.Module` on observation rows, see `ActorCritic.act` and `act_and_value`.

        Raises ValueError if there are several: `module_of(agent)` returns one.
        """
        return self.module_of()

    def module_of(self, agent: Any = None) -> ActorCritic:
        """Return the network of an agent (name or index). Raises ValueError as `export` does."""
        return self._modules[self._network_name(agent)]

    def as_openspiel_bot(
        self, game: Any, player_id: int, *, rng: np.random.Generator | None = None, greedy: bool = False
    ) -> OpenSpielBot:
        """Return the agent as a `pyspiel.Bot` that plays as `player_id` of a `pyspiel.Game`.

        Raises ValueError if the game does not have the observation tensors and actions of the agent.
        """
        from marl_app.players.openspiel_bot import OpenSpielBot

        observed, actions = self.spaces_of(int(self._agent_indices(player_id)[0]))
        count = int(getattr(actions, "n", 0))
        return OpenSpielBot(game, player_id, self, observed.shape, count, rng=rng, greedy=greedy)

    def as_pettingzoo_policy(self, *, rng: np.random.Generator | None = None, greedy: bool = False) -> PettingZooPolicy:
        """Return the agent as `policy(observation, agent) -> action`, which keeps the memories of recurrent agents."""
        return PettingZooPolicy(self, self.metadata["agents"], rng=rng, greedy=greedy)

    def _network_name(self, agent: Any) -> str:
        """Return the name of an agent's network, or of the only one. Raises ValueError."""
        if agent is not None:
            return str(self._network_of_agent[self._agent_indices(agent)[0]])
        if len(self._modules) > 1:
            names = ", ".join(self.metadata["agents"])
            raise ValueError(f"this player has {len(self._modules)} networks: choose one by agent=NAME, one of {names}")
        return next(iter(self._modules))

    def _agent_indices(self, agent: Any) -> Array:
        """Return the indices of the agents. The environment's own name counts first, also a number or a tuple."""
        named = not isinstance(agent, np.ndarray | list) and str(agent) in self.metadata["agents"]
        return super()._agent_indices(str(agent) if named and agent is not None else agent)

    def _seat(self, agent: Any) -> Seat | None:
        """Return the spaces of the agent, or of the first of several."""
        return None if self._seats is None else self._seats[int(self._agent_indices(agent)[0])]

    def _translate(self, observation: Any, mask: Any, agent: Any) -> tuple[Any, Any]:
        """Return an observation in the layout of the networks, and its mask."""
        seat = self._seat(agent)
        # No translation, but a dict of PettingZoo has the observation and its mask as entries.
        if seat is None:
            if isinstance(observation, Mapping) and "observation" in observation:
                mask = observation.get("action_mask") if mask is None else mask
                observation = observation["observation"]
            return observation, mask
        # A dict of PettingZoo without its mask.
        if not isinstance(seat.raw_observation_space, spaces.Dict) and isinstance(observation, Mapping):
            observation = observation["observation"] if list(observation) == ["observation"] else observation
        # An array may be an observation of the networks or of the environment, or a stack of either: its shape tells.
        raw_space, shape = seat.raw_observation_space, seat.observation_space.shape
        is_box = isinstance(raw_space, spaces.Box)
        if isinstance(observation, np.ndarray) and (
            observation.shape == shape or (not is_box and observation.shape[-len(shape) :] == shape)
        ):
            return observation, mask  # in the layout of the networks already
        # A stack of observations of the environment.
        if is_box and np.ndim(observation) > len(raw_space.shape or ()):
            return np.stack([seat.encode_observation(row) for row in np.asarray(observation)]), mask
        # One observation. A mask that is given replaces its own.
        encoded, own_mask = seat.encode(observation)
        return encoded, own_mask if mask is None else mask
