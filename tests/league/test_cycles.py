"""The cyclic share of payoffs whose cycles are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.cycles import cyclic_share_by_chance, decompose, decompose_flow, log_odds, planes
from marl_app.league.payoff import Payoff

ROCK_PAPER_SCISSORS = np.array([[0.0, -0.5, 0.5], [0.5, 0, -0.5], [-0.5, 0.5, 0]])


@st.composite
def flows(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(2, 7))
    above = np.zeros((n, n))
    pairs = n * (n - 1) // 2
    above[np.triu_indices(n, 1)] = draw(st.lists(st.integers(-9, 9), min_size=pairs, max_size=pairs))
    return above - above.T


def ladder(ratings: np.ndarray) -> np.ndarray:
    return ratings[:, None] - ratings[None, :]


def test_a_ladder_is_transitive_and_rock_paper_scissors_cyclic() -> None:
    ratings = np.array([3.0, -1.0, 0.0, -2.0])
    parts = decompose_flow(ladder(ratings))
    assert parts.cyclic_share == pytest.approx(0, abs=1e-15) and parts.ratings == pytest.approx(ratings)
    parts = decompose_flow(ROCK_PAPER_SCISSORS)
    assert parts.cyclic_share == pytest.approx(1) and parts.ratings == pytest.approx([0, 0, 0])
    assert parts.cyclic == pytest.approx(ROCK_PAPER_SCISSORS)
    assert decompose_flow(np.zeros((3, 3))).cyclic_share == 0 == decompose_flow(np.zeros((0, 0))).cyclic_share


def test_norms_add_up() -> None:
    # A ladder of squared norm 2 (4 + 1 + 1) = 12 and a cycle of 2 (0.25 + 0.25 + 0.25) = 1.5.
    flow = ladder(np.array([1.0, 0.0, -1.0])) + ROCK_PAPER_SCISSORS
    parts = decompose_flow(flow)
    assert parts.cyclic_share == pytest.approx(1.5 / 13.5)
    assert parts.ratings == pytest.approx([1, 0, -1]) and parts.cyclic == pytest.approx(ROCK_PAPER_SCISSORS)


def test_elos_model_is_transitive_in_log_odds_only() -> None:
    ratings = np.array([0.0, 1.0, 2.5])
    win_rates = 1 / (1 + np.exp(-ladder(ratings)))
    games = np.full((3, 3), 1e9)
    assert decompose_flow(log_odds(win_rates, games)).cyclic_share == pytest.approx(0, abs=1e-12)
    assert decompose_flow(win_rates - 0.5).cyclic_share > 1e-3  # win rates, unlike log-odds, do not add up
    assert log_odds(np.array([[0.5, 1.0], [0.0, 0.5]]), np.array([[0, 1], [1, 0]])) == pytest.approx(
        np.array([[0, np.log(3)], [-np.log(3), 0]])
    )


def test_pairs_that_never_met_have_no_influence() -> None:
    flow = ladder(np.array([2.0, 0.0, -2.0]))
    flow[0, 2] = flow[2, 0] = 0.0  # unknown, which is not a draw
    games = np.array([[0, 5, 0], [5, 0, 5], [0, 5, 0]])
    assert decompose_flow(flow).cyclic_share > 0.3
    parts = decompose_flow(flow, games)
    assert parts.cyclic_share == pytest.approx(0, abs=1e-15) and parts.ratings == pytest.approx([2, 0, -2])
    # The ratings of two groups that never met have mean 0 in each.
    apart = decompose_flow(np.array([[0.0, 2, 0], [-2, 0, 0], [0, 0, 0]]), np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    assert apart.ratings == pytest.approx([1, -1, 0]) and apart.cyclic_share == pytest.approx(0)


def test_decomposition_of_a_payoff() -> None:
    payoff = Payoff()
    for winner, loser in (("paper", "rock"), ("scissors", "paper"), ("rock", "scissors")):
        payoff.record(winner, loser, 75, 0, 25)
    players = ["rock", "paper", "scissors", "well"]
    assert decompose(payoff, players).cyclic_share == pytest.approx(1)
    for loser in players[:3]:
        payoff.record("well", loser, 75, 0, 25)
    # Every pair has odds of about 3: half of the squared norm, that of 3 of 6 pairs, is cyclic.
    parts = decompose(payoff, players)
    assert parts.cyclic_share == pytest.approx(0.5)
    assert parts.ratings == pytest.approx(np.log(75.5 / 25.5) * np.array([-0.25, -0.25, -0.25, 0.75]))


@given(flows(), st.integers(0, 2**32 - 1))
def test_the_order_of_players_does_not_matter_and_the_parts_are_orthogonal(flow: np.ndarray, seed: int) -> None:
    parts = decompose_flow(flow)
    order = np.random.default_rng(seed).permutation(len(flow))
    permuted = decompose_flow(flow[np.ix_(order, order)])
    assert permuted.cyclic_share == pytest.approx(parts.cyclic_share, abs=1e-9)
    assert permuted.ratings == pytest.approx(parts.ratings[order], abs=1e-9)
    assert parts.cyclic.sum(axis=1) == pytest.approx(np.zeros(len(flow)), abs=1e-9)
    assert (ladder(parts.ratings) * parts.cyclic).sum() == pytest.approx(0, abs=1e-6)
    assert ladder(parts.ratings) + parts.cyclic == pytest.approx(flow)


@given(flows())
def test_planes_add_up(flow: np.ndarray) -> None:
    found = planes(flow)
    total = sum((np.outer(xy[:, 0], xy[:, 1]) - np.outer(xy[:, 1], xy[:, 0]) for _, xy in found), np.zeros(flow.shape))
    assert total == pytest.approx(flow, abs=1e-6)
    shares = [share for share, _ in found]
    assert shares == sorted(shares, reverse=True) and (not shares or sum(shares) == pytest.approx(1))


def test_rock_paper_scissors_is_one_plane_with_three_points_on_a_circle() -> None:
    ((share, xy),) = planes(ROCK_PAPER_SCISSORS)
    assert share == pytest.approx(1)
    assert (xy**2).sum(axis=1) == pytest.approx([1 / np.sqrt(3)] * 3)  # sin 120 degrees of its square is 0.5


def test_matrices_that_are_not_antisymmetric_are_refused() -> None:
    for flow in (np.ones((2, 2)), np.zeros((2, 3)), np.zeros(3)):
        with pytest.raises(ValueError, match="antisymmetric"):
            decompose_flow(flow)


def test_the_cyclic_share_of_noise():
    """Ten players, 200 games per pair. Equal: all is noise, of which ratings absorb 9 of 45 dimensions: 0.8 is cyclic.

    10 Elo apart: a pair's noise in log-odds has a variance of 4 / 200; the flow's mean square is that of i - j, 18.3,
    times that of a step, 0.0576. 0.8 * 0.02 / (0.061 + 0.02) = 0.2.
    """
    rng, games = np.random.default_rng(0), np.full((10, 10), 200.0) - 200.0 * np.eye(10)
    for elo, expected in ((10.0, 0.2), (0.0, 0.8)):
        steps = (np.arange(10)[:, None] - np.arange(10)) * elo
        shares, expected_shares = [], []
        for _ in range(50):
            wins = np.triu(rng.binomial(200, 1 / (1 + 10 ** (-steps / 400))), 1)
            scores = np.triu(wins / 200, 1) + np.tril(1 - wins.T / 200, -1) + np.eye(10) / 2
            flow = log_odds(scores, games)
            shares.append(decompose_flow(flow, games).cyclic_share)
            expected_shares.append(cyclic_share_by_chance(flow, games))
        assert np.mean(shares) == pytest.approx(expected, abs=0.03)
        assert np.mean(expected_shares) == pytest.approx(expected, abs=0.03)
    assert cyclic_share_by_chance(np.zeros((2, 2)), np.zeros((2, 2))) == 1.0
    assert cyclic_share_by_chance(np.zeros((0, 0)), np.zeros((0, 0))) == 1.0
