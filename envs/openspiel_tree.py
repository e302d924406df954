"""Small OpenSpiel games as tables: the tree is read once, and then all matches step together by looking things up.

The same game as through `envs.openspiel_adapter`, which steps one copy per match: the same agents, observations,
actions, rewards and chances, more than ten times as fast. For turn-based games whose tree fits into memory, as Kuhn and
Leduc poker, liar's dice and tic-tac-toe.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Floats, Group, Ints, Openings, Step, scores_from_returns
from marl_app.envs.openspiel_adapter import OpenSpielCopy, load_game, stake_of

TERMINAL, CHANCE = -4, -1  # in the place of a player; OpenSpiel's numbers
MAX_HISTORIES = 1_000_000


class OpenSpielTree(BatchedEnv):
    """`num_matches` matches of a small OpenSpiel game; agents are `player_0`, ..., each its own side, all in one group.

    game: an OpenSpiel game string, e.g. "leduc_poker" or "liars_dice(numdice=1)".

    Observation: float32, the game's information state tensor, or its observation tensor; action: the game's action ids.
    Raises ValueError, naming `env.game`, for a game that does not exist, is not turn-based or has more histories than
    MAX_HISTORIES.
    """

    def __init__(self, num_matches: int, game: str, openings: Openings | None = None) -> None:
        self.num_matches = num_matches
        self.openings = openings
        self.openspiel_game = game
        self._tree = _read(game)
        players = range(self._tree.returns.shape[1])
        self.agents = tuple(f"player_{player}" for player in players)
        self.sides = tuple((player,) for player in players)
        space = spaces.Box(-np.inf, np.inf, self._tree.observations.shape[1:], np.float32)
        self.groups = (Group("player", tuple(players), space, spaces.Discrete(self._tree.children.shape[1])),)
        self.stake = self._tree.stake
        self._rows = np.arange(num_matches)
        self._nodes: Ints = np.zeros(num_matches, np.int64)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start all or the given matches: chance moves up to the first decision."""
        chosen = self._rows if matches is None else matches
        self._nodes[chosen] = self._tree.after_chance(np.zeros(len(chosen), np.int64), rng)

    def acting(self) -> Bools:
        """Who is to move: bool [B, agents]; nobody in a match that has ended."""
        acting: Bools = self._tree.players[self._nodes][:, None] == np.arange(len(self.agents))
        return acting

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """What the agents see who are to move: float32 [R, *shape]; zeros for others."""
        nodes = self._nodes[matches]
        seen = self._tree.observations[self._tree.decisions[nodes]]
        seen[self._tree.players[nodes] != agents] = 0.0
        return seen

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Legal actions: bool [R, actions]."""
        mask: Bools = self._tree.children[self._nodes[matches]] >= 0
        return mask

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """One move per match, then chance moves up to the next decision; `actions` is one array int64 [B, agents].

        Raises ValueError for an illegal action.
        """
        tree, before = self._tree, self._nodes
        movers = tree.players[before]
        chosen = actions[0][self._rows, np.maximum(movers, 0)]
        within = (chosen >= 0) & (chosen < tree.children.shape[1]) & (movers >= 0)
        after = np.where(within, tree.children[before, np.where(within, chosen, 0)], -1)
        if (after < 0).any():
            match = int(np.argmin(after))
            raise ValueError(f"openspiel {self.openspiel_game}: illegal action {chosen[match]} in match {match}")
        self._nodes = tree.after_chance(after, rng)
        rewards = (tree.returns[self._nodes] - tree.returns[before]).astype(np.float32)
        terminated = tree.players[self._nodes] == TERMINAL
        finished = np.repeat(terminated[:, None], len(self.agents), axis=1)
        return Step(rewards, terminated, np.zeros(self.num_matches, np.bool_), finished)

    def scores(self, matches: Ints) -> Floats:
        """Scores, float32 [K, sides], from the returns of the sides."""
        return scores_from_returns(self._tree.returns[self._nodes[matches]].astype(np.float32), self.sides, self.stake)

    def observe_state(self, state: Any, agent: int) -> Array:
        """What the agent sees in any state of the game (a `pyspiel.State`), as `observe` shows it in a match."""
        return self._tree.copy.observe_state(state, agent)


class _Tree:
    """The histories of a game, numbered in the order of a walk; 0 is the beginning.

    players: int64 [N], who moves, or CHANCE or TERMINAL. children: int64 [N, actions], -1 where illegal.
    returns: float64 [N, players], what each has got so far. decisions: int64 [N], the row of a history's observation.
    chances: for each history of chance its outcomes and their cumulated probabilities, [N, outcomes], padded with 1.
    """

    def __init__(self, game: str) -> None:
        loaded = load_game(game)
        if loaded.get_type().dynamics.name != "SEQUENTIAL":
            raise ValueError(f"env.game={game!r} is not turn-based: use env=openspiel env.game={game!r}")
        self.copy, self.stake = OpenSpielCopy(loaded), stake_of(loaded)
        self._actions, self._outcomes = loaded.num_distinct_actions(), max(1, loaded.max_chance_outcomes())
        self._walk(game, loaded)

    def _walk(self, game: str, loaded: Any) -> None:
        players: list[int] = []
        returns: list[list[float]] = []
        children: list[list[int]] = []
        outcomes: list[list[int]] = []
        cumulated: list[list[float]] = []
        seen: list[Array] = []
        decisions: list[int] = []
        waiting = [(loaded.new_initial_state(), -1, -1)]
        while waiting:
            state, parent, branch = waiting.pop()
            number = len(players)
            if number >= MAX_HISTORIES:
                raise ValueError(f"env.game={game!r} has more than {MAX_HISTORIES:,} histories: use env=openspiel")
            if parent >= 0:
                (outcomes if players[parent] == CHANCE else children)[parent][branch] = number
            players.append(TERMINAL if state.is_terminal() else int(state.current_player()))
            returns.append(state.returns())
            children.append([-1] * (0 if players[-1] < 0 else self._actions))
            outcomes.append([-1] * (self._outcomes if players[-1] == CHANCE else 0))
            cumulated.append([])
            decisions.append(len(seen))
            if players[-1] == CHANCE:
                moves, chances = zip(*state.chance_outcomes(), strict=True)
                cumulated[-1] = np.cumsum(chances).tolist()
                waiting += [(state.child(move), number, place) for place, move in enumerate(moves)]
            elif players[-1] >= 0:
                seen.append(self.copy.observe_state(state, players[-1]))
                waiting += [(state.child(move), number, move) for move in state.legal_actions()]
        seen.append(np.zeros_like(seen[0]))
        self.players, self.returns = np.array(players), np.array(returns)
        self.observations = np.stack(seen)
        self.decisions = np.where(self.players >= 0, np.array(decisions), len(seen) - 1)
        self.children = _padded(children, self._actions, -1).astype(np.int64)
        self._children_of_chance = _padded(outcomes, self._outcomes, -1).astype(np.int64)
        self._cumulated = _padded(cumulated, self._outcomes, 2.0)

    def after_chance(self, nodes: Ints, rng: np.random.Generator) -> Ints:
        """Where these histories are when chance has moved as far as the next decision or the end."""
        nodes = nodes.copy()
        while len(rows := np.flatnonzero(self.players[nodes] == CHANCE)):
            at = nodes[rows]
            # The last probability may be a hair below 1.
            last = (self._children_of_chance[at] >= 0).sum(axis=1) - 1
            drawn = (self._cumulated[at] <= rng.random(len(rows))[:, None]).sum(axis=1)
            nodes[rows] = self._children_of_chance[at, np.minimum(drawn, last)]
        return nodes


_read = cache(_Tree)


def _padded(rows: Sequence[Sequence[float]], width: int, value: float) -> Floats:
    table = np.full((len(rows), width), value)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table
