"""What cross-play says about its players: ratings, mixtures, and what no rating can say.

- Elo: Bradley and Terry's model fitted to all matches, with 95 % intervals from the curvature of its likelihood; one
  player is 0. If that is a fixed anchor, ratings compare across runs and days.
- OpenSkill, see `skill.py`.
- The mass of each player in the Nash equilibrium of the payoff and in alpha-rank: of those that are mixed, which
  anchors are not, for a strong one would be all there is to say.
- The cyclic share of the payoff (see `league/cycles.py`). Chance alone makes some of it; so it comes with what a
  ladder, the fitted ratings, shows in as many games: the 95th percentile of simulated tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.evaluation.next_pair import ranking_doubt
from marl_app.evaluation.results import CrossPlayResults
from marl_app.evaluation.skill import Skill, openskill
from marl_app.league import cycles
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.meta.nash import Nash
from marl_app.league.payoff import Floats
from marl_app.league.ratings import bradley_terry, covariance

Z = 1.96  # 95 %
LADDERS = 200  # simulated tables
SHARE = 95  # percentile of them


@dataclass(frozen=True, eq=False)
class Ranking:
    """Of n players, in the order of the results: `elo`, its interval `low` and `high`, and the masses `nash` and
    `alpha_rank`, [n] each; `skills`.

    `cyclic_share` and that of a ladder, 95th percentile; `planes` as `cycles.planes` gives them. `ranking_doubt`:
    the Elo by which neighbors are expected to be in the wrong order.
    """

    elo: Floats
    low: Floats
    high: Floats
    skills: list[Skill]
    nash: Floats
    alpha_rank: Floats
    cyclic_share: float
    ladder_cyclic_share: float
    planes: list[tuple[float, Floats]]
    ranking_doubt: float


def rank_players(results: CrossPlayResults, alpha_rank: MetaStrategy, seed: int) -> Ranking:
    """Work it out. `seed` decides in which order OpenSkill sees the matches, and what ladders are simulated."""
    zero = results.zero
    ratings = bradley_terry(results.points)
    errors = covariance(results.points, ratings)
    elo = ratings - ratings[zero]
    half = Z * np.sqrt(np.maximum(np.diag(errors) + errors[zero, zero] - 2 * errors[zero], 0.0))
    parts = cycles.decompose_flow(cycles.log_odds(results.win_rates, results.games), results.games)
    rng = np.random.default_rng(seed)
    return Ranking(
        elo=elo,
        low=elo - half,
        high=elo + half,
        skills=openskill(results.batches, len(results.players), zero, rng),
        nash=results.mixture(Nash()),
        alpha_rank=results.mixture(alpha_rank),
        cyclic_share=parts.cyclic_share,
        ladder_cyclic_share=ladder_cyclic_share(elo, results.games, rng),
        planes=cycles.planes(parts.cyclic),
        ranking_doubt=ranking_doubt(elo, errors),
    )


def ladder_cyclic_share(elo: Floats, games: Floats, rng: np.random.Generator) -> float:
    """What cyclic share a ladder with the ratings `elo` [n] shows in as many `games` [n, n]: the 95th percentile."""
    first, second = np.triu_indices(len(elo), 1)
    played = games[first, second].astype(np.int64)
    score = 1 / (1 + 10 ** ((elo[second] - elo[first]) / 400))
    shares = []
    for won in rng.binomial(played, score, (LADDERS, len(first))):
        rates = np.full(games.shape, 0.5)
        rates[first, second] = np.divide(won, played, out=np.full(len(won), 0.5), where=played > 0)
        rates[second, first] = 1 - rates[first, second]
        shares.append(cycles.decompose_flow(cycles.log_odds(rates, games), games).cyclic_share)
    return float(np.percentile(shares, SHARE))
