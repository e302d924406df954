"""The effective number of players: small tables whose similarities and eigenvalues are computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.meta.nash import Nash
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.standing import Standing, perplexity, vendi_score

SQUARES = st.integers(1, 10).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1)))


@pytest.mark.parametrize("n", [1, 2, 30])
def test_copies_are_one_player(n: int) -> None:
    assert vendi_score(np.full((n, n), 0.5)) == pytest.approx(1)


def test_players_with_opposite_scores_count_in_full() -> None:
    # One player always wins and the other always loses: the similarity is 1 - 1 = 0. A payoff cannot reach this:
    # its diagonal is 0.5, so two players differ by at most 0.5 where they meet themselves and each other.
    assert vendi_score(np.array([[1.0, 1.0], [0.0, 0.0]])) == pytest.approx(2)
    # In a payoff, similarity 1/2: the eigenvalues of K/2 are 3/4 and 1/4.
    assert vendi_score(np.array([[0.5, 1.0], [0.0, 0.5]])) == pytest.approx((4 / 3) ** 0.75 * 4**0.25)


def test_rock_paper_and_scissors_are_two_point_seven_players() -> None:
    # Two rows differ by 0.5, 0.5 and 1, by 2/3 in the mean, so their similarity is 1/3. K/3 has 1/3 on its diagonal and
    # 1/9 elsewhere: eigenvalues 1/3 + 2/9 = 5/9, and 1/3 - 1/9 = 2/9 twice.
    score = vendi_score(np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]]))
    assert score == pytest.approx((9 / 5) ** (5 / 9) * (9 / 2) ** (4 / 9)) == pytest.approx(2.70, abs=0.005)


def test_copies_do_not_change_the_number() -> None:
    """A copy of each player changes nothing."""
    twice = np.repeat([0, 1, 2], 2)
    game = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    assert vendi_score(game[np.ix_(twice, twice)]) == pytest.approx(vendi_score(game))


@given(SQUARES, st.randoms(use_true_random=False))
def test_between_1_and_n_for_any_order_of_players(win_rates: np.ndarray, random: st.DataObject) -> None:
    n = len(win_rates)
    score = vendi_score(win_rates)
    assert 1 - 1e-9 <= score <= n + 1e-9
    order = list(range(n))
    random.shuffle(order)
    assert vendi_score(win_rates[np.ix_(order, order)]) == pytest.approx(score)


@pytest.mark.parametrize("n", [1, 2, 100])
def test_perplexity(n: int) -> None:
    assert perplexity(np.full(n, 1 / n)) == pytest.approx(n)
    assert perplexity(np.eye(n)[0]) == 1
    assert perplexity(np.array([0.5, 0.25, 0.25])) == pytest.approx(2**1.5)  # entropy 1/2 + 1/2 + 1/2 bits


def test_a_league_from_its_first_snapshot_on() -> None:
    league = League([Learner("main")], Uniform(), EverySteps(1), meta_strategy=Nash())
    assert Standing.from_league(league) == Standing({"main": 0.0}, None, None)
    league.add_snapshot("main", "a" * 64, 0, "first")
    assert Standing.from_league(league).effective_pool_size is None  # no games within the pool
    ones = np.ones(1, np.int64)
    league.record(Outcomes("main", ("main@0000",), ("all",), 0 * ones, 3 * ones, 0 * ones, ones, ones, 3.0 * ones))
    assert Standing.from_league(league).meta_strategy_size is None  # only the learner has games
    league.add_snapshot("main", "b" * 64, 1, "second")
    standing = Standing.from_league(league)
    # 3 of 4 games: rows (0.5, 0.25) and (0.75, 0.5), similarity 3/4; the second beats the first and is all of Nash.
    expected = (8 / 7) ** (7 / 8) * 8 ** (1 / 8)
    assert standing.effective_pool_size == pytest.approx(expected)
    assert standing.meta_strategy_size == pytest.approx(1)
    assert standing.ratings == league.ratings()
