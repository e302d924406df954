"""Ratings compared with published and computed values, and finite for every table."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from marl_app.league.ratings import ELO_PER_LOGIT, bradley_terry, covariance


def test_golden_value() -> None:
    # What OpenSpiel's Elo fit (Hunter's MM, smoothing 0.01) returns for this table.
    assert bradley_terry([[0, 8, 9], [2, 0, 7], [1, 3, 0]]) == pytest.approx([383.62, 145.38, 0.0], abs=0.01)


def test_two_players_have_a_closed_form() -> None:
    # The most likely odds are the smoothed wins: (9.01 / 1.01); 400 log10 of that in points.
    assert bradley_terry([[0, 9], [1, 0]]) == pytest.approx([400 * np.log10(9.01 / 1.01), 0.0])


def test_players_of_a_cycle_have_equal_ratings() -> None:
    assert bradley_terry([[0, 9, 1], [1, 0, 9], [9, 1, 0]]) == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("wins", [np.zeros((0, 0)), np.zeros((1, 1)), np.zeros((4, 4)), np.full((3, 3), 5.0)])
def test_without_games_or_with_draws_only_ratings_are_equal(wins: np.ndarray) -> None:
    assert bradley_terry(wins).tolist() == pytest.approx([0.0] * len(wins))


def test_a_player_without_wins_is_last_and_finite() -> None:
    ratings = bradley_terry([[0, 5, 7], [5, 0, 6], [0, 0, 0]])
    assert np.isfinite(ratings).all() and ratings.argmin() == 2


def test_disconnected_groups_are_rated_within_and_centered_on_each_other() -> None:
    ratings = bradley_terry([[0, 5, 0, 0], [3, 0, 0, 0], [0, 0, 0, 2], [0, 0, 1, 0]])
    assert ratings == pytest.approx([103.486, 15.204, 118.690, 0.0], abs=1e-3)  # the values of OpenSpiel


@given(st.integers(0, 7).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1e9))))
def test_any_table_gives_finite_ratings_at_the_maximum(wins: np.ndarray) -> None:
    ratings = bradley_terry(wins)
    assert np.isfinite(ratings).all() and (ratings >= 0).all()
    won = wins + 0.01
    np.fill_diagonal(won, 0)
    expected = (won + won.T) * expected_scores(ratings)
    # At the maximum every player wins as often as expected, up to double precision.
    assert np.allclose(won.sum(1), expected.sum(1), rtol=1e-5, atol=1e-6 * (1 + wins.max(initial=0)))


def expected_scores(ratings: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, (ratings[None, :] - ratings[:, None]) * np.log(10) / 400))


def test_500_players_take_well_under_a_second_and_the_truth_is_recovered() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(500) * 4.0
    played = np.tril(rng.integers(0, 200, (500, 500)), -1) * (np.subtract.outer(range(500), range(500)) < 60)
    won = rng.binomial(played, expected_scores(truth))
    start = time.perf_counter()
    ratings = bradley_terry(won + (played - won).T)
    assert time.perf_counter() - start < 2.0  # 0.1 s when measured; the rest is for a busy machine
    assert np.abs(ratings - truth - (ratings - truth).mean()).max() < 40


@pytest.mark.parametrize("wins", [[[0, -1], [1, 0]], [[0, np.nan], [1, 0]], [[0, np.inf], [1, 0]], [[0, 1, 2]], [1.0]])
def test_tables_that_are_not_counts_are_refused(wins: list) -> None:
    with pytest.raises(ValueError, match="wins must be"):
        bradley_terry(wins)


def test_the_variance_of_a_difference() -> None:
    # Of two players: 1 / (n p (1 - p)) in log odds, with n = 100 games and p = 0.9. Through a third player in between
    # variances add up, as those of independent measurements do.
    def variance(wins: list[list[int]]) -> float:
        c = covariance(wins, bradley_terry(wins, 1e-6), 1e-6)
        return float(c[0, 0] + c[1, 1] - 2 * c[0, 1]) / ELO_PER_LOGIT**2

    direct = 1 / (100 * 0.9 * 0.1)
    assert variance([[0, 90], [10, 0]]) == pytest.approx(direct, rel=1e-4)
    assert variance([[0, 0, 90], [0, 0, 10], [10, 90, 0]]) == pytest.approx(2 * direct, rel=1e-3)
