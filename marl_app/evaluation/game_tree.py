"""OpenSpiel games read into sequence form: every history is visited once, so only small games.

A few random descents show before that how large a game is (Knuth, "Estimating the efficiency of backtrack programs",
1975), so that a large one costs next to nothing.
"""

from __future__ import annotations

import importlib
import itertools
import random
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from marl_app.evaluation.sequence_form import Decisions, Ints, SequenceForm

DESCENTS = 100

See = Callable[[Any, int], Any]
"""What is to be kept of an information state, given the `pyspiel.State` it is first met in and the player."""


class NotExactError(ValueError):
    """A game whose exploitability cannot be computed exactly here; the message says why."""


def load_game(game: str) -> Any:
    """The OpenSpiel game. Raises NotExactError if it is none of two players whose tree can be read."""
    pyspiel = importlib.import_module("pyspiel")
    loaded = pyspiel.load_game(game)
    kind = loaded.get_type()
    if loaded.num_players() != 2:
        raise NotExactError(f"{game} has {loaded.num_players()} players, not two")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise NotExactError(f"{game} draws chance inside the game")
    if not (_open(kind) or kind.provides_information_state_string):
        raise NotExactError(f"{game} does not tell its information states")
    return loaded


def read_sequence_form(game: Any, see: See, max_histories: int) -> tuple[SequenceForm, tuple[list[Any], list[Any]]]:
    """The sequence form of a loaded game, and what `see` gave for the information states of each player, in order.

    Raises NotExactError for a game with more histories than `max_histories`, or without perfect recall, or in
    which a player never moves.
    """
    if looks_too_large(game, max_histories):
        raise _too_large(game, max_histories)
    reader = _Reader(game, see, max_histories)
    reader.read()
    if not all(player.parents for player in reader.players):
        raise NotExactError(f"in {game} one player never moves")
    first, first_numbers = reader.players[0].ordered()
    second, second_numbers = reader.players[1].ordered()
    leaves = np.array(reader.leaves, np.int64)
    leaves = np.stack([first_numbers[leaves[:, 0]], second_numbers[leaves[:, 1]]], axis=1)
    seen = (reader.players[0].seen_in_order(), reader.players[1].seen_in_order())
    return SequenceForm((first, second), leaves, np.array(reader.payoffs)), seen


def looks_too_large(game: Any, max_histories: int) -> bool:
    """Whether random descents show more than twice as many histories, on average; the answer is always the same."""
    rng, total = random.Random(0), 0.0
    for _ in range(DESCENTS):
        state, width = game.new_initial_state(), 1.0
        while not state.is_terminal() and total <= 2 * max_histories * DESCENTS:
            total += width
            moves = _joint_moves(state)
            width *= len(moves)
            _apply(state, rng.choice(moves))
    return total > 2 * max_histories * DESCENTS


class _Player:
    """The information states of one player, in the order in which they are met."""

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.parents: list[int] = []
        self.sizes: list[int] = []
        self.actions = [-1]
        self.seen: list[Any] = []
        self._depth_of = [0]  # by sequence
        self._known: dict[Hashable, tuple[int, int, list[int]]] = {}  # name -> first sequence, parent, actions

    def visit(self, name: Hashable, parent: int, actions: list[int], see: Callable[[], Any]) -> int:
        """The first sequence of an information state; `name` is None where each history is one of its own."""
        if name is not None and name in self._known:
            first, known_parent, known_actions = self._known[name]
            if known_parent != parent or known_actions != actions:
                raise NotExactError("a player forgets what it knew or did (imperfect recall)")
            return first
        first, depth = len(self.actions), self._depth_of[parent]
        self.depths.append(depth)
        self.parents.append(parent)
        self.sizes.append(len(actions))
        self.actions.extend(actions)
        self._depth_of.extend([depth + 1] * len(actions))
        self.seen.append(see())
        if name is not None:
            self._known[name] = (first, parent, actions)
        return first

    def ordered(self) -> tuple[Decisions, Ints]:
        """The information states by depth, and the new number of each sequence."""
        sizes = np.array(self.sizes, np.int64)
        old_first = 1 + np.cumsum(sizes) - sizes
        order = self._order()
        first = np.append(1, 1 + np.cumsum(sizes[order]))
        old = np.append(0, np.repeat(old_first[order] - first[:-1], sizes[order]) + np.arange(1, first[-1]))
        numbers = np.empty(len(old), np.int64)
        numbers[old] = np.arange(len(old))
        parents = numbers[np.array(self.parents, np.int64)[order]]
        return Decisions(np.array(self.depths, np.int64)[order], parents, first, np.array(self.actions)[old]), numbers

    def seen_in_order(self) -> list[Any]:
        """What was seen in each information state, by depth."""
        return [self.seen[state] for state in self._order()]

    def _order(self) -> Ints:
        return np.argsort(np.array(self.depths, np.int64), kind="stable")


class _Reader:
    """Walks through the tree once, depth first."""

    def __init__(self, game: Any, see: See, max_histories: int) -> None:
        self._game, self._see, self._max_histories = game, see, max_histories
        self._open = _open(game.get_type())
        self.players = (_Player(), _Player())
        self.leaves: list[tuple[int, int]] = []
        self.payoffs: list[tuple[float, float]] = []

    def read(self) -> None:
        stack, histories = [(self._game.new_initial_state(), 1.0, 0, 0)], 1
        while stack:
            state, chance, first, second = stack.pop()
            if state.is_terminal():
                returns = state.returns()
                self.leaves.append((first, second))
                self.payoffs.append((chance * returns[0], chance * returns[1]))
                continue
            before = len(stack)
            if state.is_chance_node():
                stack.extend((state.child(a), chance * p, first, second) for a, p in state.chance_outcomes())
            elif state.is_simultaneous_node():
                stack.extend(self._together(state, chance, first, second))
            else:
                player, actions = state.current_player(), state.legal_actions()
                start = self._visit(state, player, (first, second)[player], actions)
                for number, action in enumerate(actions, start):
                    sequences = (number, second) if player == 0 else (first, number)
                    stack.append((state.child(action), chance, *sequences))
            histories += len(stack) - before
            if histories > self._max_histories:
                raise _too_large(self._game, self._max_histories)

    def _together(self, state: Any, chance: float, first: int, second: int) -> list[tuple[Any, float, int, int]]:
        """What follows a simultaneous move. A player without legal actions takes no part in it."""
        ways, sequences = [], (first, second)
        for player in (0, 1):
            actions = state.legal_actions(player)
            start = self._visit(state, player, sequences[player], actions) if actions else sequences[player]
            ways.append(range(start, start + max(1, len(actions))))
        children = [state.clone() for _ in range(len(ways[0]) * len(ways[1]))]
        for child, moves in zip(children, _joint_moves(state), strict=True):
            _apply(child, moves)
        return [(child, chance, *numbers) for child, numbers in zip(children, itertools.product(*ways), strict=True)]

    def _visit(self, state: Any, player: int, parent: int, actions: list[int]) -> int:
        name = None if self._open else state.information_state_string(player)
        return self.players[player].visit(name, parent, actions, lambda: self._see(state, player))


def _open(kind: Any) -> bool:
    """Whether all players see everything, so that each history is an information state of its own."""
    return kind.information == kind.information.__class__.PERFECT_INFORMATION


def _joint_moves(state: Any) -> Sequence[Sequence[int]]:
    """All moves that can be made now, each as one action per player who moves (or of chance)."""
    if not state.is_simultaneous_node():
        return [(action,) for action in state.legal_actions()]
    nothing = [importlib.import_module("pyspiel").INVALID_ACTION]
    return list(itertools.product(*(state.legal_actions(player) or nothing for player in (0, 1))))


def _apply(state: Any, moves: Sequence[int]) -> None:
    if state.is_simultaneous_node():
        state.apply_actions(list(moves))
    else:
        state.apply_action(moves[0])


def _too_large(game: Any, max_histories: int) -> NotExactError:
    return NotExactError(f"{game} has more than {max_histories} histories")
