"""Anchors: their strength equals published and measured values on both sides; errors for games they cannot play."""

from types import SimpleNamespace

import numpy as np
import pytest

from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.evaluation.anchors import evaluate_anchor
from marl_app.evaluation.play import play_matches
from marl_app.players.anchors import Mcts, simulations_of_anchor, unplayable_reason
from marl_app.players.policy import RandomPolicy


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_random_scores_a_half_against_itself():
    score = evaluate_anchor(ConnectFour, [RandomPolicy(ConnectFour(1))], "random", 2000, rng(), greedy=False)
    assert score.score == pytest.approx(0.5, abs=0.045)  # 4 standard errors; only alternating sides gives 0.5, not 0.55
    assert score.low < score.score < score.high and score.games == 2000


def test_random_against_ten_simulations():
    """0.10 in 100 games with OpenSpiel alone, and 0.116 in 2,000 games here."""
    score = evaluate_anchor(ConnectFour, [RandomPolicy(ConnectFour(1))], "mcts_10", 400, rng(), greedy=False)
    assert score.score == pytest.approx(0.116, abs=0.064)  # 4 standard errors
    # Wilson: z = 1.96, n = 400, and a half width near 1.96 sqrt(0.116 * 0.884 / 400) = 0.031.
    assert score.high - score.low == pytest.approx(0.063, abs=0.015)


def test_a_hundred_simulations_beat_ten_on_either_side():
    """0.975 in 400 games with OpenSpiel's own loop, 0.974 in 1,000 games here (0.983 in 60 games, published before)."""
    games = 60
    side = np.arange(games) % 2  # of the stronger player
    seats = (np.arange(2) != side[:, None]).astype(np.int64)
    players = (Mcts("connect_four", 100), Mcts("connect_four", 10))
    scores = play_matches(ConnectFour(games), players, seats, rng(), greedy=False)[np.arange(games), side]
    assert scores[side == 0].mean() > 0.85 and scores[side == 1].mean() > 0.85


def test_perfect_play_draws_tic_tac_toe():
    """With 2,000 simulations the solver finds every forced result from 9 cells, so it hardly ever loses to a copy."""
    seats = np.zeros((10, 2), np.int64)
    scores = play_matches(TicTacToe(10), (Mcts("tic_tac_toe", 2000),), seats, rng(), greedy=False)
    assert (scores == 0.5).sum() >= 18


def test_the_same_seed_gives_the_same_searches():
    first, again = (
        evaluate_anchor(ConnectFour, [RandomPolicy(ConnectFour(1))], "mcts_10", 40, rng(), greedy=False)
        for _ in range(2)
    )
    assert first == again


def test_any_openspiel_game_has_the_anchor_through_the_adapter():
    def breakthrough(num_matches: int) -> OpenSpiel:
        return OpenSpiel(num_matches, "breakthrough(rows=5,columns=4)")

    score = evaluate_anchor(breakthrough, [RandomPolicy(breakthrough(1))], "mcts_50", 20, rng(), greedy=False)
    assert score.score < 0.25


def fake(game: str | None, sides: int = 2) -> SimpleNamespace:
    return SimpleNamespace(openspiel_game=game, sides=tuple((side,) for side in range(sides)))


@pytest.mark.parametrize(
    ("env", "anchor", "reason"),
    [
        (fake("connect_four"), "mcts_10", None),
        (fake("leduc_poker"), "random", None),
        (fake("leduc_poker"), "mcts_10", "has chance events and has hidden information"),
        (fake("matrix_rps"), "mcts_10", "is not sequential"),
        (fake("phantom_ttt"), "mcts_10", "has hidden information"),
        (fake("backgammon"), "mcts_10", "has chance events"),
        (fake(None), "mcts_10", "names no OpenSpiel game"),
        (fake(None, sides=1), "mcts_10", "one side"),
    ],
)
def test_the_reason_why_an_anchor_cannot_play(env, anchor, reason):
    answer = unplayable_reason(env, anchor)
    assert answer is None if reason is None else reason in answer


def test_an_anchor_that_cannot_play_is_an_error():
    with pytest.raises(ValueError, match="mcts_10 is not applicable: kuhn_poker has chance events"):
        evaluate_anchor(
            lambda n: OpenSpiel(n, "kuhn_poker"), [RandomPolicy(ConnectFour(1))], "mcts_10", 2, rng(), greedy=True
        )


def test_an_odd_number_of_games_is_an_error():
    with pytest.raises(ValueError, match="games=201 must be a multiple of the 2 sides"):
        evaluate_anchor(ConnectFour, [RandomPolicy(ConnectFour(1))], "random", 201, rng(), greedy=False)


def test_an_openspiel_game_with_other_moves_is_an_error():
    class Wrong(ConnectFour):
        openspiel_game = "tic_tac_toe"

    with pytest.raises(ValueError, match="illegal action [78] in match"):  # tic-tac-toe has nine actions, not seven
        evaluate_anchor(Wrong, [RandomPolicy(ConnectFour(1))], "mcts_10", 20, rng(), greedy=False)


def test_the_number_of_simulations_is_read_from_the_name():
    assert (simulations_of_anchor("random"), simulations_of_anchor("mcts_1000")) == (None, 1000)
    for name in ("mcts_0", "mcts", "mcts_-3", "mcts_1e3", "minimax"):
        with pytest.raises(ValueError, match="unknown anchor"):
            simulations_of_anchor(name)
