"""The protocols of players: `Policy` acts on observations (`marl_app.load_agent` returns one), `Follower` on moves."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Ints


class Policy(Protocol):
    """A player that chooses actions from observations, for many matches in parallel."""

    memory_size: int
    """Size of the memory per agent and match; 0 for a policy without memory."""

    def act(
        self,
        observations: Array,
        masks: Bools | None,
        agents: Ints,
        /,
        *,
        rng: np.random.Generator,
        greedy: bool,
        memory: Array | None,
    ) -> Any:
        """Return actions [R, *action shape] for observations [R, *observation shape] of agents [R] of one group.

        masks: legal actions, bool [R, n], or None if all are legal.
        greedy: take the likeliest action instead of sampling.
        memory: float32 [R, memory_size], zeros in the first step of a match; None for a policy without memory. A policy
            with memory returns (actions, new memory).
        """


@runtime_checkable
class Follower(Protocol):
    """A player that follows the matches move by move instead of receiving observations, such as a tree search."""

    def start(self, num_matches: int, rng: np.random.Generator) -> None:
        """Begin `num_matches` new matches. All randomness of the player comes from `rng`."""

    def choose(self, matches: Ints, agents: Ints) -> Ints:
        """Return actions [R] of the agents [R] that are to move in matches [R]."""

    def follow(self, matches: Ints, agents: Ints, actions: Ints) -> None:
        """Receive the moves of one step, including the player's own: matches, agents and actions, [R] each."""


class RandomPolicy:
    """A policy that is uniform over the legal actions; in a `Box` uniform between bounds, and normal without them."""

    memory_size = 0

    def __init__(self, env: BatchedEnv) -> None:
        self._spaces = {agent: group.action_space for group in env.groups for agent in group.agents}

    def act(
        self,
        observations: Array,
        masks: Bools | None,
        agents: Ints,
        /,
        *,
        rng: np.random.Generator,
        greedy: bool = False,
        memory: Array | None = None,
    ) -> Array:
        """Return a random legal action per row; `greedy` and `memory` are ignored."""
        rows, space = len(agents), self._spaces[int(agents[0])]
        if isinstance(space, spaces.Box):
            # Per dimension: uniform if both bounds are finite, else normal and clipped to a bound on one side.
            bounded = np.isfinite(space.low) & np.isfinite(space.high)
            low, high = np.where(bounded, space.low, 0.0), np.where(bounded, space.high, 1.0)
            uniform = rng.uniform(low, high, (rows, *space.shape))
            normal = np.clip(rng.standard_normal((rows, *space.shape)), space.low, space.high)
            return np.where(bounded, uniform, normal).astype(np.float32)
        # The argmax of independent uniform numbers is a uniform choice.
        return best_legal(rng.random((rows, _choices(space).sum())), masks, space)

    def probabilities(self, observations: Array, masks: Bools | None, agent: Ints) -> Array:
        """Return the probabilities of the actions of a `Discrete` space, float32 [R, n]."""
        space = self._spaces[int(agent[0])]
        assert isinstance(space, spaces.Discrete)
        # [R, n], 1 for legal actions.
        legal = np.ones((len(agent), int(space.n)), np.float32) if masks is None else masks.astype(np.float32)
        uniform: Array = legal / legal.sum(axis=1, keepdims=True)
        return uniform


def best_legal(
    preferences: Array, masks: Bools | None, space: spaces.Discrete[np.int64] | spaces.MultiDiscrete
) -> Ints:
    """Return the legal action with the highest preference: int64 [R], or [R, k] for a MultiDiscrete of k parts.

    preferences: [R, n] in [0, 1]. masks: bool [R, n]. The parts of a MultiDiscrete are concatenated along n.
    """
    if masks is not None:
        preferences = np.where(masks, preferences, -1.0)  # below all preferences of legal actions
    # One argmax per part of the action.
    ends = np.cumsum(_choices(space))[:-1]
    parts = [part.argmax(axis=1) for part in np.split(preferences, ends, axis=1)]
    return parts[0] if isinstance(space, spaces.Discrete) else np.stack(parts, axis=1)


def _choices(space: spaces.Discrete[np.int64] | spaces.MultiDiscrete) -> Ints:
    """Return the number of values of each part of an action: int64 [k]."""
    return np.atleast_1d(np.asarray(space.n if isinstance(space, spaces.Discrete) else space.nvec, np.int64))
