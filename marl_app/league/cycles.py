"""How much of a payoff no ratings can explain: its cyclic share.

Jiang et al. (2011), "Statistical ranking and combinatorial Hodge theory": an antisymmetric matrix, a flow from players
to players, is the sum of differences of ratings (the transitive or gradient part) and of a rest that goes round in
circles; the two are orthogonal, so the squared norm of the flow is the sum of theirs. Balduzzi et al. (2018,
"Re-evaluating evaluation"; 2019, "Open-ended learning in symmetric zero-sum games") measure games so, and look at the
cyclic part through its Schur decomposition: planes in which players go round like rock, paper and scissors.

A flow may be log-odds, of which Elo's model is the transitive case, or advantages (mean scores minus 0.5).

Where we differ: pairs may weigh as much as they played, so a pair that never met says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import schur

from marl_app.league.payoff import Floats, Payoff


@dataclass(frozen=True, eq=False)
class FlowParts:
    """A flow [n, n] as `ratings[i] - ratings[j]` plus `cyclic`, and what share of its squared norm that is.

    `ratings` [n] have mean 0 (in each group of players that met one another). `cyclic` [n, n] is 0 for pairs that never
    met; what it sends to a player it takes away again. `cyclic_share` is in [0, 1]: 0 for a ladder, 1 for rock, paper
    and scissors, and 0 for a flow that is 0 throughout.
    """

    ratings: Floats
    cyclic: Floats
    cyclic_share: float


def decompose(payoff: Payoff, players: Sequence[str]) -> FlowParts:
    """The parts of the log-odds between `players`, each pair weighed by its games."""
    _, games = payoff.counts(players)
    return decompose_flow(log_odds(payoff.matrix(players), games), games)


def log_odds(scores: Floats, games: Floats) -> Floats:
    """Log-odds [n, n] of mean `scores` [n, n] estimated from `games` [n, n]; 0 for pairs without games.

    One game more, a draw, is added to each pair, which keeps the odds of those who never lost finite.
    """
    won, lost = scores * games + 0.5, (1 - scores) * games + 0.5
    flow: Floats = np.log(won / lost)
    return flow


def decompose_flow(flow: Floats, weights: Floats | None = None) -> FlowParts:
    """The transitive and the cyclic part of an antisymmetric `flow` [n, n].

    `weights` [n, n], symmetric and >= 0, say how much each pair counts (None: all alike); the ratings are those that
    explain most of the flow by weighted least squares. Raises ValueError for a flow that is not antisymmetric.
    """
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 2 or flow.shape != flow.T.shape or not np.allclose(flow, -flow.T):
        raise ValueError("a flow must be antisymmetric, [n, n] with flow.T = -flow")
    w = np.ones(flow.shape) if weights is None else np.array(weights, np.float64)
    np.fill_diagonal(w, 0.0)
    # The normal equations: the Laplacian of the graph of games times the ratings is the flow out of each player.
    laplacian = np.diag(w.sum(axis=1)) - w
    ratings: Floats = np.linalg.pinv(laplacian, hermitian=True) @ (w * flow).sum(axis=1)
    cyclic = np.where(w > 0, flow - (ratings[:, None] - ratings[None, :]), 0.0)
    total = float((w * flow**2).sum())
    share = float((w * cyclic**2).sum()) / total if total > 0 else 0.0
    return FlowParts(ratings, cyclic, min(1.0, share))


def cyclic_share_by_chance(flow: Floats, games: Floats) -> float:
    """The cyclic share that noise alone is expected to make in log-odds `flow` [n, n] estimated from `games` [n, n].

    A pair's log-odds have a variance of 1 / wins + 1 / losses. As the weights of the pairs are their games, the noise
    spreads about evenly over all directions, of which ratings can explain one for each player but the first.
    1 where there are no games.
    """
    met = np.triu(games, 1) > 0
    g, p = games[met], 1 / (1 + np.exp(-flow[met]))
    total = float((g * flow[met] ** 2).sum())
    if total == 0:
        return 1.0
    players = int((met | met.T).any(axis=0).sum())
    noise = float((g / ((g + 1) * p * (1 - p))).sum())
    return min(1.0, max(0.0, noise / total * (1 - (players - 1) / len(g))))


def planes(cyclic: Floats) -> list[tuple[float, Floats]]:
    """The cycles of an antisymmetric matrix [n, n], the strongest first: (share, coordinates [n, 2]) of each plane.

    The real Schur decomposition: in each plane player i gains x_i y_j - y_i x_j from j, which is the area that the two
    span, so who is a little further round beats who is behind. Adding the planes up gives the matrix. The share is of
    the squared norm; planes without any are left out.
    """
    rotations, basis = schur(np.asarray(cyclic, np.float64), output="real")
    speeds = np.diag(rotations, 1)  # 2x2 blocks [[0, s], [-s, 0]] along the diagonal; 0 between blocks
    total = float((speeds**2).sum())
    found = []
    for k in np.argsort(-np.abs(speeds), kind="stable"):
        if abs(speeds[k]) <= 1e-9 * np.sqrt(total):
            break
        turn = np.array([1.0, np.sign(speeds[k])])  # all planes are turned the same way
        found.append((float(speeds[k] ** 2) / total, basis[:, k : k + 2] * turn * np.sqrt(abs(speeds[k]))))
    return found
