"""The contract of a batched environment: B matches of one game step together, as arrays.

One object holds B matches. In every step some agents of each match must act (a single agent in a turn-based game, all
agents in a simultaneous one). The caller gets their observations as rows, chooses actions, and steps all matches
together. The contract has no Python call per agent or per match: every argument and result is an array.

Shapes: B matches, R rows (a match and an agent each), K chosen matches, n_group agents of a group.

    env = ConnectFour(num_matches=1024)
    env.reset(rng)
    while True:
        matches, agents = env.acting().nonzero()            # [R]: the rows that must act now
        observations = env.observe(matches, agents)
        masks = env.action_mask(matches, agents)
        ...                                                 # choose one action per row
        step = env.step(actions, rng)                       # actions: one array [B, n_group, ...] per group
        ended = (step.terminated | step.truncated).nonzero()[0]
        scores = env.scores(ended)                          # before the reset
        env.reset(rng, ended)

All randomness (chance nodes, random starts) comes from the `numpy.random.Generator` that is passed in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Array = NDArray[Any]
ActionSpace = spaces.Discrete[np.int64] | spaces.MultiDiscrete | spaces.Box


class Group(NamedTuple):
    """Agents that have the same spaces and can therefore share one network.

    `agents` are indices into `BatchedEnv.agents`. `observation_space` is a `Box` (adapters flatten Dict, Tuple
    and Discrete observations); `action_space` is `Discrete`, `MultiDiscrete` or `Box`.
    """

    name: str
    agents: tuple[int, ...]
    observation_space: spaces.Box
    action_space: ActionSpace

    @property
    def mask_size(self) -> int:
        """Length of a legal-action mask: n for Discrete, sum(nvec) for MultiDiscrete, 0 (no mask) for Box."""
        if isinstance(self.action_space, spaces.Discrete):
            return int(self.action_space.n)
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return int(self.action_space.nvec.sum())
        return 0


class Step(NamedTuple):
    """The result of one step of all B matches.

    rewards: float32 [B, agents], of each agent, acting or not.
    terminated: bool [B], the match has ended by its rules.
    truncated: bool [B], the match was cut off (a time limit); never True together with terminated.
    finished: bool [B, agents], the episode of this agent has ended by the rules: it will neither act nor be rewarded
        again in this match. True for every agent of a terminated match; in a running match, True (from then on) for
        agents that finished early.
    """

    rewards: Float32s
    terminated: Bools
    truncated: Bools
    finished: Bools


class Openings(NamedTuple):
    """Random openings of a turn-based game: with `probability` a match begins with `low`..`high` random legal moves.

    The environment only holds the setting; the env runner plays the moves when it collects training experience, so
    evaluation and checks start from the initial position of the game.
    """

    probability: float
    low: int
    high: int


class BatchedEnv(ABC):
    """B matches of one game. The module docstring shows the loop; `envs.checker` checks the whole contract."""

    agents: tuple[str, ...]
    """Names of the agents, in PettingZoo's spelling where the game exists there."""
    groups: tuple[Group, ...]
    """A partition of the agents by their spaces."""
    sides: tuple[tuple[int, ...], ...]
    """A partition of the agents (indices) into sides: the agents that one player controls. One side = cooperative."""
    num_matches: int
    """B, the number of matches."""
    state_space: spaces.Box | None = None
    """Space of the global state of one match, or None."""
    openings: Openings | None = None
    """Random openings for training, or None. Only turn-based games can have them."""
    openspiel_game: str | None = None
    """The OpenSpiel game string with the same moves under the same action ids, or None."""
    stake: float | None = None
    """If scores depend on how much was won: (highest - lowest possible return of a side) / 2; else None."""

    @abstractmethod
    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start new matches: all of them, or those with the given indices (an empty array resets none)."""

    @abstractmethod
    def acting(self) -> Bools:
        """Return which agents must act now: bool [B, agents], at least one True in every running match."""

    @abstractmethod
    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return rows [R, *observation shape] in the dtype of the space: what `agents[r]` sees of `matches[r]` now.

        All agents must belong to one group. They need not be acting: the value of a truncated match is bootstrapped
        from its last observation, before the reset. Later steps must not change the returned array.
        """

    @abstractmethod
    def action_mask(self, matches: Ints, agents: Ints) -> Bools | None:
        """Return the legal actions of acting agents of one group: bool [R, mask_size]; None if all always are."""

    @abstractmethod
    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Advance all B matches by one step.

        `actions` has one array [B, n_group, *action shape] per group (int64, or float32 for Box); entries of agents
        that are not acting are ignored. The caller must reset a match that has ended before the next step.
        """

    @abstractmethod
    def scores(self, matches: Ints) -> Float32s:
        """Return the score of each side of matches that have just ended: float32 [K, sides] in [0, 1].

        A side with more than 0.5 has won, with 0.5 drawn. A win is 1 and a loss 0, except in zero-sum games of two
        sides whose payoffs differ in size (poker): there a score is 0.5 + payoff / (2 * largest payoff), so that mean
        scores rank players as mean payoffs do. With two sides a row sums to 1; with more sides a score is the share of
        the other sides beaten (a tie counts half); with a single side it is always 0.5 and carries no information.
        """

    def state(self, matches: Ints) -> Float32s | None:
        """Return the global state of the matches, float32 [K, *state shape]; None without a `state_space`."""
        return None

    def close(self) -> None:  # noqa: B027 - most environments hold nothing
        """Release the resources of the environment (windows, processes)."""


MakeEnv = Callable[[int], BatchedEnv]
"""Number of matches -> an environment of that many matches."""


def scores_from_returns(returns: Float32s, sides: Sequence[Sequence[int]], stake: float | None = None) -> Float32s:
    """Return scores [K, sides] from returns of agents [K, agents]: the share of the other sides with a lower return.

    The return of a side is the sum over its agents; a tie counts half; a single side scores 0.5.

    stake: for two sides whose returns have a constant sum, (highest - lowest possible return of a side) / 2. The score
    then depends on how much was won: 0.5 + (return of the side - return of the other side) / (4 * stake).
    """
    totals = np.stack([returns[:, list(side)].sum(axis=1) for side in sides], axis=1)
    if len(sides) == 1:
        return np.full(totals.shape, 0.5, np.float32)
    if stake is not None:
        own_minus_other = totals - totals[:, ::-1]
        sized: Float32s = np.clip(0.5 + own_minus_other / (4 * stake), 0.0, 1.0).astype(np.float32)
        return sized
    # [K, sides, sides]: return of the first minus return of the second. Returns are float32 sums, hence the tolerance.
    # Each side also ties with itself, which the 0.5 at the end takes off.
    difference = totals[:, :, None] - totals[:, None, :]
    beaten = (difference > 1e-6).sum(axis=2) + 0.5 * (np.abs(difference) <= 1e-6).sum(axis=2) - 0.5
    scores: Float32s = (beaten / (len(sides) - 1)).astype(np.float32)
    return scores
