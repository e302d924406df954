"""The circle game: rock-paper-scissors with many strategies, the smallest game in which self-play fails.

N strategies form a circle; each beats the W = N // 2 - 1 strategies that follow it, loses to the W before it, and draws
with itself and with those opposite. Every pure strategy is beaten by W others, so no pure strategy is safe; the uniform
mixture is beaten by no strategy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.matrix_game import MatrixGame


def circle_scores(num_strategies: int) -> NDArray[np.float64]:
    """Return the score of each strategy (row) against each (column): 1, 0.5 or 0, float64 [N, N]; S + S.T = 1.

    Raises ValueError for fewer than 4 strategies, of which none would beat another.
    """
    if num_strategies < 4:
        raise ValueError(f"env.num_strategies must be at least 4, not {num_strategies}")
    position = np.arange(num_strategies)
    # int64 [N, N]: steps along the circle from the strategy of the row to the strategy of the column, in 0..N-1.
    ahead = (position[None, :] - position[:, None]) % num_strategies
    reach = num_strategies // 2 - 1
    wins, losses = (ahead >= 1) & (ahead <= reach), (ahead >= num_strategies - reach)
    return np.where(wins, 1.0, np.where(losses, 0.0, 0.5))


class Circle(MatrixGame):
    """`num_matches` plays of the circle game; a win pays 1, a loss -1. Actions: the strategies, 0 to N-1.

    Otherwise as in a matrix game. Raises ValueError for fewer than 4 strategies.
    """

    def __init__(self, num_matches: int, num_strategies: int) -> None:
        self.strategy_scores = circle_scores(num_strategies)
        super().__init__(num_matches, (2 * self.strategy_scores - 1).tolist())
