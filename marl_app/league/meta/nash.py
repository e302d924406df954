"""The mixture that no member of the pool beats: a Nash equilibrium of the empirical game, by linear programming.

In a symmetric zero-sum game it is the maximin strategy (von Neumann, 1928): maximize v such that the mixture wins at
least v against every player. There may be many; which of them is found depends only on the win rates.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from marl_app.league.payoff import Floats

COPY = 6  # decimals to which two records must agree for their players to be copies


class Nash:
    """A maximin mixture of the pool.

    Estimated win rates do not quite mirror each other, so (A - A.T) / 2 is solved. Copies (players with equal records)
    are solved as one and share its probability equally, which is fair to them and keeps the program small.
    """

    def solve(self, win_rates: Floats) -> Floats:
        """Probabilities [n], summing to 1. Raises ValueError unless `win_rates` are finite and [n, n] with n >= 1."""
        advantage = np.asarray(win_rates, np.float64)
        if advantage.ndim != 2 or advantage.shape != advantage.T.shape or not advantage.size:
            raise ValueError(f"win rates must be [n, n] with n >= 1, not {list(advantage.shape)}")
        if not np.isfinite(advantage).all():
            raise ValueError("win rates must be finite: some are NaN or infinite")
        advantage = (advantage - advantage.T) / 2
        _, kept, copy_of, copies = np.unique(
            advantage.round(COPY), axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        mixture = _maximin(advantage[np.ix_(kept, kept)])
        shared: Floats = (mixture / copies)[copy_of]
        return shared


def _maximin(advantage: Floats) -> Floats:
    """The mixture p [n] with the largest v such that p @ advantage >= v."""
    n = len(advantage)
    result = linprog(
        c=np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([-advantage.T, np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method="highs",
    )
    if not result.success:
        raise ValueError(f"no Nash equilibrium found: {result.message}")
    mixture = np.maximum(result.x[:n], 0.0)
    normalized: Floats = mixture / mixture.sum()
    return normalized
