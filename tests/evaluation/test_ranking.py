"""Ratings, mixtures and cycles of payoff tables with known results."""

import numpy as np
import pytest
from openskill.models import PlackettLuce

from marl_app.evaluation.ranking import rank_players
from marl_app.evaluation.results import Batch, CrossPlayResults
from marl_app.evaluation.skill import openskill
from marl_app.league.meta.alpha_rank import AlphaRank

ALPHA = AlphaRank(100.0, 50)


def table(wins, zero=0):
    """Return results in which row won `wins` [n, n] matches against column, half of the matches on each side."""
    results = CrossPlayResults([f"p{number}" for number in range(len(wins))], zero)
    for first, second in zip(*np.triu_indices(len(wins), 1), strict=True):
        won = [first] * wins[first][second] + [second] * wins[second][first]
        seats = [[first, second] if number % 2 else [second, first] for number in range(len(won))]
        scores = [[float(seat == winner) for seat in row] for row, winner in zip(seats, won, strict=True)]
        results.add_batch(int(first), int(second), Batch(np.array(seats), np.array(scores, np.float32)))
    return results


def test_rock_paper_scissors():
    # Equal Elo for all; mixtures of a third each; the payoff is entirely cyclic, in a single plane.
    ranking = rank_players(table([[0, 0, 20], [20, 0, 0], [0, 20, 0]]), ALPHA, 0)
    assert ranking.elo == pytest.approx([0, 0, 0], abs=1e-6)
    assert ranking.nash == pytest.approx([1 / 3] * 3) and ranking.alpha_rank == pytest.approx([1 / 3] * 3)
    assert ranking.cyclic_share == pytest.approx(1.0) and len(ranking.planes) == 1


def test_biased_rock_paper_scissors():
    # Win rates 0.5 + payoff of biased rock-paper-scissors: Nash (1/16, 10/16, 5/16), alpha-rank a third each.
    ranking = rank_players(table([[0, 25, 100], [75, 0, 45], [0, 55, 0]]), ALPHA, 0)
    assert ranking.nash == pytest.approx([0.0625, 0.625, 0.3125], abs=1e-6)
    assert ranking.alpha_rank == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_a_ladder_has_no_cyclic_share():
    # 400 Elo between neighbors: odds of 10, 10 and 100 to 1; the best player has all the mass.
    results = table([[0, 100, 10], [1000, 0, 100], [1000, 1000, 0]])
    ranking = rank_players(results, ALPHA, 0)
    assert ranking.elo == pytest.approx([0, 400, 800], abs=2)
    assert ranking.nash == pytest.approx([0, 0, 1]) and ranking.alpha_rank == pytest.approx([0, 0, 1], abs=1e-6)
    assert ranking.cyclic_share < 0.001 and ranking.cyclic_share <= ranking.ladder_cyclic_share < 0.05
    assert ranking.ranking_doubt < 0.01
    assert (ranking.low <= ranking.elo).all() and ranking.low[0] == ranking.high[0] == 0


def test_any_player_can_be_zero():
    wins = [[0, 3, 2], [7, 0, 4], [8, 6, 0]]
    results, last = table(wins), table(wins, zero=2)
    from_first, from_last = rank_players(results, ALPHA, 0), rank_players(last, ALPHA, 0)
    assert from_last.elo[2] == 0 and from_last.elo == pytest.approx(from_first.elo - from_first.elo[2])
    assert from_last.skills[2].mu == pytest.approx(25) and from_first.skills[0].mu == pytest.approx(25)


def test_the_interval_of_two_players_has_a_closed_form():
    # p = 0.75 of n = 100 games: the deviation of the log odds is 1 / sqrt(n p (1 - p)), and 400 / ln 10 Elo each.
    ranking = rank_players(table([[0, 25], [75, 0]]), ALPHA, 0)
    half = 1.96 * 400 / np.log(10) / np.sqrt(100 * 0.75 * 0.25)
    assert ranking.high[1] - ranking.elo[1] == pytest.approx(half, rel=1e-3)


def test_the_same_seed_gives_the_same_numbers():
    results = table([[0, 3, 2], [7, 0, 4], [8, 6, 0]])
    first, again, other = (rank_players(results, ALPHA, seed) for seed in (1, 1, 2))
    assert first.skills == again.skills and first.ladder_cyclic_share == again.ladder_cyclic_share
    assert first.skills != other.skills  # another order of matches


def test_openskill_of_one_match():
    # Plackett-Luce from 25 and 25/3 with tau 0; the package documents 27.6354 and 8.0659 with its default tau.
    batch = Batch(np.array([[0, 1]]), np.array([[1, 0]], np.float32))
    winner, loser = openskill([batch], 2, 1, np.random.default_rng(0))
    assert winner.mu - loser.mu == pytest.approx(2 * (27.6354 - 25), abs=2e-3) and loser.mu == 25
    assert winner.sigma == pytest.approx(8.0659, abs=1e-3) and winner.ordinal == winner.mu - 3 * winner.sigma


def test_openskill_of_a_player_on_two_sides():
    # Player 0 is first, and the two sides of player 1 share the second place; its rating is the mean of both updates.
    batch = Batch(np.array([[1, 0, 1]]), np.array([[0.25, 1, 0.25]], np.float32))
    single, double = openskill([batch], 2, 0, np.random.default_rng(0))
    model = PlackettLuce(tau=0.0)
    second, first, third = (
        team[0] for team in model.rate([[model.rating()] for _ in range(3)], scores=[0.25, 1, 0.25])
    )
    assert single.mu - double.mu == pytest.approx(first.mu - (second.mu + third.mu) / 2)
    assert double.sigma == pytest.approx((second.sigma + third.sigma) / 2)


def test_without_matches_all_are_equal():
    ranking = rank_players(CrossPlayResults(["a", "b"]), ALPHA, 0)
    assert ranking.elo == pytest.approx([0, 0]) and ranking.cyclic_share == 0 and not ranking.planes
