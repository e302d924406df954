"""Maximal lotteries of games with known equilibria, and what copies of a player change: nothing."""

import numpy as np
import pytest

from marl_app.evaluation.lottery import MaximalLottery

ROCK_PAPER_SCISSORS = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])


def test_known_lotteries():
    assert MaximalLottery().solve(ROCK_PAPER_SCISSORS) == pytest.approx([1 / 3] * 3)
    ladder = np.array([[0.5, 0.4, 0.3], [0.6, 0.5, 0.4], [0.7, 0.6, 0.5]])
    assert MaximalLottery().solve(ladder).tolist() == [0, 0, 1]
    assert MaximalLottery().solve(np.array([[0.5]])).tolist() == [1]


def test_of_many_equilibria_the_one_with_the_smallest_norm():
    # Players 0 and 1 draw, and beat player 2 with different scores, so they are no copies: all mixtures of the two are
    # equilibria, and the one of smallest norm is equal shares.
    scores = np.array([[0.5, 0.5, 0.9], [0.5, 0.5, 0.8], [0.1, 0.2, 0.5]])
    assert MaximalLottery().solve(scores) == pytest.approx([0.5, 0.5, 0])


def test_two_populations():
    # Matching pennies, and a side whose second player is best against all.
    assert MaximalLottery().solve_side(np.eye(2)) == pytest.approx([0.5, 0.5])
    assert MaximalLottery().solve_side(np.array([[0.2, 0.4, 0.1], [0.3, 0.9, 0.6]])) == pytest.approx([0, 1])


@pytest.mark.parametrize("seed", range(20))
def test_copies_share_a_weight_and_change_no_other(seed):
    # Payoffs in eighths have many equilibria. A player is copied, and the order of all players is changed.
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    steps = rng.integers(-2, 3, (n, n))
    scores = 0.5 + (steps - steps.T) / 8
    weights = MaximalLottery().solve(scores)
    assert (weights @ (scores - 0.5) > -1e-6).all() and weights.sum() == pytest.approx(1)
    order = rng.permutation(np.append(np.arange(n), 0))  # two players 0
    copied = MaximalLottery().solve(scores[np.ix_(order, order)])
    # Different players may happen to be copies of one another: sums over all of them are compared.
    for scores_of_one in np.unique(scores, axis=0):
        same = (scores == scores_of_one).all(axis=1)
        assert copied[same[order]].sum() == pytest.approx(weights[same].sum(), abs=1e-6)
        assert np.ptp(copied[same[order]]) < 1e-9


def test_more_than_two_sides_are_refused():
    with pytest.raises(ValueError, match="two sides"):
        MaximalLottery().solve(np.zeros((2, 2, 2)))
