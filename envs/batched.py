"""The batched-environment contract: B matches of one game step together, as arrays.

One object holds B matches. At every step some agents of each match must act (one in a turn-based game, all
in a simultaneous one); the caller asks for their observations as rows, decides, and steps all matches at once.
Nothing in the contract is per agent and step in Python: every argument and answer is an array.

    env = ConnectFour(num_matches=1024)
    env.reset(rng)
    while True:
        matches, agents = env.acting().nonzero()            # the rows that must act now
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
Floats = NDArray[np.float32]
Array = NDArray[Any]
ActionSpace = spaces.Discrete[np.int64] | spaces.MultiDiscrete | spaces.Box


class Group(NamedTuple):
    """Agents that have the same spaces, and so can share one network.

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
    """What one step of all B matches brought.

    rewards: float32 [B, agents], to each agent, acting or not.
    terminated: bool [B], the match has ended by its rules.
    truncated: bool [B], the match was cut off (a time limit); never True together with terminated.
    finished: bool [B, agents], the agent's own episode has ended by the rules: it will neither act nor be rewarded
        again in this match. True for every agent of a terminated match; in a running match, True (from then on) for
        agents that finished early.
    """

    rewards: Floats
    terminated: Bools
    truncated: Bools
    finished: Bools


class Openings(NamedTuple):
    """Random openings of a turn-based game: with `probability` a match begins with `low`..`high` random legal moves.

    The environment only carries the setting; whoever collects training experience plays the moves, so that
    evaluation and checks start from the game's own initial position.
    """

    probability: float
    low: int
    high: int


class BatchedEnv(ABC):
    """B matches of one game. See the module's docstring for the loop, and `envs.checker` for what is promised."""

    agents: tuple[str, ...]
    """Names of the seats, in PettingZoo's spelling where the game exists there."""
    groups: tuple[Group, ...]
    """A partition of the agents by spaces."""
    sides: tuple[tuple[int, ...], ...]
    """A partition of the agents (indices) into sides: the agents that one player controls. One side = cooperative."""
    num_matches: int
    """B."""
    state_space: spaces.Box | None = None
    """Space of the global state of one match, or None."""
    openings: Openings | None = None
    """Random openings for training, or None. Only turn-based games can have them."""
    openspiel_game: str | None = None
    """The OpenSpiel game string with the same moves under the same action ids, if there is one."""
    stake: float | None = None
    """Where scores say how much was won: half of what lies between the highest and the lowest return of a side."""

    @abstractmethod
    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start new matches: all of them, or those whose indices are given."""

    @abstractmethod
    def acting(self) -> Bools:
        """Who must act now: bool [B, agents]. At least one agent in every running match."""

    @abstractmethod
    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Rows [R, *observation shape] in the space's dtype: what agent `agents[r]` sees of match `matches[r]` now.

        The agents must belong to one group. They need not be acting: the last observation of a truncated match,
        before its reset, is what its value is bootstrapped from. The array is the caller's to keep.
        """

    @abstractmethod
    def action_mask(self, matches: Ints, agents: Ints) -> Bools | None:
        """Legal actions of acting agents of one group: bool [R, mask_size]; None if every action is always legal."""

    @abstractmethod
    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Advance all B matches by one step.

        `actions` has one array [B, n_group, *action shape] per group (int64, or float32 for Box); entries of agents
        that are not acting are ignored. Stepping a match that has ended and was not reset is an error of the caller.
        """

    @abstractmethod
    def scores(self, matches: Ints) -> Floats:
        """float32 [K, sides] in [0, 1]: the score of each side of matches that have just ended.

        Above 0.5 a side has won, at 0.5 drawn. A win is 1 and a loss 0, but in zero-sum games of two sides whose
        payoffs have sizes (poker): there a score is 0.5 + payoff / (2 * the largest payoff there is), so that mean
        scores rank players as mean payoffs do. With two sides a row sums to 1; with more it is the share of the other
        sides beaten (a tie counts half); with one side it is 0.5 and says nothing.
        """

    def state(self, matches: Ints) -> Floats | None:
        """float32 [K, *state shape], the global state of the matches, where `state_space` is given."""
        return None

    def close(self) -> None:  # noqa: B027 - most environments hold nothing
        """Release what the environment holds (windows, processes)."""


MakeEnv = Callable[[int], BatchedEnv]
"""Number of matches -> an environment of that many matches."""


def scores_from_returns(returns: Floats, sides: Sequence[Sequence[int]], stake: float | None = None) -> Floats:
    """Scores [K, sides] from the agents' returns [K, agents]: the share of the other sides with a lower return.

    A side's return is the sum over its agents; a tie counts half. One side: 0.5. `stake`: in a game of two sides whose
    returns always sum to the same, half the difference between the highest and the lowest return that a side can have;
    then the score is not only who won but how much, 0.5 + (own - other return) / (4 stake).
    """
    totals = np.stack([returns[:, list(side)].sum(axis=1) for side in sides], axis=1)
    if len(sides) == 1:
        return np.full(totals.shape, 0.5, np.float32)
    if stake is not None:
        own_minus_other = totals - totals[:, ::-1]
        sized: Floats = np.clip(0.5 + own_minus_other / (4 * stake), 0.0, 1.0).astype(np.float32)
        return sized
    difference = totals[:, :, None] - totals[:, None, :]
    beaten = (difference > 1e-6).sum(axis=2) + 0.5 * (np.abs(difference) <= 1e-6).sum(axis=2) - 0.5
    scores: Floats = (beaten / (len(sides) - 1)).astype(np.float32)
    return scores
