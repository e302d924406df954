"""PettingZoo's AEC and Parallel interfaces as an `envs.copies.Copy`: one environment that plays one match at a time.

PettingZoo has terminations and truncations of agents, the contract of matches. Here a match ends when no agent is left
to act. It is *truncated* if an agent was truncated but not terminated in its last step, otherwise *terminated*. An
agent that is truncated while others continue counts as finished, because the contract can bootstrap values only at the
end of a match.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.envs.batched import Array, Bools, Float32s
from marl_app.envs.copies import Copy, CopyStep
from marl_app.envs.pettingzoo_spaces import Seat


class PettingZooCopy(Copy):
    """The common part of the AEC and the Parallel interface. Agents are indices into `seats`."""

    def __init__(self, env: Any, seats: Sequence[Seat]) -> None:
        self._env = env
        self._seats = seats
        self._index = {seat.agent: index for index, seat in enumerate(seats)}
        self._gone = np.zeros(len(seats), np.bool_)  # [agents]: terminated or truncated in this match

    def observe(self, agent: int) -> Array:
        """Return the observation, flattened if it is structured; zeros for an agent that has not joined or has left."""
        seat, raw = self._seats[agent], self._raw(agent)
        if raw is None:
            return np.zeros(seat.observation_space.shape, seat.observation_space.dtype)
        return seat.encode_observation(raw)

    def mask(self, agent: int) -> Bools | None:
        """Return the action mask of the observation, or else of the info; None if neither has a mask."""
        raw = self._raw(agent)
        mask = raw.get("action_mask") if isinstance(raw, dict) else None
        if mask is None:
            mask = self._info(agent).get("action_mask")
        if isinstance(mask, tuple):  # a mask for each part of a MultiDiscrete
            mask = np.concatenate([np.ravel(part) for part in mask])
        return None if mask is None else np.asarray(mask, np.bool_)

    def state(self) -> Array:
        """Return the `state()` of the environment as float32."""
        return np.asarray(self._env.state(), np.float32)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    @abstractmethod
    def _raw(self, agent: int) -> Any:
        """Return the raw observation of the agent now, or None."""

    @abstractmethod
    def _info(self, agent: int) -> Mapping[str, Any]:
        """Return the info dict of the agent now."""

    def _live(self) -> list[int]:
        """Return the agents that are still in the match, in the order of the seats."""
        present = [self._index[name] for name in self._env.agents]
        return sorted(agent for agent in present if not self._gone[agent])

    def _to_copy_step(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool]
    ) -> CopyStep:
        """Convert the results of a step and update `_gone`; the module docstring defines how a match ends."""
        names = [seat.agent for seat in self._seats]
        # bool [agents]: terminated in this step; truncated in this step.
        died = np.array([terminations.get(name, False) for name in names], np.bool_)
        cut = np.array([truncations.get(name, False) for name in names], np.bool_) & ~died & ~self._gone
        # Some environments still reward agents that are gone; the contract forbids it.
        paid_rewards: Float32s = np.array([rewards.get(name, 0) for name in names], np.float32) * ~self._gone
        self._gone |= died | cut
        if self._live():
            return CopyStep(paid_rewards, False, False, self._gone.copy())
        truncated = bool(cut.any())
        return CopyStep(paid_rewards, not truncated, truncated, ~cut)


class ParallelCopy(PettingZooCopy):
    """A copy with the Parallel interface: all live agents act in every step."""

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._gone[:] = False
        self._observations, self._infos = self._env.reset(seed=int(rng.integers(2**31)))

    def acting(self) -> Sequence[int]:
        """Return all live agents."""
        return self._live()

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Step the environment with the actions of all live agents."""
        decoded = {self._seats[agent].agent: self._seats[agent].decode_action(actions[agent]) for agent in actions}
        observations, rewards, terminations, truncations, self._infos = self._env.step(decoded)
        # Agents that are gone keep their last observation: values of truncated agents are bootstrapped from it.
        self._observations = {**self._observations, **observations}
        return self._to_copy_step(rewards, terminations, truncations)

    def _raw(self, agent: int) -> Any:
        return self._observations.get(self._seats[agent].agent)

    def _info(self, agent: int) -> Mapping[str, Any]:
        return self._infos.get(self._seats[agent].agent) or {}


class AecCopy(PettingZooCopy):
    """A copy with the AEC interface: a single agent acts in every step."""

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._gone[:] = False
        self._seen: dict[str, Any] = {}  # observations of this step by agent name: each is requested at most once
        self._env.reset(seed=int(rng.integers(2**31)))

    def acting(self) -> Sequence[int]:
        """Return the agent that the environment has selected; empty after the end of the match."""
        return [self._index[self._env.agent_selection]] if self._live() else []

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Step the selected agent, then take the empty steps by which PettingZoo removes agents that are gone."""
        [(agent, action)] = actions.items()
        env = self._env
        self._seen = {}
        env.step(self._seats[agent].decode_action(action))
        # `env.rewards` are those of this step only, for all agents, as in PettingZoo's `aec_to_parallel`.
        step = self._to_copy_step(env.rewards, env.terminations, env.truncations)
        # After the last step agents are not removed, so that the last observations can still be read.
        if not (step.terminated or step.truncated):
            while self._gone[self._index[env.agent_selection]]:
                env.step(None)
        return step

    def _raw(self, agent: int) -> Any:
        name = self._seats[agent].agent
        if name not in self._seen and name in self._env.agents:
            self._seen[name] = self._env.observe(name)
        return self._seen.get(name)

    def _info(self, agent: int) -> Mapping[str, Any]:
        return self._env.infos.get(self._seats[agent].agent) or {}
