"""Rank the players of cross-play: ratings, masses in mixtures, and the part of the payoff that no rating explains.

- Elo: Bradley and Terry's model fitted to all matches, with 95 % intervals from the curvature of the likelihood; one
  player has Elo 0. If that player is a fixed anchor, ratings are comparable across runs and days.
- OpenSkill, see `skill.py`.
- The mass of each player in a Nash equilibrium of the payoff (see `lottery.py`) and in alpha-rank. Anchors are left
  out: a strong one would get all the mass.
- The cyclic share of the payoff (see `league/cycles.py`). Noise alone makes it positive, so it is reported next to the
  share of a ladder: the 95th percentile over simulated tables with the fitted ratings and the same numbers of games.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.evaluation.lottery import MaximalLottery
from marl_app.evaluation.next_pair import ranking_doubt
from marl_app.evaluation.results import CrossPlayResults
from marl_app.evaluation.skill import Skill, openskill
from marl_app.league import cycles
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Float64s
from marl_app.league.ratings import bradley_terry, covariance

Z = 1.96  # quantile of the normal distribution for a 95 % interval
LADDERS = 200  # simulated tables
PERCENTILE = 95  # of their cyclic shares


@dataclass(frozen=True, eq=False)
class Ranking:
    """The ranking of n players, in the order of the results.

    elo, low, high: [n], Elo and the ends of its 95 % interval. skills: OpenSkill ratings.
    nash, alpha_rank: [n], the mass in each mixture; NaN for players that may not be mixed.
    cyclic_share, ladder_cyclic_share: in [0, 1]; the latter is the 95th percentile of a ladder's.
    planes: as `cycles.planes` returns them.
    ranking_doubt: the Elo by which neighbors are expected to be in the wrong order.
    """

    elo: Float64s
    low: Float64s
    high: Float64s
    skills: list[Skill]
    nash: Float64s
    alpha_rank: Float64s
    cyclic_share: float
    ladder_cyclic_share: float
    planes: list[tuple[float, Float64s]]
    ranking_doubt: float


def rank_players(results: CrossPlayResults, alpha_rank: MetaStrategy, seed: int) -> Ranking:
    """Return the ranking. `seed` determines the order of matches for OpenSkill, and the simulated ladders."""
    zero = results.zero
    ratings = bradley_terry(results.points)
    errors = covariance(results.points, ratings)
    elo = ratings - ratings[zero]
    # Elo is a difference of two estimates: Var(r_i - r_zero) = S_ii + S_zz - 2 S_iz; rounding may make it negative.
    half = Z * np.sqrt(np.maximum(np.diag(errors) + errors[zero, zero] - 2 * errors[zero], 0.0))
    parts = cycles.decompose_flow(cycles.log_odds(results.win_rates, results.games), results.games)
    # `parts`: the log odds of the win rates, divided into a ladder (differences of ratings) and a cyclic rest.
    rng = np.random.default_rng(seed)
    return Ranking(
        elo=elo,
        low=elo - half,
        high=elo + half,
        skills=openskill(results.batches, len(results.players), zero, rng),
        nash=results.mixture(MaximalLottery()),
        alpha_rank=results.mixture(alpha_rank),
        cyclic_share=parts.cyclic_share,
        ladder_cyclic_share=ladder_cyclic_share(elo, results.games, rng),
        planes=cycles.planes(parts.cyclic),
        ranking_doubt=ranking_doubt(elo, errors),
    )


def ladder_cyclic_share(elo: Float64s, games: Float64s, rng: np.random.Generator) -> float:
    """Return the 95th percentile of the cyclic share of simulated tables in which only ratings decide.

    `elo`: ratings [n]; `games`: the number of games [n, n] that each simulated table has, as the measured one.
    """
    # [pairs] of row first < column second: games, and the expected score of `first` by Elo's formula
    first, second = np.triu_indices(len(elo), 1)
    played = games[first, second].astype(np.int64)
    score = 1 / (1 + 10 ** ((elo[second] - elo[first]) / 400))
    shares = []
    # One simulated table per row of `won` [LADDERS, pairs]: binomial wins at the expected scores of the ratings.
    for won in rng.binomial(played, score, (LADDERS, len(first))):
        rates = np.full(games.shape, 0.5)
        rates[first, second] = np.divide(won, played, out=np.full(len(won), 0.5), where=played > 0)
        rates[second, first] = 1 - rates[first, second]
        shares.append(cycles.decompose_flow(cycles.log_odds(rates, games), games).cyclic_share)
    return float(np.percentile(shares, PERCENTILE))
