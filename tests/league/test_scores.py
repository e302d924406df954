"""Mean scores in the payoff, in addition to wins, and the meta-strategies computed from them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.rectified import Rectified
from marl_app.league.meta.nash import Nash
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.standing import Standing

PLAYERS = [f"p{i}" for i in range(12)]  # more than the first table holds, so that it grows
ROWS = st.tuples(st.sampled_from(PLAYERS), st.sampled_from(PLAYERS), *[st.integers(0, 5)] * 3)
BIASED = np.array([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])  # rock, paper, scissors of env=biased_rps


@given(st.sampled_from([1.0, 0.99, 0.5]), st.lists(ROWS, max_size=25))
def test_scores_of_wins_draws_and_losses_equal_the_win_rates(
    decay: float, rows: list[tuple[str, str, int, int, int]]
) -> None:
    with_scores, without_scores = Payoff(decay), Payoff(decay)
    for home, away, wins, draws, losses in rows:
        with_scores.record(home, away, wins, draws, losses, wins + draws / 2)
        without_scores.record(home, away, wins, draws, losses)
    for payoff in (with_scores, without_scores):
        payoff.copy_row("p0", "new")
        payoff.drop("p1")
    assert with_scores.state_dict() == without_scores.state_dict()  # to the last bit
    players = [*PLAYERS, "new"]
    rates = np.stack([with_scores.win_rates(player, players) for player in players])
    assert (with_scores.matrix(players) == rates).all()
    assert (with_scores.scores("p0", players) == rates[0]).all()


def test_scores_decay_like_games_and_are_mirrored() -> None:
    payoff = Payoff(0.99)
    payoff.record("a", "b", 1, 0, 0, 0.75)  # Kuhn poker: one chip of two
    payoff.record("a", "b", 0, 0, 1, 0.0)  # and two chips of two lost
    games = 0.99 + 1
    assert payoff.win_rates("a", ["b"]) == pytest.approx([0.99 / games])
    assert payoff.scores("a", ["b", "c"]) == pytest.approx([0.75 * 0.99 / games, 0.5])
    assert payoff.scores("b", ["a"]) == pytest.approx([1 - 0.75 * 0.99 / games])
    payoff.copy_row("a", "twin")
    assert payoff.scores("twin", ["b", "a"]) == pytest.approx([0.75 * 0.99 / games, 0.5])
    copy = Payoff(0.99)
    copy.load_state_dict(json.loads(json.dumps(payoff.state_dict())))
    assert copy.state_dict() == payoff.state_dict()


def biased_league() -> League:
    """Snapshots that play rock, paper and scissors, and a learner that plays rock; 100 matches each."""
    league = League([Learner("main")], Latest(), EverySteps(1), meta_strategy=Nash())
    pool = [league.add_snapshot("main", f"{number:064x}", number, "x").player.id for number in range(3)]
    for row in range(3):
        for column in range(row):
            won = 100 * (BIASED[row, column] > 0)
            league.payoff.record(pool[row], pool[column], won, 0, 100 - won, 100 * (0.5 + BIASED[row, column]))
    columns = [np.array([n]) for n in (0, 0, 0, 100, 100)]
    league.record(Outcomes("main", (pool[1],), ("rule",), *columns, np.array([25.0])))
    return league


def test_the_meta_strategy_uses_scores_instead_of_wins() -> None:
    league = biased_league()
    # With wins alone it would be plain rock-paper-scissors, a third each.
    assert league.view.mixture(Nash()) == pytest.approx([1 / 16, 10 / 16, 5 / 16])
    sizes = 16 / (1 * 10**10 * 5**5) ** (1 / 16)  # the exponential of that mixture's entropy
    assert Standing.from_league(league).meta_strategy_size == pytest.approx(sizes)
    assert league.payoff.win_rates("main", ["main@0001"]).tolist() == [0.0]
    assert league.payoff.scores("main", ["main@0001"]).tolist() == [0.25]


def test_rectified_uses_scores_instead_of_wins() -> None:
    league = biased_league()
    league.payoff.record("main", "main@0002", 40, 0, 60, 70.0)  # more losses than wins, but a mean score of 0.7
    [branch] = Rectified(UniformMixture()).branches(league.view, "main")
    assert branch.probabilities.tolist() == [0.5, 0.0, 0.5]  # no games; score below 0.5; score above 0.5


def test_negative_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Outcomes("main", ("main",), ("rule",), *[np.ones(1, np.int64)] * 5, np.array([-0.5]))
