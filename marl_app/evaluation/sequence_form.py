"""Two-player games in sequence form: plans, the value of plans, best responses and NashConv, in numpy.

A **sequence** is the history of one player's actions: its last information state and the action chosen there determine
it. Sequence 0 is the empty history. A **plan** (realization plan) gives each sequence the probability that the player
takes all its actions: the product of its action probabilities on the way, without those of chance and of the other
player. Payoffs are then linear in each player's plan; a best response is one pass from the last decisions to the first;
and a player that draws one of several strategies before the match has the average of their plans (Kuhn's theorem). As
behavior this is pi(a|s) proportional to sum_i w_i reach_i(s) pi_i(a|s), not the average of action probabilities.

All of it requires perfect recall: no player forgets an earlier observation or action. A one-shot game is the special
case with one information state per player, in which a plan is a mixed strategy.

Koller, Megiddo and von Stengel (1994), "Fast algorithms for finding randomized strategies in game trees"; von Stengel
(1996), "Efficient computation of behavior strategies".
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Ints = NDArray[np.int64]
Plans = tuple[Float64s, Float64s]
"""The plans of the first and the second player, float64 [sequences of that player] each."""


class Decisions:
    """One player's information states, in the order of their depths.

    depths: int64 [S], ascending from 0: the number of the player's decisions before each information state.
    parents: int64 [S], the sequence that leads to each information state.
    first: int64 [S + 1]; the sequences of information state s, one per legal action, are first[s] to first[s + 1] - 1.
    actions: int64 [sequences], the action that each sequence ends with; -1 for sequence 0.
    """

    def __init__(self, depths: Ints, parents: Ints, first: Ints, actions: Ints) -> None:
        self.parents, self.first, self.actions = parents, first, actions
        starts = np.searchsorted(depths, np.arange(depths.max(initial=-1) + 2))
        self._sizes = np.diff(first)
        # A layer holds the information states of one depth: their slice, the slice of their sequences, and the offset
        # in the latter at which each state's sequences begin. No state of a layer precedes another, so a layer is one
        # numpy operation.
        self._layers = [
            (slice(begin, end), slice(first[begin], first[end]), first[begin:end] - first[begin])
            for begin, end in pairwise(starts.tolist())
        ]

    @property
    def states(self) -> Ints:
        """The information state in which the last action of sequences 1, 2, ... is taken: int64 [sequences - 1]."""
        return np.repeat(np.arange(len(self.parents)), self._sizes)

    def legal(self, num_actions: int) -> NDArray[np.bool_]:
        """Return the legal actions of each information state: bool [S, num_actions]."""
        legal = np.zeros((len(self.parents), num_actions), np.bool_)
        # Each sequence but the empty one is one legal action of its information state.
        legal[self.states, self.actions[1:]] = True
        return legal

    def plan(self, behavior: Float64s) -> Float64s:
        """Return the plan of a player that takes the last action of sequence k with probability behavior[k].

        behavior: float64 [sequences], conditional on the information state; behavior[0] is not read.
        """
        plan = np.ones(len(self.actions))
        # From the first decisions to the last: the probability of a sequence is that of its parent times behavior.
        for states, sequences, _ in self._layers:
            reach = np.repeat(plan[self.parents[states]], self._sizes[states])
            plan[sequences] = reach * behavior[sequences]
        return plan

    def best_value(self, gains: Float64s) -> float:
        """Return the value of a best response.

        gains: float64 [sequences], the expected payoff (weighted by chance and the other player's plan) of the leaves
        at which each sequence is the player's last one, if the player takes all its actions with probability 1.
        """
        values = gains.copy()
        # Backward induction: each information state adds the value of its best action to the sequence before it. If
        # several states follow one sequence, bincount sums them; `values[parents] += best` would keep only the last.
        for states, sequences, starts in reversed(self._layers):
            best = np.maximum.reduceat(values[sequences], starts)
            values += np.bincount(self.parents[states], best, len(values))
        return float(values[0])


class SequenceForm:
    """A game of two players.

    players: their information states.
    leaves: int64 [L, 2], the last sequence of each player at each of the L terminal histories.
    payoffs: float64 [L, 2], the payoff of each player there, times the probability of the chance moves on the way.
    """

    def __init__(self, players: tuple[Decisions, Decisions], leaves: Ints, payoffs: Float64s) -> None:
        self.players = players
        self._leaves, self._payoffs = leaves, payoffs

    def values(self, plans: Plans) -> Float64s:
        """Return the expected payoff of each player, [2]."""
        # [L] the probability that the players reach each leaf; that of chance is part of the payoffs.
        values: Float64s = (plans[0][self._leaves[:, 0]] * plans[1][self._leaves[:, 1]]) @ self._payoffs
        return values

    def best_values(self, plans: Plans) -> Float64s:
        """Return the expected payoff of each player's best response to the other player's plan, [2]."""
        best = np.zeros(2)
        for player, decisions in enumerate(self.players):
            other_reach = plans[1 - player][self._leaves[:, 1 - player]]  # [L] probability of the other's sequence
            expected: Float64s = self._payoffs[:, player] * other_reach
            # bincount sums the leaves by the player's last sequence: [sequences]
            gains: Float64s = np.bincount(self._leaves[:, player], expected, len(decisions.actions)).astype(np.float64)
            best[player] = decisions.best_value(gains)
        return best

    def nash_conv(self, plans: Plans) -> float:
        """Return the sum of both players' gains by a best response."""
        return float((self.best_values(plans) - self.values(plans)).sum())


def mix_plans(members: Iterable[Plans], probabilities: Float64s) -> Plans:
    """Return the plans of a player that draws one of `members` before the match: the weighted average of each side."""
    first, second = np.zeros(1), np.zeros(1)  # broadcast to the shapes of the first member
    for member, probability in zip(members, probabilities.tolist(), strict=True):
        first, second = first + probability * member[0], second + probability * member[1]
    return first, second


def one_shot_form(payoffs: Float64s) -> SequenceForm:
    """Return the sequence form of a payoff table, float64 [rows, columns, 2]."""
    rows, columns = payoffs.shape[:2]
    zero = np.zeros(1, np.int64)  # of the only information state: its depth, and the empty sequence as its parent
    players = tuple(Decisions(zero, zero, np.array([1, 1 + n]), np.arange(-1, n)) for n in (rows, columns))
    leaves = np.indices((rows, columns)).reshape(2, -1).T + 1  # action a is sequence a + 1
    return SequenceForm((players[0], players[1]), leaves, payoffs.reshape(-1, 2))
