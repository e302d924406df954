"""The mixture of evolution with rare mutants: alpha-rank.

Omidshafiei et al. (2019), "alpha-Rank: multi-agent evaluation by evolution": a population of `population` copies of one
strategy meets a mutant of another, which takes the population over with its fixation probability. The share of time
that each strategy holds the population, in the long run, is its rank. It ignores magnitudes within a cycle: as
`selection` grows, rock, paper and scissors hold a third each, however unequal their wins.

One population is enough for a symmetric game. As in the paper, fitness is what mutant and resident earn against
each other, so a mutant with advantage a over the resident is fitter by 2a. With u = 2a `selection` and m = `population`
its fixation probability is (1 - exp(-u)) / (1 - exp(-m u)), and 1 / m for equals. Each of the n - 1 mutants is equally
likely. With more than two sides one mutant sits among residents. With a population per side the states are pairs, what
counts is how much more the mutant earns against the other side's resident, and the mutants of both sides are equally
likely.

Where we differ: the paper perturbs the chain of infinite selection so that it has only one stationary distribution.
One population of two sides needs no perturbation: of each two strategies one is at least as good as the other, and
takes over. Nor do two in a zero-sum game, where the pairs that evolution does not leave hang together (Biggar and
Shames, 2024). Where more than two sit together, each of two strategies may keep the other out, so no mutant's chance is
taken to be less than `LEAST`.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.meta.meta import advantages, side_advantages
from marl_app.league.payoff import Floats

LEAST = 1e-9


class AlphaRank:
    """The stationary distribution of the evolution. 100 players take a few milliseconds, two sides of 40 half a second.

    `selection` (the paper's alpha, > 0, may be infinite) multiplies advantages in [-0.5, 0.5].
    """

    def __init__(self, selection: float, population: int) -> None:
        if not selection > 0 or population < 2:
            raise ValueError(f"selection must be > 0 and population >= 2, not {selection} and {population}")
        self.selection = selection
        self.population = population

    def solve(self, scores: Floats) -> Floats:
        """Probabilities [n], summing to 1. Raises ValueError unless `scores` are as in `advantages`."""
        payoff = advantages(scores)
        n, others = len(payoff), payoff.ndim - 1
        if n == 1:
            return np.ones(1)
        resident, mutant = np.ogrid[:n, :n]
        earned = payoff[(mutant, *[resident] * others)]  # by a mutant among residents
        lost = payoff[(resident, mutant, *[resident] * (others - 1))]  # by a resident, where one of the others is one
        chances = fixation((earned - lost) / 2, self.selection, self.population)
        return stationary(np.maximum(chances, LEAST if others > 1 else 0.0) / (n - 1))

    def solve_side(self, scores: Floats) -> Floats:
        """Probabilities [m], summing to 1. Raises ValueError unless `scores` are finite and [m, n] with m, n >= 1."""
        payoff = side_advantages(scores)
        m, n = payoff.shape
        if m == 1:
            return np.ones(1)
        gains = (payoff.T[:, None, :] - payoff.T[:, :, None]) / 2  # [column, resident row, mutant row]
        losses = (payoff[:, :, None] - payoff[:, None, :]) / 2  # [row, resident column, mutant column]
        transitions = np.zeros((m, n, m, n))
        rows, columns = np.arange(m), np.arange(n)
        transitions[:, columns, :, columns] = fixation(gains, self.selection, self.population)
        transitions[rows, :, rows, :] += fixation(losses, self.selection, self.population)
        pairs = stationary(transitions.reshape(m * n, m * n) / (m + n - 2))
        mixture: Floats = pairs.reshape(m, n).sum(axis=1)
        return mixture


def stationary(transitions: Floats) -> Floats:
    """The share of time [n] in each state of a chain with these probabilities [from, to] of leaving it for another."""
    n = len(transitions)
    # The stationary p solves p (T - I) = 0 and sum p = 1; time is scaled by the fastest rate, for precision.
    generator = transitions.copy()
    np.fill_diagonal(generator, 0.0)
    generator -= np.diag(generator.sum(axis=1))
    generator /= np.abs(generator).max()
    share = np.maximum(np.linalg.solve(np.ones((n, n)) - generator.T, np.ones(n)), 0.0)
    normalized: Floats = share / share.sum()
    return normalized


def fixation(advantage: Floats, selection: float, population: int) -> Floats:
    """Fixation probabilities of mutants with `advantage` (any shape) over the residents."""
    equal = np.abs(advantage) < 1e-12
    # Beyond 700 nothing changes any more (exp(-700) = 1e-304); the bound only keeps infinity away.
    u = np.clip(2 * selection * np.where(equal, 1.0, advantage), -700.0, 700.0)
    wins = np.expm1(-np.abs(u)) / np.expm1(-population * np.abs(u))
    # For a disadvantage -u the fraction is exp(-(m - 1) u) times that of u.
    loses = wins * np.exp(-(population - 1) * np.abs(u))
    return np.where(equal, 1 / population, np.where(u > 0, wins, loses))
