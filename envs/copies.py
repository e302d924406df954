"""Plain copies in a loop behind the batched contract: what every adapter of ordinary, one-match environments shares.

An adapter says how one copy plays one match (`Copy`); `Copies` turns B of them into a `BatchedEnv`, checks what goes in
and comes out, and names the match, agent and step of everything that goes wrong. It is as fast as the copies are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import (
    ActionSpace,
    Array,
    BatchedEnv,
    Bools,
    Floats,
    Group,
    Ints,
    Openings,
    Step,
    scores_from_returns,
)


class CopyStep(NamedTuple):
    """What one step of one match brought; the fields are one match's row of `envs.batched.Step`."""

    rewards: Floats
    terminated: bool
    truncated: bool
    finished: Bools


class Copy(ABC):
    """One ordinary environment that plays one match after another. Agents are indices."""

    @abstractmethod
    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match."""

    @abstractmethod
    def acting(self) -> Sequence[int]:
        """Who must act now; nobody once the match has ended."""

    @abstractmethod
    def observe(self, agent: int) -> Array:
        """What the agent sees, in the shape of its group's observation space."""

    @abstractmethod
    def mask(self, agent: int) -> Bools | None:
        """Legal actions of an acting agent, bool [mask_size]; None if all are legal."""

    @abstractmethod
    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Play one action per acting agent."""

    def state(self) -> Array:
        """The global state, if the adapter gives a `state_space`."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - most copies hold nothing
        """Release what the copy holds."""


class Copies(BatchedEnv):
    """B copies behind the contract; `title` opens every error message, `stake` as in `scores_from_returns`."""

    def __init__(
        self,
        title: str,
        copies: Sequence[Copy],
        agents: Sequence[str],
        groups: Sequence[Group],
        sides: Sequence[Sequence[int]],
        openings: Openings | None = None,
        state_space: spaces.Box | None = None,
        stake: float | None = None,
    ) -> None:
        self.num_matches = len(copies)
        self.agents = tuple(agents)
        self.groups = tuple(groups)
        self.sides = tuple(tuple(side) for side in sides)
        self.openings = openings
        self.state_space = state_space
        self._title = title
        self.stake = stake
        self._copies = copies
        self._seats = {  # agent -> (its group, its place in the group)
            agent: (g, place) for g, group in enumerate(groups) for place, agent in enumerate(group.agents)
        }
        self._acting = np.zeros((self.num_matches, len(agents)), np.bool_)
        self._returns: Floats = np.zeros((self.num_matches, len(agents)), np.float32)
        self._steps: Ints = np.zeros(self.num_matches, np.int64)  # of the current match, for error messages

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start new matches, one copy after the other. Raises RuntimeError if a copy fails."""
        for match in range(self.num_matches) if matches is None else matches.tolist():
            self._steps[match] = 0
            self._returns[match] = 0
            try:
                self._copies[match].reset(rng)
            except Exception as error:
                raise RuntimeError(f"{self._where(match)}: reset failed: {_describe(error)}") from error
            self._set_acting(match)

    def acting(self) -> Bools:
        """Who must act now: bool [B, agents]."""
        return self._acting.copy()

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Observations [R, ...]. Raises RuntimeError if a copy fails, ValueError for a wrong shape, NaN or infinity."""
        space = self._group_of(agents).observation_space
        rows = np.empty((len(matches), *space.shape), space.dtype)
        for row, (match, agent) in enumerate(zip(matches.tolist(), agents.tolist(), strict=True)):
            try:
                observation = self._copies[match].observe(agent)
            except Exception as error:
                raise RuntimeError(f"{self._where(match, agent)}: observing failed: {_describe(error)}") from error
            if observation.shape != space.shape:
                raise ValueError(
                    f"{self._where(match, agent)}: the observation's shape is {observation.shape}, not {space.shape}"
                )
            rows[row] = observation
        if np.issubdtype(rows.dtype, np.floating):
            finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            if not finite.all():
                row = int(np.argmin(finite))
                raise ValueError(f"{self._where(matches[row], agents[row])}: the observation has NaN or infinity")
        return rows

    def action_mask(self, matches: Ints, agents: Ints) -> Bools | None:
        """Legal actions, bool [R, mask_size]; None for Box actions. Raises ValueError if an agent has none."""
        size = self._group_of(agents).mask_size
        if size == 0:
            return None
        masks = np.ones((len(matches), size), np.bool_)
        for row, (match, agent) in enumerate(zip(matches.tolist(), agents.tolist(), strict=True)):
            mask = self._copies[match].mask(agent)
            if mask is None:
                continue
            if mask.shape != (size,) or not mask.any():
                problem = "allows no action" if mask.shape == (size,) else f"has shape {mask.shape}, not ({size},)"
                raise ValueError(f"{self._where(match, agent)}: the action mask {problem}")
            masks[row] = mask
        return masks

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Step every copy. Raises ValueError for an illegal action or a bad reward, RuntimeError if a copy fails."""
        size = (self.num_matches, len(self.agents))
        ended = np.zeros((2, self.num_matches), np.bool_)
        result = Step(np.zeros(size, np.float32), ended[0], ended[1], np.zeros(size, np.bool_))
        for match, copy in enumerate(self._copies):
            chosen = {}
            for agent in copy.acting():
                group, place = self._seats[agent]
                chosen[agent] = actions[group][match, place]
                self._check_action(match, agent, chosen[agent])
            if not chosen:
                raise ValueError(f"{self._where(match)}: the match has ended, reset it before the next step")
            try:
                turn = copy.step(chosen, rng)
            except Exception as error:
                played = ", ".join(f"{self.agents[agent]}: {action}" for agent, action in chosen.items())
                raise RuntimeError(f"{self._where(match)}, actions {{{played}}}: {_describe(error)}") from error
            if not np.isfinite(turn.rewards).all():
                agent = int(np.argmin(np.isfinite(turn.rewards)))
                raise ValueError(f"{self._where(match, agent)}: the reward is {turn.rewards[agent]}")
            result.rewards[match], result.finished[match] = turn.rewards, turn.finished
            result.terminated[match], result.truncated[match] = turn.terminated, turn.truncated
            self._steps[match] += 1
            self._set_acting(match)
        self._returns += result.rewards
        return result

    def scores(self, matches: Ints) -> Floats:
        """Scores, float32 [K, sides], from the undiscounted returns of the sides."""
        return scores_from_returns(self._returns[matches], self.sides, self.stake)

    def state(self, matches: Ints) -> Floats | None:
        """Global states, float32 [K, ...], or None."""
        if self.state_space is None:
            return None
        rows = np.empty((len(matches), *self.state_space.shape), np.float32)
        for row, match in enumerate(matches.tolist()):
            rows[row] = self._copies[match].state()
        return rows

    def close(self) -> None:
        """Close every copy."""
        for copy in self._copies:
            copy.close()

    def _set_acting(self, match: int) -> None:
        self._acting[match] = False
        self._acting[match, list(self._copies[match].acting())] = True

    def _group_of(self, agents: Ints) -> Group:
        return self.groups[self._seats[int(agents[0])][0] if len(agents) else 0]

    def _check_action(self, match: int, agent: int, action: Array) -> None:
        space = self.groups[self._seats[agent][0]].action_space
        mask = None if isinstance(space, spaces.Box) else self._copies[match].mask(agent)
        if not _is_legal(space, action, mask):
            raise ValueError(f"{self._where(match, agent)}: illegal action {action} (masked, or outside {space})")

    def _where(self, match: int, agent: int | None = None) -> str:
        named = "" if agent is None else f", agent {self.agents[agent]}"
        return f"{self._title}: match {match}{named}, step {self._steps[match]}"


def _is_legal(space: ActionSpace, action: Array, mask: Bools | None) -> bool:
    if isinstance(space, spaces.Box):
        # A policy with a Gaussian head leaves the bounds; whether to clip or to squash is for it to decide.
        return bool(np.all((action >= space.low) & (action <= space.high)))
    if isinstance(space, spaces.Discrete):
        return bool(0 <= action < space.n and (mask is None or mask[action]))
    inside = bool(np.all((action >= 0) & (action < space.nvec)))
    return inside and (mask is None or bool(mask[np.cumsum(space.nvec) - space.nvec + action].all()))


def _describe(error: Exception) -> str:
    """The error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
