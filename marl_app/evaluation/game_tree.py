"""Read OpenSpiel games into sequence form. Every history is visited once, so only small games are feasible.

Before that, a few random descents estimate the size of the tree (Knuth, 1975, "Estimating the efficiency of backtrack
programs"), so that a large game is rejected at little cost.
"""

from __future__ import annotations

import importlib
import itertools
import random
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from marl_app.evaluation.sequence_form import Decisions, Ints, SequenceForm

DESCENTS = 100  # random descents of the size estimate

See = Callable[[Any, int], Any]
"""(`pyspiel.State` in which an information state is first visited, player) -> what to keep of it."""


class NotExactError(ValueError):
    """Raised for a game of which exploitability cannot be computed exactly; the message gives the reason."""


def load_game(game: str) -> Any:
    """Return the OpenSpiel game with this name and parameters.

    Raises NotExactError unless it has two players, explicit chance nodes, and names for its information states.
    """
    pyspiel = importlib.import_module("pyspiel")
    loaded = pyspiel.load_game(game)
    kind = loaded.get_type()
    if loaded.num_players() != 2:
        raise NotExactError(f"{game} has {loaded.num_players()} players, not two")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise NotExactError(f"{game} samples chance events inside the game, without their probabilities")
    if not (_open(kind) or kind.provides_information_state_string):
        raise NotExactError(f"{game} has hidden information but no strings for its information states")
    return loaded


def read_sequence_form(game: Any, see: See, max_histories: int) -> tuple[SequenceForm, tuple[list[Any], list[Any]]]:
    """Return the sequence form of a game, and for each player what `see` returned for its information states, in order.

    Raises NotExactError for a game with more histories than `max_histories`, without perfect recall, or in which a
    player never moves.
    """
    if looks_too_large(game, max_histories):
        raise _too_large(game, max_histories)
    reader = _Reader(game, see, max_histories)
    reader.read()
    if not all(player.parents for player in reader.players):
        raise NotExactError(f"in {game} one player never moves")
    # The walk numbers sequences in the order of its visits; the sequence form needs them by depth.
    first, first_numbers = reader.players[0].ordered()
    second, second_numbers = reader.players[1].ordered()
    leaves = np.array(reader.leaves, np.int64)
    leaves = np.stack([first_numbers[leaves[:, 0]], second_numbers[leaves[:, 1]]], axis=1)
    seen = (reader.players[0].seen_in_order(), reader.players[1].seen_in_order())
    return SequenceForm((first, second), leaves, np.array(reader.payoffs)), seen


def looks_too_large(game: Any, max_histories: int) -> bool:
    """Return whether the estimated number of histories is more than twice `max_histories`.

    Knuth: on a random descent the product of the numbers of children so far is an unbiased estimate of the nodes at
    that depth; their sum estimates the tree. The factor two leaves room for its noise: a game that is rejected here
    is almost surely too large. The seed is fixed, so the result is too.
    """
    # `total`: the sum of all estimates; `width`: the product of the numbers of children on the current descent.
    rng, total = random.Random(0), 0.0
    for _ in range(DESCENTS):
        state, width = game.new_initial_state(), 1.0
        # A descent stops when the answer is known: matches of some games have no maximal length.
        while not state.is_terminal() and total <= 2 * max_histories * DESCENTS:
            total += width
            moves = _joint_moves(state)
            width *= len(moves)
            _apply(state, rng.choice(moves))
    return total > 2 * max_histories * DESCENTS


class _Player:
    """The information states of one player, in the order of their first visits.

    depths, parents, sizes: by information state; the number of the player's decisions before it, the sequence that
    leads to it, and the number of its legal actions.
    actions: by sequence, the action that it ends with; -1 for the empty sequence 0.
    seen: by information state, what `See` returned.
    """

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.parents: list[int] = []
        self.sizes: list[int] = []
        self.actions = [-1]
        self.seen: list[Any] = []
        self._depth_of = [0]  # by sequence: its length
        self._known: dict[Hashable, tuple[int, int, list[int]]] = {}  # name -> first sequence, parent, actions

    def visit(self, name: Hashable, parent: int, actions: list[int], see: Callable[[], Any]) -> int:
        """Return the first sequence of an information state; its actions have consecutive numbers from there.

        `name`: its string, or None in a game of perfect information, in which each history is a new state.
        """
        if name is not None and name in self._known:
            first, known_parent, known_actions = self._known[name]
            # Perfect recall: all histories of an information state agree on what its player did before.
            if known_parent != parent or known_actions != actions:
                raise NotExactError("a player forgets earlier observations or actions (imperfect recall)")
            return first
        # A new information state: its sequences are one longer than the sequence that leads to it.
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
        """Return the information states in the order of their depths, and old -> new sequence numbers, [sequences]."""
        sizes = np.array(self.sizes, np.int64)
        old_first = 1 + np.cumsum(sizes) - sizes  # [S] first sequence of each state, in the order of visits
        order = self._order()
        first = np.append(1, 1 + np.cumsum(sizes[order]))  # [S + 1] the same, in the order of depths
        # [sequences] new -> old number: each state's block of sequences moves as a whole, 0 stays
        old = np.append(0, np.repeat(old_first[order] - first[:-1], sizes[order]) + np.arange(1, first[-1]))
        numbers = np.empty(len(old), np.int64)  # the inverse: old -> new
        numbers[old] = np.arange(len(old))
        # [S] the sequence before each state, in new numbers and the new order
        parents = numbers[np.array(self.parents, np.int64)[order]]
        return Decisions(np.array(self.depths, np.int64)[order], parents, first, np.array(self.actions)[old]), numbers

    def seen_in_order(self) -> list[Any]:
        """Return what `See` returned for each information state, in the order of depths."""
        return [self.seen[state] for state in self._order()]

    def _order(self) -> Ints:
        """Return the permutation by depth; stable, so that states of one depth stay in the order of their visits."""
        return np.argsort(np.array(self.depths, np.int64), kind="stable")


class _Reader:
    """A depth-first walk through the tree, which collects information states, leaves and payoffs.

    leaves: for each terminal history the last sequence of each player.
    payoffs: what each player gets there, times the probability of the chance moves on the way.
    """

    def __init__(self, game: Any, see: See, max_histories: int) -> None:
        self._game, self._see, self._max_histories = game, see, max_histories
        self._open = _open(game.get_type())
        self.players = (_Player(), _Player())
        self.leaves: list[tuple[int, int]] = []
        self.payoffs: list[tuple[float, float]] = []

    def read(self) -> None:
        """Visit all histories. Raises NotExactError beyond `max_histories`."""
        # Of each history: the state, the probability of its chance moves, and the last sequence of each player.
        stack, histories = [(self._game.new_initial_state(), 1.0, 0, 0)], 1
        while stack:
            state, reach, first, second = stack.pop()
            if state.is_terminal():
                returns = state.returns()
                self.leaves.append((first, second))
                self.payoffs.append((reach * returns[0], reach * returns[1]))
                continue
            before = len(stack)
            if state.is_chance_node():
                stack.extend((state.child(a), reach * p, first, second) for a, p in state.chance_outcomes())
            elif state.is_simultaneous_node():
                stack.extend(self._simultaneous_children(state, reach, first, second))
            else:
                # Only the sequence of the player that moves grows; action i continues with sequence start + i.
                player, actions = state.current_player(), state.legal_actions()
                start = self._visit(state, player, (first, second)[player], actions)
                for number, action in enumerate(actions, start):
                    sequences = (number, second) if player == 0 else (first, number)
                    stack.append((state.child(action), reach, *sequences))
            histories += len(stack) - before  # children that were pushed
            if histories > self._max_histories:
                raise _too_large(self._game, self._max_histories)

    def _simultaneous_children(
        self, state: Any, reach: float, first: int, second: int
    ) -> list[tuple[Any, float, int, int]]:
        """Return the histories that follow a simultaneous move. A player without legal actions takes no part in it."""
        ways, sequences = [], (first, second)  # `ways`: the sequences that each player can continue with
        for player in (0, 1):
            actions = state.legal_actions(player)
            start = self._visit(state, player, sequences[player], actions) if actions else sequences[player]
            ways.append(range(start, start + max(1, len(actions))))
        # One clone per joint move, in the order of `_joint_moves`, which is that of the product of `ways`.
        children = [state.clone() for _ in range(len(ways[0]) * len(ways[1]))]
        for child, moves in zip(children, _joint_moves(state), strict=True):
            _apply(child, moves)
        return [(child, reach, *numbers) for child, numbers in zip(children, itertools.product(*ways), strict=True)]

    def _visit(self, state: Any, player: int, parent: int, actions: list[int]) -> int:
        """Return the first sequence of the information state in which `player` moves in `state`."""
        name = None if self._open else state.information_state_string(player)
        return self.players[player].visit(name, parent, actions, lambda: self._see(state, player))


def _open(kind: Any) -> bool:
    """Return whether the game type has perfect information, so that each history is a separate information state."""
    return bool(kind.information == kind.information.__class__.PERFECT_INFORMATION)


def _joint_moves(state: Any) -> Sequence[Sequence[int]]:
    """Return all moves in this state: tuples of one action (of a player or of chance), or of both players' actions.

    In simultaneous moves the order is that of `itertools.product`, on which `_simultaneous_children` relies.
    """
    if not state.is_simultaneous_node():
        return [(action,) for action in state.legal_actions()]
    no_action = [importlib.import_module("pyspiel").INVALID_ACTION]
    return list(itertools.product(*(state.legal_actions(player) or no_action for player in (0, 1))))


def _apply(state: Any, moves: Sequence[int]) -> None:
    if state.is_simultaneous_node():
        state.apply_actions(list(moves))
    else:
        state.apply_action(moves[0])


def _too_large(game: Any, max_histories: int) -> NotExactError:
    return NotExactError(f"{game} has more than {max_histories} histories")
