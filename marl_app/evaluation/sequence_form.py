"""Two-player games in sequence form: plans, the value of plans, best responses and NashConv, all in numpy.

A **sequence** is what one player did so far: an information state of its own and the action it chose there. Sequence 0
is that nothing was done. A **plan** gives each sequence the probability that the player does all of it: the product of
its action probabilities along the way (its reach); chance and the other player are left out. Payoffs are then linear in
each player's plan, a best response is one pass from the last decisions to the first, and a player that draws one of
several strategies before the match has the average of their plans (Kuhn's theorem): as behavior that is pi(a|s)
proportional to sum_i w_i reach_i(s) pi_i(a|s), and not the average of action probabilities.

All of it needs perfect recall: nobody forgets what it knew or did. The one-shot game is the special case with one
information state per player, where a plan is a mixed strategy.

Koller, Megiddo and von Stengel, "Fast algorithms for finding randomized strategies in game trees" (1994); von Stengel,
"Efficient computation of behavior strategies" (1996).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Plans = tuple[Floats, Floats]
"""The plans of the first and of the second player, each [sequences of that player]."""


class Decisions:
    """One player's information states, in the order of how many decisions of its own come before.

    depths: int64 [S], that number, growing from 0.
    parents: int64 [S], the sequence that leads to each information state.
    first: int64 [S + 1]; the sequences of information state s, one per legal action, are first[s] to first[s + 1] - 1.
    actions: int64 [sequences], the action that each sequence ends with; -1 for sequence 0.
    """

    def __init__(self, depths: Ints, parents: Ints, first: Ints, actions: Ints) -> None:
        self.parents, self.first, self.actions = parents, first, actions
        starts = np.searchsorted(depths, np.arange(depths.max(initial=-1) + 2))
        self._sizes = np.diff(first)
        self._layers = [  # of information states with the same depth: themselves, their sequences, where each begins
            (slice(begin, end), slice(first[begin], first[end]), first[begin:end] - first[begin])
            for begin, end in pairwise(starts.tolist())
        ]

    @property
    def states(self) -> Ints:
        """The information state that sequences 1, 2, ... belong to: int64 [sequences - 1]."""
        return np.repeat(np.arange(len(self.parents)), self._sizes)

    def legal(self, num_actions: int) -> NDArray[np.bool_]:
        """Which actions each information state has: bool [S, num_actions]."""
        legal = np.zeros((len(self.parents), num_actions), np.bool_)
        legal[self.states, self.actions[1:]] = True
        return legal

    def plan(self, behavior: Floats) -> Floats:
        """The plan of a player that plays sequence k's action with probability behavior[k] where it is to move."""
        plan = np.ones(len(self.actions))
        for states, sequences, _ in self._layers:
            reach = np.repeat(plan[self.parents[states]], self._sizes[states])
            plan[sequences] = reach * behavior[sequences]
        return plan

    def best_value(self, gains: Floats) -> float:
        """The most a player can get whose sequences, done for sure, bring `gains` where the match ends with them."""
        values = gains.copy()
        for states, sequences, starts in reversed(self._layers):
            best = np.maximum.reduceat(values[sequences], starts)
            values += np.bincount(self.parents[states], best, len(values))
        return float(values[0])


class SequenceForm:
    """A game of two players.

    players: their information states.
    leaves: int64 [L, 2], the last sequence of each player, for every way the match can end.
    payoffs: float64 [L, 2], what each gets there, times the probability of the chance moves on the way.
    """

    def __init__(self, players: tuple[Decisions, Decisions], leaves: Ints, payoffs: Floats) -> None:
        self.players = players
        self._leaves, self._payoffs = leaves, payoffs

    def values(self, plans: Plans) -> Floats:
        """What each player gets on average, [2]."""
        values: Floats = (plans[0][self._leaves[:, 0]] * plans[1][self._leaves[:, 1]]) @ self._payoffs
        return values

    def best_values(self, plans: Plans) -> Floats:
        """What the best response of each player to the other's plan gets, [2]."""
        best = np.zeros(2)
        for player, decisions in enumerate(self.players):
            against = plans[1 - player][self._leaves[:, 1 - player]]
            paid: Floats = self._payoffs[:, player] * against
            gains: Floats = np.bincount(self._leaves[:, player], paid, len(decisions.actions)).astype(np.float64)
            best[player] = decisions.best_value(gains)
        return best

    def nash_conv(self, plans: Plans) -> float:
        """The sum of both players' gains by a best response."""
        return float((self.best_values(plans) - self.values(plans)).sum())


def mix_plans(members: Iterable[Plans], probabilities: Floats) -> Plans:
    """The plans of a player that draws one of `members` before it plays: their average on each side."""
    first, second = np.zeros(1), np.zeros(1)
    for member, probability in zip(members, probabilities.tolist(), strict=True):
        first, second = first + probability * member[0], second + probability * member[1]
    return first, second


def one_shot_form(payoffs: Floats) -> SequenceForm:
    """The sequence form of a payoff table [n, m, 2]."""
    rows, columns = payoffs.shape[:2]
    nothing = np.zeros(1, np.int64)
    players = tuple(Decisions(nothing, nothing, np.array([1, 1 + n]), np.arange(-1, n)) for n in (rows, columns))
    leaves = np.indices((rows, columns)).reshape(2, -1).T + 1
    return SequenceForm((players[0], players[1]), leaves, payoffs.reshape(-1, 2))
