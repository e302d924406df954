"""Small OpenSpiel games as tables: the game tree is enumerated once, then all matches step together by table lookup.

Agents, observations, actions, rewards and chance probabilities are those of `envs.openspiel_adapter`, which steps one
copy per match; this is more than ten times as fast. For turn-based games whose tree fits into memory, such as Kuhn and
Leduc poker, liar's dice and tic-tac-toe.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Openings, Step, scores_from_returns
from marl_app.envs.openspiel_adapter import OpenSpielCopy, game_sides, game_stake, load_game
from marl_app.envs.openspiel_text import action_text, state_text

TERMINAL, CHANCE = -4, -1  # OpenSpiel's player ids of terminal and chance nodes
MAX_HISTORIES = 1_000_000
MAX_BYTES = 2**28
"""Size of the table up to which a tree is enumerated: chess has few thousand nodes within it, and is refused soon."""


class OpenSpielTree(BatchedEnv):
    """`num_matches` matches of a small OpenSpiel game; agents are `player_0`, ..., all in one group.

    game: an OpenSpiel game string, e.g. "leduc_poker" or "liars_dice(numdice=1)".
    sides: as in the adapter.

    Observation: float32, the information state tensor of the game if it has one, else its observation tensor. Action:
    OpenSpiel's action id. State, for centralized critics: the observations of all agents, so all private cards. Where
    we differ from the adapter: agents of a match that has ended observe zeros. Raises ValueError, naming `env.game`,
    for a game that does not exist, is not turn-based, or has more than MAX_HISTORIES histories or a table of more than
    MAX_BYTES.
    """

    def __init__(
        self,
        num_matches: int,
        game: str,
        openings: Openings | None = None,
        sides: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.num_matches = num_matches
        self.openings = openings
        self.openspiel_game = str(game)
        self._tree = _cached_tree(str(game))
        players = range(self._tree.returns.shape[1])
        self.agents = tuple(f"player_{player}" for player in players)
        self.sides = tuple(game_sides(load_game(game), self.agents, sides))
        space = spaces.Box(-np.inf, np.inf, self._tree.observations.shape[1:], np.float32)
        self.groups = (Group("player", tuple(players), space, spaces.Discrete(self._tree.children.shape[1])),)
        self.state_space = spaces.Box(-np.inf, np.inf, (len(players) * int(np.prod(space.shape)),), np.float32)
        self.stake = self._tree.stake if len(self.sides) == 2 else None
        self._rows = np.arange(num_matches)
        # int64 [B]: the current node of each match. This is the whole state of the environment.
        self._nodes: Ints = np.zeros(num_matches, np.int64)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start all or the given matches; chance moves are played up to the first decision."""
        chosen = self._rows if matches is None else matches
        self._nodes[chosen] = self._tree.after_chance(np.zeros(len(chosen), np.int64), rng)

    def acting(self) -> Bools:
        """Return who is to move: bool [B, agents]; all False in a match that has ended."""
        acting: Bools = self._tree.players[self._nodes][:, None] == np.arange(len(self.agents))
        return acting

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return the observations of the agents, float32 [R, *shape]; zeros in a match that has ended."""
        seen: Float32s = self._tree.observations[self._tree.observation_rows[self._nodes[matches], agents]]
        return seen

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Return the legal actions: bool [R, actions]."""
        mask: Bools = self._tree.children[self._nodes[matches]] >= 0
        return mask

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Play one move per match, then chance moves up to the next decision; `actions` is one array int64 [B, agents].

        Raises ValueError for an illegal action.
        """
        tree, before = self._tree, self._nodes
        movers = tree.players[before]  # int64 [B]; negative in a match that has ended, which is refused below
        chosen = actions[0][self._rows, np.maximum(movers, 0)]
        within = (chosen >= 0) & (chosen < tree.children.shape[1]) & (movers >= 0)
        after = np.where(within, tree.children[before, np.where(within, chosen, 0)], -1)
        if (after < 0).any():
            match = int(np.argmin(after))
            raise ValueError(f"openspiel {self.openspiel_game}: illegal action {chosen[match]} in match {match}")
        self._nodes = tree.after_chance(after, rng)
        # Differences of the returns so far: they include what chance moves paid.
        rewards = (tree.returns[self._nodes] - tree.returns[before]).astype(np.float32)
        terminated = tree.players[self._nodes] == TERMINAL
        return Step.of_matches(rewards, terminated, np.zeros_like(terminated))

    def scores(self, matches: Ints) -> Float32s:
        """Return the scores, float32 [K, sides], from the returns of the sides."""
        return scores_from_returns(self._tree.returns[self._nodes[matches]].astype(np.float32), self.sides, self.stake)

    def state(self, matches: Ints) -> Float32s:
        """Return the observations of all agents, one after the other: float32 [K, state size]."""
        seen: Float32s = self._tree.observations[self._tree.observation_rows[self._nodes[matches]]]
        return seen.reshape(len(matches), -1)

    def render(self, match: int, agent: int | None = None) -> str | None:
        """Return the state as text; in a game with hidden information as the agent sees it."""
        return state_text(self._tree.state_of(int(self._nodes[match])), agent) or None

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str | None:
        """Return OpenSpiel's name of the action; None if the viewer does not see it."""
        return action_text(self._tree.state_of(int(self._nodes[match])), agent, int(action), viewer)

    def observe_state(self, state: Any, agent: int) -> Array:
        """Return the observation of the agent in any state of the game (a `pyspiel.State`), encoded as by `observe`."""
        return self._tree.copy.observe_state(state, agent)


class _GameTree:
    """The N histories (nodes) of a game, numbered in depth-first order; node 0 is the root.

    players: int64 [N], the player to move, or CHANCE or TERMINAL.
    children: int64 [N, actions], the node after each action; -1 where illegal.
    returns: float64 [N, players], the return of each player so far.
    observations: float32 [distinct observations + 1, *shape]; the first row is zeros.
    observation_rows: int64 [N, players], the row of `observations` that a player sees at a decision node; 0 elsewhere.
    """

    def __init__(self, game: str) -> None:
        loaded = load_game(game)
        if loaded.get_type().dynamics.name != "SEQUENTIAL":
            raise ValueError(f"env.game={game!r} is not turn-based: use env=openspiel env.game={game!r}")
        self.copy, self.stake, self._game = OpenSpielCopy(loaded), game_stake(loaded), loaded
        self._actions, self._outcomes = loaded.num_distinct_actions(), max(1, loaded.max_chance_outcomes())
        self._walk(game, loaded)

    def _walk(self, game: str, loaded: Any) -> None:
        players: list[int] = []
        returns: list[list[float]] = []
        children: list[list[int]] = []
        outcomes: list[list[int]] = []
        cumulative: list[list[float]] = []
        seen: list[Array] = [np.zeros(self.copy.shape, np.float32)]
        row_of: dict[bytes, int] = {}  # an observation's bytes -> its row in `seen`
        observation_rows: list[list[int]] = []
        # (state, node of its parent, index of the branch from there): a stack, so the walk is depth-first.
        waiting = [(loaded.new_initial_state(), -1, -1)]
        size = 0  # bytes of the table so far
        while waiting:
            state, parent, branch = waiting.pop()
            number = len(players)
            if number >= MAX_HISTORIES or size > MAX_BYTES:
                limit = (
                    f"{MAX_HISTORIES:,} histories" if number >= MAX_HISTORIES else f"{MAX_BYTES >> 20} MiB of histories"
                )
                raise ValueError(f"env.game={game!r} has more than {limit}, too many for a table: use env=openspiel")
            if parent >= 0:
                (outcomes if players[parent] == CHANCE else children)[parent][branch] = number
            players.append(TERMINAL if state.is_terminal() else int(state.current_player()))
            returns.append(state.returns())
            children.append([-1] * (0 if players[-1] < 0 else self._actions))
            outcomes.append([-1] * (self._outcomes if players[-1] == CHANCE else 0))
            cumulative.append([])
            observation_rows.append([0] * len(returns[-1]))
            # Children are numbered when they are popped; they then enter themselves in their parent's row (above).
            if players[-1] == CHANCE:
                moves, probabilities = zip(*state.chance_outcomes(), strict=True)
                cumulative[-1] = np.cumsum(probabilities).tolist()
                waiting += [(state.child(move), number, place) for place, move in enumerate(moves)]
            elif players[-1] >= 0:
                for player in range(len(returns[-1])):
                    observation = self.copy.observe_state(state, player)
                    row = row_of.setdefault(observation.tobytes(), len(seen))
                    if row == len(seen):
                        seen.append(observation)
                        size += observation.nbytes
                    observation_rows[-1][player] = row
                size += 8 * (self._actions + len(returns[-1]))
                waiting += [(state.child(move), number, move) for move in state.legal_actions()]
        self.players, self.returns = np.array(players), np.array(returns)
        self.observations, self.observation_rows = np.stack(seen), np.array(observation_rows)
        self.children = _padded(children, self._actions, -1).astype(np.int64)
        # [N, outcomes]: the node after each outcome of a chance node, padded with -1, and the cumulative probability of
        # the outcomes, padded with 2, which no draw from [0, 1) reaches.
        self._chance_children = _padded(outcomes, self._outcomes, -1).astype(np.int64)
        self._cumulative = _padded(cumulative, self._outcomes, 2.0)

    def state_of(self, node: int) -> Any:
        """Return the `pyspiel.State` of a node, found by walking down to it: slow, for people who watch a match."""
        state, at = self._game.new_initial_state(), 0
        while at != node:
            is_chance = self.players[at] == CHANCE
            children = (self._chance_children if is_chance else self.children)[at]
            # Nodes are numbered depth-first, so the node is below the child with the largest number up to its own.
            branch = int(np.where((children >= 0) & (children <= node), children, -1).argmax())
            state.apply_action(state.chance_outcomes()[branch][0] if is_chance else branch)
            at = int(children[branch])
        return state

    def after_chance(self, nodes: Ints, rng: np.random.Generator) -> Ints:
        """Play chance moves from `nodes` [R] until the next decision or the end; returns the nodes reached, [R]."""
        nodes = nodes.copy()
        while len(rows := np.flatnonzero(self.players[nodes] == CHANCE)):
            at = nodes[rows]
            # Inverse transform sampling: the number of outcomes whose cumulative probability is at most the draw. The
            # sum of all probabilities may be slightly below 1 by rounding, hence the minimum with the last outcome.
            last = (self._chance_children[at] >= 0).sum(axis=1) - 1
            drawn = (self._cumulative[at] <= rng.random(len(rows))[:, None]).sum(axis=1)
            nodes[rows] = self._chance_children[at, np.minimum(drawn, last)]
        return nodes


_cached_tree = cache(_GameTree)  # one walk per process and game string: trees are never changed


def _padded(rows: Sequence[Sequence[float]], width: int, value: float) -> Float32s:
    """Stack rows of different lengths: [len(rows), width], filled up with `value`."""
    table = np.full((len(rows), width), value)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table
