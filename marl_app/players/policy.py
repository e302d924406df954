"""Who can sit in a match: a policy that looks at observations. What `marl_app.load_agent` returns is one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Ints


class Policy(Protocol):
    """Chooses actions from observations, for many matches at once."""

    memory_size: int
    """Numbers that it remembers of each agent of each match; 0 = none."""

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
        """Actions [R, *action shape] for R observations [R, *observation shape] of agents [R] of one group.

        `masks`: legal actions, bool [R, n], or None if all are legal.
        `greedy`: the likeliest action, not a sampled one.
        `memory`: [R, memory_size], zeros at first, if it remembers; then (actions, memory) is returned.
        """


@runtime_checkable
class Follower(Protocol):
    """A player that follows the matches move by move instead of looking at observations, such as a tree search."""

    def start(self, num_matches: int, rng: np.random.Generator) -> None:
        """That many new matches begin. All randomness of the player comes from `rng`."""

    def choose(self, matches: Ints, agents: Ints) -> Ints:
        """Actions [R] of agents [R] in matches [R], whose turn it is."""

    def follow(self, matches: Ints, agents: Ints, actions: Ints) -> None:
        """These moves were made, its own among them: match, agent and action, each [R]."""


class RandomPolicy:
    """Uniform over the legal actions of the environment; in a `Box` with bounds uniform, without them normal."""

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
        """A random legal action per row; `greedy` and `memory` change nothing."""
        rows, space = len(agents), self._spaces[int(agents[0])]
        if isinstance(space, spaces.Box):
            bounded = np.isfinite(space.low) & np.isfinite(space.high)
            low, high = np.where(bounded, space.low, 0.0), np.where(bounded, space.high, 1.0)
            uniform = rng.uniform(low, high, (rows, *space.shape))
            normal = np.clip(rng.standard_normal((rows, *space.shape)), space.low, space.high)
            return np.where(bounded, uniform, normal).astype(np.float32)
        return best_legal(rng.random((rows, _choices(space).sum())), masks, space)

    def probabilities(self, observations: Array, masks: Bools | None, agent: Ints) -> Array:
        """The probabilities of its actions, float32 [R, n], where these are `Discrete`."""
        space = self._spaces[int(agent[0])]
        assert isinstance(space, spaces.Discrete)
        legal = np.ones((len(agent), int(space.n)), np.float32) if masks is None else masks.astype(np.float32)
        even: Array = legal / legal.sum(axis=1, keepdims=True)
        return even


def best_legal(
    preferences: Array, masks: Bools | None, space: spaces.Discrete[np.int64] | spaces.MultiDiscrete
) -> Ints:
    """The legal action with the highest preference (in [0, 1]): int64 [R] or, for a MultiDiscrete of k parts, [R, k].

    `preferences` and `masks` are [R, n], the parts of a MultiDiscrete side by side.
    """
    if masks is not None:
        preferences = np.where(masks, preferences, -1.0)
    ends = np.cumsum(_choices(space))[:-1]
    parts = [part.argmax(axis=1) for part in np.split(preferences, ends, axis=1)]
    return parts[0] if isinstance(space, spaces.Discrete) else np.stack(parts, axis=1)


def _choices(space: spaces.Discrete[np.int64] | spaces.MultiDiscrete) -> Ints:
    """How many values each part of an action has: int64 [k]."""
    return np.atleast_1d(np.asarray(space.n if isinstance(space, spaces.Discrete) else space.nvec, np.int64))
