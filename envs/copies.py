"""A batched environment from B copies of an ordinary single-match environment, stepped in a loop; the base of adapters.

An adapter implements how one copy plays one match (`Copy`). `Copies` turns B of them into a `BatchedEnv`, checks inputs
and outputs, and names match, agent and step in every error. Its speed is that of the copies.
"""

from __future__ import annotations

import logging
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import (
    LARGEST_REWARD,
    ActionSpace,
    Array,
    BatchedEnv,
    Bools,
    Float32s,
    Group,
    Ints,
    Openings,
    Step,
    scores_from_returns,
)
from marl_app.envs.board import Rendering, number_name

logger = logging.getLogger(__name__)

Float64s = NDArray[np.float64]

FAILURES = (Exception, SystemExit)
"""What counts as a failure of a copy: also `sys.exit()`, which environments call whose window is closed."""


class CopyStep(NamedTuple):
    """The result of one step of one match; the fields are a row of `envs.batched.Step`, the rewards in float64."""

    rewards: Float64s
    terminated: Bools
    truncated: Bools
    over: bool


class Copy(ABC):
    """An ordinary environment that plays one match after another. Agents are indices."""

    @abstractmethod
    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match."""

    @abstractmethod
    def acting(self) -> Sequence[int]:
        """Return the agents that must act now; empty after the end of the match."""

    @abstractmethod
    def observe(self, agent: int) -> Array:
        """Return the observation of the agent, in the shape of its group's observation space."""

    @abstractmethod
    def mask(self, agent: int) -> Bools | None:
        """Return the legal actions of an acting agent, bool [mask_size]; None if all are legal."""

    @abstractmethod
    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Play the actions of the acting agents (agent -> action)."""

    def participants(self) -> Bools | None:
        """Return which agents take part in the match: bool [agents]; None: all."""
        return None

    def state(self) -> Array:
        """Return the global state, if the adapter has a `state_space`."""
        raise NotImplementedError

    def render(self, agent: int | None) -> Rendering | None:
        """Return the match as people see it, as `BatchedEnv.render` does."""
        return None

    def action_name(self, agent: int, action: Any, viewer: int | None) -> str | None:
        """Return the name of a legal action, as `BatchedEnv.action_name` does."""
        return number_name(action)

    def close(self) -> None:  # noqa: B027 - most copies hold nothing
        """Release the resources of the copy."""


class Copies(BatchedEnv):
    """B copies as one batched environment; `title` begins every error message, `stake` as in `scores_from_returns`."""

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
        # [B, agents]: who must act now, and the undiscounted returns of the running matches.
        self._acting = np.zeros((self.num_matches, len(agents)), np.bool_)
        self._returns: Float64s = np.zeros((self.num_matches, len(agents)))
        self._steps: Ints = np.zeros(self.num_matches, np.int64)  # of the current match, for error messages

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start new matches, copy by copy. Raises RuntimeError if a copy fails."""
        for match in range(self.num_matches) if matches is None else matches.tolist():
            self._steps[match] = 0
            self._returns[match] = 0
            try:
                self._copies[match].reset(rng)
            except FAILURES as error:
                raise RuntimeError(f"{self._where(match)}: reset failed: {describe(error)}") from error
            self._set_acting(match)

    def acting(self) -> Bools:
        """Return who must act now: bool [B, agents]."""
        return self._acting.copy()

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return observations [R, *observation shape], one copy after the other.

        Raises RuntimeError if a copy fails, ValueError for a wrong shape, NaN or infinity.
        """
        space = self._group_of(agents).observation_space
        rows = np.empty((len(matches), *space.shape), space.dtype)  # filled row by row below
        for row, (match, agent) in enumerate(zip(matches.tolist(), agents.tolist(), strict=True)):
            try:
                observation = self._copies[match].observe(agent)
            except FAILURES as error:
                raise RuntimeError(f"{self._where(match, agent)}: observing failed: {describe(error)}") from error
            if observation.shape != space.shape:
                raise ValueError(
                    f"{self._where(match, agent)}: the observation's shape is {observation.shape}, not {space.shape}"
                )
            rows[row] = observation
        # One check for all rows; integers are always finite.
        if np.issubdtype(rows.dtype, np.floating):
            finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            if not finite.all():
                row = int(np.argmin(finite))
                raise ValueError(f"{self._where(matches[row], agents[row])}: the observation has NaN or infinity")
        return rows

    def action_mask(self, matches: Ints, agents: Ints) -> Bools | None:
        """Return legal actions, bool [R, mask_size]; None for Box actions. Raises ValueError if an agent has none."""
        size = self._group_of(agents).mask_size
        if size == 0:
            return None
        masks = np.ones((len(matches), size), np.bool_)  # rows stay True where a copy has no mask
        for row, (match, agent) in enumerate(zip(matches.tolist(), agents.tolist(), strict=True)):
            try:
                mask = self._copies[match].mask(agent)
            except FAILURES as error:
                raise RuntimeError(f"{self._where(match, agent)}: its action mask: {describe(error)}") from error
            if mask is None:
                continue
            if mask.shape != (size,):
                raise ValueError(f"{self._where(match, agent)}: the action mask has shape {mask.shape}, not ({size},)")
            masks[row] = mask
        # A MultiDiscrete action needs a legal number in each of its parts.
        space = self._group_of(agents).action_space
        ends = np.cumsum(space.nvec)[:-1] if isinstance(space, spaces.MultiDiscrete) else np.zeros(0, np.int64)
        for index, part in enumerate(np.split(masks, ends, axis=1)):
            stuck = np.flatnonzero(~part.any(axis=1))
            if len(stuck):
                where, of_part = self._where(matches[stuck[0]], agents[stuck[0]]), f" in part {index}" * bool(len(ends))
                raise ValueError(f"{where}: the action mask allows no action{of_part}")
        return masks

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Step every copy. Raises ValueError for an illegal action or a bad reward, RuntimeError if a copy fails."""
        size = (self.num_matches, len(self.agents))
        rewards: Float64s = np.zeros(size)
        terminated, truncated = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        over = np.zeros(self.num_matches, np.bool_)
        for match, copy in enumerate(self._copies):
            # 1. Collect and check the actions of the acting agents.
            chosen = {}
            for agent in copy.acting():
                group, place = self._seats[agent]
                chosen[agent] = actions[group][match, place]
                self._check_action(match, agent, chosen[agent])
            if not chosen:
                raise ValueError(f"{self._where(match)}: the match has ended; reset it before the next step")
            # 2. Step the copy.
            try:
                copy_step = copy.step(chosen, rng)
            except FAILURES as error:
                played = ", ".join(f"{self.agents[agent]}: {action}" for agent, action in chosen.items())
                raise RuntimeError(f"{self._where(match)}, actions {{{played}}}: {describe(error)}") from error
            # 3. Check the rewards, and write the row of the match.
            fits = np.abs(copy_step.rewards) <= LARGEST_REWARD  # False for NaN
            if not fits.all():
                agent = int(np.argmin(fits))
                raise ValueError(
                    f"{self._where(match, agent)}: the reward is {copy_step.rewards[agent]}, and must be finite and at "
                    f"most {LARGEST_REWARD:g} in size"
                )
            rewards[match], over[match] = copy_step.rewards, copy_step.over
            terminated[match], truncated[match] = copy_step.terminated, copy_step.truncated
            self._steps[match] += 1
            self._set_acting(match)
        # Returns are kept until the reset, so that `scores` can be called after the end of a match.
        self._returns += rewards
        return Step(rewards.astype(np.float32), terminated, truncated, over)

    def scores(self, matches: Ints) -> Float32s:
        """Return the scores, float32 [K, sides], from the undiscounted returns of the sides."""
        present = [self._copies[match].participants() for match in matches.tolist()]
        # A copy without a list of participants had all agents in its match.
        if any(agents is not None for agents in present):
            everyone = np.ones(len(self.agents), np.bool_)
            stacked = np.stack([everyone if agents is None else agents for agents in present])
            return scores_from_returns(self._returns[matches], self.sides, self.stake, stacked)
        return scores_from_returns(self._returns[matches], self.sides, self.stake)

    def state(self, matches: Ints) -> Float32s | None:
        """Return the global states, float32 [K, *state shape], or None."""
        if self.state_space is None:
            return None
        rows = np.empty((len(matches), *self.state_space.shape), np.float32)
        for row, match in enumerate(matches.tolist()):
            try:
                state = self._copies[match].state()
            except FAILURES as error:
                raise RuntimeError(f"{self._where(match)}: its state: {describe(error)}") from error
            if state.shape != self.state_space.shape or not np.isfinite(state).all():
                shape = self.state_space.shape
                problem = "has NaN or infinity" if state.shape == shape else f"has shape {state.shape}, not {shape}"
                raise ValueError(f"{self._where(match)}: the state {problem}")
            rows[row] = state
        return rows

    def render(self, match: int, agent: int | None = None) -> Rendering | None:
        """Return what the copy shows. Raises RuntimeError if it fails."""
        try:
            return self._copies[match].render(agent)
        except FAILURES as error:
            raise RuntimeError(f"{self._where(match)}: rendering failed: {describe(error)}") from error

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str | None:
        """Return what the copy calls the action."""
        return self._copies[match].action_name(agent, action, viewer)

    def close(self) -> None:
        """Close every copy. Copies that fail to close are a message: what was played counts."""
        failures = []
        for match, copy in enumerate(self._copies):
            try:
                copy.close()
            except FAILURES as error:
                failures.append(f"{self._where(match)}: closing failed: {describe(error)}")
        if failures:
            logger.warning("%s%s", failures[0], f", and {len(failures) - 1} more" * (len(failures) > 1))

    def _set_acting(self, match: int) -> None:
        """Update the row of `_acting` from the copy: after each reset and step."""
        self._acting[match] = False
        self._acting[match, list(self._copies[match].acting())] = True

    def _group_of(self, agents: Ints) -> Group:
        """Return the group of the agents, all of one group by contract; of no agents, the first group."""
        return self.groups[self._seats[int(agents[0])][0] if len(agents) else 0]

    def _check_action(self, match: int, agent: int, action: Array) -> None:
        space = self.groups[self._seats[agent][0]].action_space
        mask = None if isinstance(space, spaces.Box) else self._copies[match].mask(agent)
        if not _is_legal(space, action, mask):
            raise ValueError(f"{self._where(match, agent)}: illegal action {action} (masked, or outside {space})")

    def _where(self, match: int, agent: int | None = None) -> str:
        """Return the beginning of an error message: environment, match, agent and step."""
        named = "" if agent is None else f", agent {self.agents[agent]}"
        return f"{self._title}: match {match}{named}, step {self._steps[match]}"


def _is_legal(space: ActionSpace, action: Array, mask: Bools | None) -> bool:
    if isinstance(space, spaces.Box):
        # The samples of a Gaussian policy can be out of bounds. Clipping or squashing them is left to the policy.
        return bool(np.all((action >= space.low) & (action <= space.high)))
    if isinstance(space, spaces.Discrete):
        return bool(0 <= action < space.n and (mask is None or mask[action]))
    # MultiDiscrete: the mask of part i begins at the sum of the sizes of the parts before it.
    inside = bool(np.all((action >= 0) & (action < space.nvec)))
    return inside and (mask is None or bool(mask[np.cumsum(space.nvec) - space.nvec + action].all()))


def describe(error: BaseException) -> str:
    """Return the type, text and place of the error in a single line. Place: the innermost one in a user's file."""
    # From the outermost call to the innermost. Those outside of Python and its packages are the user's.
    frames = traceback.extract_tb(error.__traceback__)
    others = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    users = [frame for frame in others if not frame.filename.startswith((sys.prefix, sys.base_prefix, "<"))]
    place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in (users or others)[-1:])
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
