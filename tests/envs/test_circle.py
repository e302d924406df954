"""The circle game: its scores against a plain implementation of the rule, and the environment."""

import numpy as np
import pytest

from marl_app.envs.checker import check_env
from marl_app.envs.circle import Circle, circle_scores


def plain_score(a: int, b: int, n: int) -> float:
    """Score of a against b: each beats the N//2 - 1 that follow it on the circle, and loses to as many before it."""
    reach = n // 2 - 1
    if (b - a) % n == 0:
        return 0.5
    if 1 <= (b - a) % n <= reach:
        return 1.0
    return 0.0 if (a - b) % n <= reach else 0.5


@pytest.mark.parametrize("n", [4, 5, 6, 7, 30, 31])
def test_scores_follow_the_rule(n):
    scores = circle_scores(n)
    assert scores.dtype == np.float64
    assert scores.tolist() == [[plain_score(a, b, n) for b in range(n)] for a in range(n)]


def test_four_strategies_by_hand():
    # Each beats its successor, loses to its predecessor, and draws with itself and the opposite strategy.
    assert circle_scores(4).tolist() == [[0.5, 1, 0.5, 0], [0, 0.5, 1, 0.5], [0.5, 0, 0.5, 1], [1, 0.5, 0, 0.5]]


def test_thirty_strategies_have_one_opposite_and_thirty_one_have_two():
    # 30 - 2 * 14 draws: itself and one opposite strategy; 31 - 2 * 14: itself and two.
    assert (circle_scores(30)[0] == 0.5).nonzero()[0].tolist() == [0, 15]
    assert (circle_scores(31)[0] == 0.5).nonzero()[0].tolist() == [0, 15, 16]


@pytest.mark.parametrize("n", [4, 5, 30, 31])
def test_no_strategy_beats_the_uniform_mixture_and_every_pure_strategy_is_beaten(n):
    scores = circle_scores(n)
    assert (scores + scores.T == 1).all()
    assert (scores.sum(axis=1) == n / 2).all()  # as many wins as losses
    assert scores @ np.full(n, 1 / n) == pytest.approx(np.full(n, 0.5))
    assert (scores.max(axis=0) == 1).all()  # every pure strategy is beaten


@pytest.mark.parametrize("n", [30, 31])
def test_rewards_and_scores_of_the_environment_are_the_table(n):
    env, rng = Circle(n * n, n), np.random.default_rng(0)
    env.reset(rng)
    every_pair = np.stack(np.divmod(np.arange(n * n), n), axis=1)
    step = env.step([every_pair], rng)
    scores = circle_scores(n).ravel()
    assert step.rewards[:, 0].tolist() == (2 * scores - 1).tolist()  # a win pays 1, a draw 0, a loss -1
    assert step.rewards[:, 1].tolist() == (1 - 2 * scores).tolist()
    assert env.scores(np.arange(n * n))[:, 0].tolist() == scores.tolist()
    assert step.over.all()


@pytest.mark.parametrize("n", [4, 30, 31])
def test_the_contract_is_kept(n):
    report = check_env(lambda matches: Circle(matches, n), steps=20)
    assert report.groups[0].action_space.n == n and report.mean_length == 1


@pytest.mark.parametrize("n", [3, 0, -30])
def test_too_few_strategies_are_an_error_that_names_the_key(n):
    with pytest.raises(ValueError, match=f"env.num_strategies must be at least 4, not {n}"):
        Circle(1, n)
