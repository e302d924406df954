"""How one PettingZoo environment plays one match: its AEC or Parallel interface behind `envs.copies.Copy`.

When a match is over, and how (PettingZoo leaves it open): a match is over when no agent is left to act. It was
*truncated* if its last step cut an agent off (truncated but not terminated), and *terminated* otherwise. An agent that
is cut off while others go on counts as finished: the contract has no later moment to ask for its value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.envs.batched import Array, Bools, Floats
from marl_app.envs.copies import Copy, CopyStep
from marl_app.envs.pettingzoo_spaces import Seat


class PettingZooCopy(Copy):
    """What the AEC and the Parallel interface have in common. Agents are indices into `seats`."""

    def __init__(self, env: Any, seats: Sequence[Seat]) -> None:
        self._env = env
        self._seats = seats
        self._index = {seat.agent: index for index, seat in enumerate(seats)}
        self._gone = np.zeros(len(seats), np.bool_)

    def observe(self, agent: int) -> Array:
        """What the environment shows, flattened if need be; zeros for an agent that has not joined or has left."""
        seat, raw = self._seats[agent], self._raw(agent)
        if raw is None:
            return np.zeros(seat.observation_space.shape, seat.observation_space.dtype)
        return seat.encode_observation(raw)

    def mask(self, agent: int) -> Bools | None:
        """The mask in the observation or in the info; None if there is neither."""
        raw = self._raw(agent)
        mask = raw.get("action_mask") if isinstance(raw, dict) else None
        if mask is None:
            mask = self._info(agent).get("action_mask")
        if isinstance(mask, tuple):  # one for each part of a MultiDiscrete
            mask = np.concatenate([np.ravel(part) for part in mask])
        return None if mask is None else np.asarray(mask, np.bool_)

    def state(self) -> Array:
        """The environment's own `state()`."""
        return np.asarray(self._env.state(), np.float32)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    @abstractmethod
    def _raw(self, agent: int) -> Any:
        """What the environment shows the agent now, or None."""

    @abstractmethod
    def _info(self, agent: int) -> Mapping[str, Any]:
        """What the environment adds for the agent now."""

    def _live(self) -> list[int]:
        """The agents in the match, in the order of the seats."""
        present = [self._index[name] for name in self._env.agents]
        return sorted(agent for agent in present if not self._gone[agent])

    def _to_copy_step(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool]
    ) -> CopyStep:
        """Sum up a step of the environment; the module's docstring says how a match ends."""
        names = [seat.agent for seat in self._seats]
        died = np.array([terminations.get(name, False) for name in names], np.bool_)
        cut = np.array([truncations.get(name, False) for name in names], np.bool_) & ~died & ~self._gone
        # Some environments go on rewarding agents that are gone; the contract does not.
        paid: Floats = np.array([rewards.get(name, 0) for name in names], np.float32) * ~self._gone
        self._gone |= died | cut
        if self._live():
            return CopyStep(paid, False, False, self._gone.copy())
        truncated = bool(cut.any())
        return CopyStep(paid, not truncated, truncated, ~cut)


class ParallelCopy(PettingZooCopy):
    """The Parallel interface: all live agents act at every step."""

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._gone[:] = False
        self._observations, self._infos = self._env.reset(seed=int(rng.integers(2**31)))

    def acting(self) -> Sequence[int]:
        """All live agents."""
        return self._live()

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """One step of the environment."""
        decoded = {self._seats[agent].agent: self._seats[agent].decode_action(actions[agent]) for agent in actions}
        observations, rewards, terminations, truncations, self._infos = self._env.step(decoded)
        self._observations = {**self._observations, **observations}  # those who are gone keep what they saw last
        return self._to_copy_step(rewards, terminations, truncations)

    def _raw(self, agent: int) -> Any:
        return self._observations.get(self._seats[agent].agent)

    def _info(self, agent: int) -> Mapping[str, Any]:
        return self._infos.get(self._seats[agent].agent) or {}


class AecCopy(PettingZooCopy):
    """The AEC interface: one agent acts at every step."""

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._gone[:] = False
        self._seen: dict[str, Any] = {}
        self._env.reset(seed=int(rng.integers(2**31)))

    def acting(self) -> Sequence[int]:
        """The agent that the environment has selected."""
        return [self._index[self._env.agent_selection]] if self._live() else []

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """One step of the selected agent, and then the empty steps by which PettingZoo removes agents that are gone."""
        [(agent, action)] = actions.items()
        env = self._env
        self._seen = {}
        env.step(self._seats[agent].decode_action(action))
        # The rewards of this step alone, to all agents, as PettingZoo's own `aec_to_parallel` adds them up.
        turn = self._to_copy_step(env.rewards, env.terminations, env.truncations)
        if not (turn.terminated or turn.truncated):  # else they stay, so that they can be observed once more
            while self._gone[self._index[env.agent_selection]]:
                env.step(None)
        return turn

    def _raw(self, agent: int) -> Any:
        name = self._seats[agent].agent
        if name not in self._seen and name in self._env.agents:
            self._seen[name] = self._env.observe(name)
        return self._seen.get(name)

    def _info(self, agent: int) -> Mapping[str, Any]:
        return self._env.infos.get(self._seats[agent].agent) or {}
