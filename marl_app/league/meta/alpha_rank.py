"""alpha-rank: the stationary distribution of an evolution with rare mutants.

Omidshafiei et al. (2019), "alpha-Rank: multi-agent evaluation by evolution": `population` copies of one strategy, the
residents, meet a mutant of another strategy, which takes over the population with its fixation probability. The rank of
a strategy is the share of time, in the long run, in which it holds the population. Ranks ignore magnitudes within a
cycle: as `selection` grows, rock, paper and scissors hold a third each, however unequal their wins.

One population is enough for a symmetric game. As in the paper, fitness is the payoff of mutant and resident against
each other, so a mutant with advantage a over the resident has a fitness that is higher by 2a. With u = 2a `selection`
and m = `population` its fixation probability is (1 - exp(-u)) / (1 - exp(-m u)), and 1 / m for equal fitness. Each of
the n - 1 mutants is equally likely. With more than two sides, one mutant plays among residents. With a population per
side the states are pairs of residents, the advantage is that over the resident of the same side against the resident of
the other side, and the mutants of both sides are equally likely.

Where we differ: the paper perturbs the chain of infinite selection to make its stationary distribution unique. One
population of two sides needs no perturbation: of any two strategies one is at least as good as the other, and takes
over. Neither do two populations in a zero-sum game, because the pairs that evolution does not leave are connected
(Biggar and Shames, 2024). With more than two sides, each of two strategies may keep the other out, so fixation
probabilities have the lower bound `MIN_FIXATION`.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.meta.meta import advantages, side_advantages
from marl_app.league.payoff import Float64s

MIN_FIXATION = 1e-9  # lower bound of fixation probabilities with more than two sides


class AlphaRank:
    """The stationary distribution of the evolution. 100 players take a few milliseconds, two sides of 40 half a second.

    `selection` (the paper's alpha, > 0, may be infinite) multiplies advantages in [-0.5, 0.5].
    """

    def __init__(self, selection: float, population: int) -> None:
        if not selection > 0 or population < 2:
            raise ValueError(f"selection must be > 0 and population >= 2, not {selection} and {population}")
        self.selection = selection
        self.population = population

    def solve(self, scores: Float64s) -> Float64s:
        """Return probabilities [n], summing to 1. Raises ValueError for `scores` that `advantages` refuses."""
        payoff = advantages(scores)
        n, others = len(payoff), payoff.ndim - 1
        if n == 1:
            return np.ones(1)
        resident, mutant = np.ogrid[:n, :n]
        # Payoffs [resident, mutant]: of a mutant among residents, and of a resident among residents and one mutant.
        mutant_payoffs = payoff[(mutant, *[resident] * others)]
        resident_payoffs = payoff[(resident, mutant, *[resident] * (others - 1))]
        probabilities = fixation((mutant_payoffs - resident_payoffs) / 2, self.selection, self.population)
        return stationary(np.maximum(probabilities, MIN_FIXATION if others > 1 else 0.0) / (n - 1))

    def solve_side(self, scores: Float64s) -> Float64s:
        """Return probabilities [m], summing to 1. Raises ValueError for `scores` that `side_advantages` refuses."""
        payoff = side_advantages(scores)
        m, n = payoff.shape
        if m == 1:
            return np.ones(1)
        gains = (payoff.T[:, None, :] - payoff.T[:, :, None]) / 2  # [column, resident row, mutant row]
        losses = (payoff[:, :, None] - payoff[:, None, :]) / 2  # [row, resident column, mutant column]
        # [row, column, new row, new column]: a mutant replaces the row or the column, never both.
        transitions = np.zeros((m, n, m, n))
        rows, columns = np.arange(m), np.arange(n)
        transitions[:, columns, :, columns] = fixation(gains, self.selection, self.population)
        transitions[rows, :, rows, :] += fixation(losses, self.selection, self.population)
        pairs = stationary(transitions.reshape(m * n, m * n) / (m + n - 2))  # state = row * n + column
        mixture: Float64s = pairs.reshape(m, n).sum(axis=1)
        return mixture


def stationary(transitions: Float64s) -> Float64s:
    """Return the stationary distribution [n] of a chain, from its probabilities [from, to] of leaving a state."""
    n = len(transitions)
    # The stationary p solves p G = 0 and sum(p) = 1, where G is the generator; both are added into one regular system.
    # The generator is scaled by its largest rate, for precision.
    generator = transitions.copy()
    np.fill_diagonal(generator, 0.0)
    generator -= np.diag(generator.sum(axis=1))
    generator /= np.abs(generator).max()
    share = np.maximum(np.linalg.solve(np.ones((n, n)) - generator.T, np.ones(n)), 0.0)
    normalized: Float64s = share / share.sum()
    return normalized


def fixation(advantage: Float64s, selection: float, population: int) -> Float64s:
    """Return the fixation probabilities of mutants with `advantage` (any shape) over the residents."""
    equal = np.abs(advantage) < 1e-12
    # Beyond 700 the result does not change (exp(-700) = 1e-304); the bound avoids infinities.
    u = np.clip(2 * selection * np.where(equal, 1.0, advantage), -700.0, 700.0)
    wins = np.expm1(-np.abs(u)) / np.expm1(-population * np.abs(u))
    # For a disadvantage -u the probability is exp(-(m - 1) u) times that of u.
    loses = wins * np.exp(-(population - 1) * np.abs(u))
    return np.where(equal, 1 / population, np.where(u > 0, wins, loses))
