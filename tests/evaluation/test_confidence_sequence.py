"""Confidence sequences of the mean: known closed form, coverage at all sample sizes at once, and widths."""

import numpy as np
import pytest
from scipy.special import betaln

from marl_app.evaluation.confidence_sequence import BINS, histogram, log_wealth, mean_intervals
from marl_app.league.payoff import wilson


def of_wins(wins, games):
    """Return the histogram [1, bins] of `wins` wins in `games` games."""
    return histogram(np.arange(games) < wins)[None]


@pytest.mark.parametrize(("wins", "games"), [(0, 5), (3, 8), (50, 100), (999, 1000)])
def test_of_wins_and_losses_the_wealth_is_that_of_a_beta_mixture(wins, games):
    # The likelihood of a Beta(1/2, 1/2) mixture of win rates, over that of the win rate m.
    for m in (0.2, 0.5, 0.9):
        exact = betaln(wins + 0.5, games - wins + 0.5) - betaln(0.5, 0.5)
        exact -= wins * np.log(m) + (games - wins) * np.log(1 - m)
        assert log_wealth(of_wins(wins, games), np.array([m]))[0] == pytest.approx(exact, abs=1e-3)


def test_values_between_points_of_the_grid_lower_the_wealth():
    # A single bet is concave in the logarithm; so is the exact wealth of k equal values above that of the histogram.
    values = np.random.default_rng(0).random(50)
    bets = np.sin((np.arange(500) + 0.5) * np.pi / 1000) ** 2
    for m in (0.1, 0.3, 0.5, 0.8):
        factors = values[:, None] * bets / m + (1 - values[:, None]) * (1 - bets) / (1 - m)
        exact = np.log(factors.prod(axis=0).mean())
        assert log_wealth(histogram(values)[None], np.array([m]))[0] <= exact
    assert histogram(values) @ np.linspace(0, 1, BINS + 1) == pytest.approx(values.sum())


def test_ends_are_symmetric_and_without_values_anything_is_possible():
    assert mean_intervals(np.zeros((1, BINS + 1)), 0.05).tolist() == [[0, 1]]
    low, high = mean_intervals(of_wins(13, 40), 0.05)[0]
    assert mean_intervals(of_wins(27, 40), 0.05)[0] == pytest.approx([1 - high, 1 - low], abs=1e-4)
    assert mean_intervals(of_wins(0, 9), 0.05)[0, 0] == 0 and mean_intervals(of_wins(9, 9), 0.05)[0, 1] == 1


def test_intervals_shrink_with_games_and_with_the_variance():
    # A half of a million games: within 0.3 %. All draws vary less than wins and losses of the same mean.
    widths = [np.ptp(mean_intervals(of_wins(games // 2, games), 0.05)) for games in (10, 100, 10_000, 1_000_000)]
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.006
    assert np.ptp(mean_intervals(histogram(np.full(100, 0.5))[None], 0.05)) < widths[1] / 2


@pytest.mark.parametrize("play", ["wins", "draws", "returns"])
def test_the_mean_is_inside_at_all_sample_sizes_at_once(play):
    # 100 sequences of 300 values of mean 0.3. At least 80 % of them are never wrong, and not many more: the intervals
    # are not needlessly wide. Wilson's intervals of the same confidence are wrong at some time in most sequences.
    rng = np.random.default_rng(1)
    alpha, runs, size, mean = 0.2, 100, 300, 0.3
    if play == "wins":
        values = (rng.random((runs, size)) < mean).astype(float)
    elif play == "draws":
        values = rng.choice([0, 0.5, 1], (runs, size), p=[0.55, 0.3, 0.15])
    else:
        values = rng.choice([0, 0.37, 0.63], (runs, size), p=[0.4, 0.3, 0.3])  # no points of the grid
    wrong = wilson_wrong = 0
    for row in values:
        counts = np.cumsum([histogram([value]) for value in row], axis=0)  # [size, bins], after each value
        wrong += (log_wealth(counts, np.full(size, mean)) >= -np.log(alpha)).any()
        games = np.arange(1, size + 1)
        ends = wilson(np.cumsum(row) / games, games, 1 - alpha)
        wilson_wrong += ((ends[:, 0] > mean) | (ends[:, 1] < mean)).any()
    assert 0.02 * runs < wrong <= alpha * runs
    if play == "wins":
        assert wilson_wrong > 0.5 * runs


def test_a_mean_that_changes_in_turns():
    # Wins on one side, losses on the other, in turns: a mean of a half, of which no bet can gain more than from draws.
    turns = histogram(np.tile([0.0, 1.0], 50))[None]
    assert log_wealth(turns, np.array([0.5]))[0] < 0
