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
        ended = step.over.nonzero()[0]
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

from marl_app.envs.board import Rendering, number_name
from marl_app.envs.placement import Placement
from marl_app.envs.solved import SolvedPosition
from marl_app.envs.symmetries import Symmetries

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Array = NDArray[Any]
LARGEST_BOUND = 1e6
"""Larger bounds of a Box are placeholders, and treated as if there were none."""
LARGEST_REWARD = LARGEST_OBSERVATION = 1e9
"""Larger numbers are taken for errors of the environment: in a running variance one would drown all others."""
ActionSpace = spaces.Discrete[np.int64] | spaces.MultiDiscrete | spaces.Box


class Group(NamedTuple):
    """Agents that have the same spaces and can therefore share one network.

    `agents` are indices into `BatchedEnv.agents`. `observation_space` is a `Box` (adapters flatten Dict, Tuple
    and Discrete observations); `action_space` is `Discrete`, `MultiDiscrete` or `Box`. `symmetries`: other views in
    which its agents may see a match, or None; of all groups, view s is of the same symmetry. `placement`: the rules of
    a board on which actions place pieces, or None.
    """

    name: str
    agents: tuple[int, ...]
    observation_space: spaces.Box
    action_space: ActionSpace
    symmetries: Symmetries | None = None
    placement: Placement | None = None

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

    An episode belongs to an agent: it may end before the match does. Its flags are True in the step in which it ends,
    and only then; never both. Afterwards the agent is not rewarded and does not act, unless it comes back in the same
    match with a new episode.

    rewards: float32 [B, agents], of each agent, acting or not.
    terminated: bool [B, agents], the agent's episode has ended by the rules. Its value is 0 from here on.
    truncated: bool [B, agents], the agent's episode was cut off (a time limit). Its value is bootstrapped from what
        `observe` returns for it now.
    over: bool [B], the match has ended. The episodes of all its agents have ended, in this step or before.
    """

    rewards: Float32s
    terminated: Bools
    truncated: Bools
    over: Bools

    @classmethod
    def of_matches(cls, rewards: Float32s, terminated: Bools, truncated: Bools) -> Step:
        """Return the step of a game whose agents all end with their match.

        terminated, truncated: bool [B], the match has ended by its rules, or was cut off; never both.
        """
        shape = rewards.shape
        return cls(
            rewards,
            np.broadcast_to(terminated[:, None], shape),
            np.broadcast_to(truncated[:, None], shape),
            terminated | truncated,
        )


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
    """The OpenSpiel game string with the same moves under the same action ids, and as many of them; or None."""
    raw_spaces: tuple[tuple[spaces.Space[Any], spaces.Space[Any]], ...] | None = None
    """Of an adapter: (observation, action) space of each agent in the original, if they differ from the groups'."""
    stake: float | None = None
    """If scores depend on how much was won: (highest - lowest possible return of a side) / 2; else None.

    Payoffs and exact exploitability use it to turn scores back into returns."""

    @abstractmethod
    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start new matches: all of them, or those with the given indices (an empty array resets none)."""

    @abstractmethod
    def acting(self) -> Bools:
        """Return which agents must act now: bool [B, agents], at least one True in every running match."""

    @abstractmethod
    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return rows [R, *observation shape] in the dtype of the space: what `agents[r]` sees of `matches[r]` now.

        All agents must belong to one group. They need not be acting: the value of an agent that was truncated in the
        last step is bootstrapped from its last observation, before the reset. Later steps must not change the returned
        array.
        """

    @abstractmethod
    def action_mask(self, matches: Ints, agents: Ints) -> Bools | None:
        """Return the legal actions of acting agents of one group: bool [R, mask_size]; None if all always are."""

    @abstractmethod
    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Advance all B matches by one step.

        `actions` has one array [B, n_group, *action shape] per group (int64, or float32 for Box); entries of agents
        that are not acting are ignored. The caller must reset a match that has ended before the next step. Raises
        ValueError for an illegal action of an acting agent.
        """

    @abstractmethod
    def scores(self, matches: Ints) -> Float32s:
        """Return the score of each side of matches that have just ended: float32 [K, sides] in [0, 1].

        A side with more than 0.5 has won, with 0.5 drawn. A win is 1 and a loss 0, except in zero-sum games of two
        sides in which one can win more or less (poker, or points over several rounds): there a score is 0.5 + return /
        (2 * stake), so that mean scores rank players as mean returns do; see `scores_from_returns`. With two sides a
        row sums to 1; with more sides a score is the share of the other sides beaten (a tie counts half); with a single
        side it is always 0.5 and carries no information.
        A side that did not take part in the match has the score NaN, and counts as no other's opponent.
        """

    def state(self, matches: Ints) -> Float32s | None:
        """Return the global state of the matches, float32 [K, *state shape]; None without a `state_space`."""
        return None

    def solved_positions(self) -> Sequence[SolvedPosition] | None:
        """Return positions for which the value of every move is known, to measure players; None if there are none."""
        return None

    def enable_rendering(self, *, prefer_text: bool) -> None:  # noqa: B027 - most environments draw without
        """Prepare for `render`: called once, before the first reset, by what shows matches to people.

        prefer_text: an environment that can draw texts and pictures is asked for texts.
        """

    def render(self, match: int, agent: int | None = None) -> Rendering | None:
        """Return a match as people see it now, its end included: a text, a picture or a `Board`; None: nothing.

        agent: who it is for; what this agent may not know, such as the cards of others, is not in it. None: all is.
        Changes nothing.
        """
        return None

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str | None:
        """Return what people call a legal action of an acting agent now; legal actions have different names.

        viewer: None for the name, which is not empty; or an agent: None if that agent does not see the action when it
        is played. By default all agents see all actions, and the name is the number.
        """
        return number_name(action)

    def close(self) -> None:  # noqa: B027 - most environments hold nothing
        """Release the resources of the environment (windows, processes)."""


MakeEnv = Callable[[int], BatchedEnv]
"""Number of matches -> an environment of that many matches."""


def scores_from_returns(
    returns: NDArray[np.floating[Any]],
    sides: Sequence[Sequence[int]],
    stake: float | None = None,
    participants: Bools | None = None,
) -> Float32s:
    """Return scores [K, sides] from returns of agents [K, agents]: the share of the other sides with a lower return.

    The return of a side is the sum over its agents; a tie counts half; a single side scores 0.5. Returns are equal if
    they differ by at most a millionth of their size in float32, a billionth in float64: sums of rounded rewards.

    stake: for two sides whose returns have a constant sum, (highest - lowest possible return of a side) / 2. The score
    then depends on how much was won: 0.5 + (return of the side - return of the other side) / (4 * stake).
    participants: bool [K, agents], who took part; None: all. The score is NaN for a side without a participant, and for
    one without an opponent.
    """
    precision = 1e-6 if returns.dtype == np.float32 else 1e-9
    # [K, sides]: the return of each side.
    totals = np.stack([returns[:, list(side)].sum(axis=1, dtype=np.float64) for side in sides], axis=1)
    if len(sides) == 1:
        return np.full(totals.shape, 0.5, np.float32)
    present = np.ones(totals.shape, np.bool_)
    if participants is not None:
        present = np.stack([participants[:, list(side)].any(axis=1) for side in sides], axis=1)
    if stake is not None:
        # Of two sides the other one's return is the reversed column.
        own_minus_other = totals - totals[:, ::-1]
        scores = np.clip(0.5 + own_minus_other / (4 * stake), 0.0, 1.0)
        return np.where(present.all(axis=1, keepdims=True), scores, np.nan).astype(np.float32)
    # [K, sides, sides]: the return of the first side and of the second.
    own, other = totals[:, :, None], totals[:, None, :]
    tied = np.abs(own - other) <= precision * np.maximum(1, np.maximum(np.abs(own), np.abs(other)))
    points = np.where(tied, 0.5, own > other) * present[:, None, :]
    # Each side has also been compared with itself: a tie, which is taken off.
    beaten, opponents = points.sum(axis=2) - 0.5, present.sum(axis=1, keepdims=True) - 1
    scores = np.divide(beaten, opponents, out=np.full(totals.shape, np.nan), where=present & (opponents > 0))
    result: Float32s = scores.astype(np.float32)
    return result
