"""Equal probabilities for all snapshots of the pool: the average of the past, as in fictitious play (Brown, 1951)."""

from __future__ import annotations

import numpy as np

from marl_app.league.payoff import Float64s


class UniformMixture:
    """The uniform meta-strategy."""

    def solve(self, scores: Float64s) -> Float64s:
        """Return 1 / n for each of n players."""
        return np.full(len(scores), 1 / len(scores))

    solve_side = solve  # the number of rows is all that matters
