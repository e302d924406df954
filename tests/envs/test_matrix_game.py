"""Payoffs, groups and scores of matrix games."""

import numpy as np
import pytest

from marl_app.envs.matrix_game import MatrixGame

ROCK_PAPER_SCISSORS = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
BATTLE_OF_THE_SEXES = [[[3, 2], [0, 0]], [[0, 0], [2, 3]]]


def test_zero_sum_pays_the_column_player_the_negative():
    env, rng = MatrixGame(9, ROCK_PAPER_SCISSORS), np.random.default_rng(0)
    env.reset(rng)
    every_pair = np.array([(row, column) for row in range(3) for column in range(3)])
    step = env.step([every_pair], rng)
    assert step.rewards[:, 0].tolist() == [0, -1, 1, 1, 0, -1, -1, 1, 0]  # the table, row by row
    assert step.rewards[:, 1].tolist() == [0, 1, -1, -1, 0, 1, 1, -1, 0]
    assert step.terminated.all() and step.over.all() and not step.truncated.any()
    # Rock meets paper (match 1): the column player has won.
    assert env.scores(np.array([0, 1, 2])).tolist() == [[0.5, 0.5], [0, 1], [1, 0]]


def test_general_sum_pays_both_from_the_table():
    env, rng = MatrixGame(2, BATTLE_OF_THE_SEXES), np.random.default_rng(0)
    env.reset(rng)
    step = env.step([np.array([[0, 0], [1, 1]])], rng)
    assert step.rewards.tolist() == [[3, 2], [2, 3]]
    assert env.scores(np.array([0, 1])).tolist() == [[1, 0], [0, 1]]  # the higher payoff wins


def test_zero_sum_scores_depend_on_the_size_of_the_payoff():
    env, rng = MatrixGame(3, [[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]]), np.random.default_rng(0)
    env.reset(rng)
    env.step([np.array([[0, 2], [0, 1], [1, 2]])], rng)
    # The score is 0.5 + payoff / (2 * 0.5), where 0.5 is the largest payoff: 0.5 -> 1, -0.25 -> 0.25, -0.05 -> 0.45.
    np.testing.assert_allclose(env.scores(np.arange(3)), [[1, 0], [0.25, 0.75], [0.45, 0.55]], rtol=1e-6)


def test_a_game_that_pays_nothing_is_a_draw():
    env, rng = MatrixGame(1, [[0, 0], [0, 0]]), np.random.default_rng(0)
    env.reset(rng)
    env.step([np.array([[0, 1]])], rng)
    assert env.scores(np.array([0])).tolist() == [[0.5, 0.5]]


def test_different_numbers_of_actions_make_two_groups():
    env, rng = MatrixGame(1, [[1, 2, 3], [4, 5, 6]]), np.random.default_rng(0)
    assert [(group.name, group.agents, group.action_space.n) for group in env.groups] == [
        ("row", (0,), 2),
        ("column", (1,), 3),
    ]
    env.reset(rng)
    step = env.step([np.array([[1]]), np.array([[2]])], rng)
    assert step.rewards.tolist() == [[6, -6]]


def test_an_illegal_action_is_an_error_that_names_the_agent():
    env, rng = MatrixGame(2, [[1, 2, 3], [4, 5, 6]]), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"illegal action 3 of player_1 in match 1: not one of 0\.\.2"):
        env.step([np.array([[0], [1]]), np.array([[0], [3]])], rng)


@pytest.mark.parametrize(
    "payoff", [[1, 2], [[1, 2], [3]], [[[1, 2, 3]]], [], [["a"]], [[float("nan")]]], ids=lambda payoff: str(payoff)
)
def test_a_table_of_another_shape_is_an_error_that_names_the_key(payoff):
    with pytest.raises(ValueError, match=r"env\.payoff must be a table"):
        MatrixGame(1, payoff)
