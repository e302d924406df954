"""The cyclic share of a payoff: the part that no ratings can explain.

Jiang et al. (2011), "Statistical ranking and combinatorial Hodge theory": an antisymmetric matrix, a flow between
players, is the sum of differences of ratings (the transitive or gradient part) and of a cyclic rest. The two are
orthogonal, so the squared norm of the flow is the sum of theirs. Balduzzi et al. (2018, "Re-evaluating evaluation";
2019, "Open-ended learning in symmetric zero-sum games") measure games this way, and show the cyclic part by its Schur
decomposition: planes in which players beat each other around a circle, like rock, paper and scissors.

A flow may be log-odds, for which Elo's model is purely transitive, or advantages (mean scores minus 0.5).

Where we differ: pairs may be weighted by their games, so a pair that never met has no influence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.league.payoff import Float64s, Payoff


@dataclass(frozen=True, eq=False)
class FlowParts:
    """A flow [n, n] as `ratings[i] - ratings[j]` plus `cyclic`, and the share of `cyclic` in its squared norm.

    `ratings` [n] have mean 0 (in each connected group of players that met). `cyclic` [n, n] is 0 for pairs that never
    met, and its weighted rows sum to 0. `cyclic_share` is in [0, 1]: 0 for a ladder, 1 for rock, paper and scissors,
    and 0 for a flow of zeros.
    """

    ratings: Float64s
    cyclic: Float64s
    cyclic_share: float


def decompose(payoff: Payoff, players: Sequence[str]) -> FlowParts:
    """Return the parts of the log-odds between `players`, each pair weighted by its games."""
    _, games = payoff.counts(players)
    return decompose_flow(log_odds(payoff.matrix(players), games), games)


def log_odds(scores: Float64s, games: Float64s) -> Float64s:
    """Return log-odds [n, n] of mean `scores` [n, n] estimated from `games` [n, n]; 0 for pairs without games.

    One draw is added to each pair, which keeps the odds finite where a player won or lost all games.
    """
    won, lost = scores * games + 0.5, (1 - scores) * games + 0.5
    flow: Float64s = np.log(won / lost)
    return flow


def decompose_flow(flow: Float64s, weights: Float64s | None = None) -> FlowParts:
    """Return the transitive and the cyclic part of an antisymmetric `flow` [n, n].

    `weights` [n, n], symmetric and >= 0, are those of the pairs (None: equal); the ratings are the weighted least
    squares fit of the flow. Raises ValueError for a flow that is not antisymmetric.
    """
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 2 or flow.shape != flow.T.shape or not np.allclose(flow, -flow.T):
        raise ValueError("a flow must be antisymmetric, [n, n] with flow.T = -flow")
    w = np.ones(flow.shape) if weights is None else np.array(weights, np.float64)
    np.fill_diagonal(w, 0.0)
    # The normal equations: Laplacian of the graph of games @ ratings = flow out of each player. The Laplacian is
    # singular (one constant per connected group); the pseudoinverse picks the ratings with mean 0 in each group.
    laplacian = np.diag(w.sum(axis=1)) - w
    ratings: Float64s = np.linalg.pinv(laplacian, hermitian=True) @ (w * flow).sum(axis=1)
    cyclic = np.where(w > 0, flow - (ratings[:, None] - ratings[None, :]), 0.0)
    total = float((w * flow**2).sum())
    share = float((w * cyclic**2).sum()) / total if total > 0 else 0.0
    return FlowParts(ratings, cyclic, min(1.0, share))


def cyclic_share_by_chance(flow: Float64s, games: Float64s) -> float:
    """Return the expected cyclic share of noise alone, in log-odds `flow` [n, n] estimated from `games` [n, n].

    The log-odds of a pair have a variance of 1 / wins + 1 / losses. Weighted by games, the noise spreads about evenly
    over all pairs, and ratings of n players absorb n - 1 of these dimensions; the rest is cyclic. 1 without games.
    """
    pairs = np.triu(games, 1) > 0  # [n, n] bool: True once for each pair that met
    pair_games, p = games[pairs], 1 / (1 + np.exp(-flow[pairs]))
    total = float((pair_games * flow[pairs] ** 2).sum())
    if total == 0:
        return 1.0
    players = int((pairs | pairs.T).any(axis=0).sum())  # players that met any other
    # 1 / wins + 1 / losses = 1 / (n p (1 - p)), with the draw that `log_odds` adds to the n games.
    noise = float((pair_games / ((pair_games + 1) * p * (1 - p))).sum())
    return min(1.0, max(0.0, noise / total * (1 - (players - 1) / len(pair_games))))


def planes(cyclic: Float64s) -> list[tuple[float, Float64s]]:
    """Return the cycles of an antisymmetric matrix [n, n], strongest first: (share, coordinates [n, 2]) of each plane.

    The real Schur decomposition: in each plane player i gains x_i y_j - y_i x_j from j, the area that the two span, so
    a player that is a little ahead on the circle beats those behind it. The planes add up to the matrix. The share is
    that of the squared norm; planes with a share of 0 are left out.
    """
    from scipy.linalg import schur  # here, because it takes a tenth of the time of loading an agent, which needs none

    rotations, basis = schur(np.asarray(cyclic, np.float64), output="real")
    speeds = np.diag(rotations, 1)  # 2x2 blocks [[0, s], [-s, 0]] along the diagonal; 0 between blocks
    total = float((speeds**2).sum())
    found = []
    for k in np.argsort(-np.abs(speeds), kind="stable"):
        if abs(speeds[k]) <= 1e-9 * np.sqrt(total):
            break
        orientation = np.array([1.0, np.sign(speeds[k])])  # mirror planes of negative speed: all turn the same way
        found.append((float(speeds[k] ** 2) / total, basis[:, k : k + 2] * orientation * np.sqrt(abs(speeds[k]))))
    return found
