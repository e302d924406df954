"""The two-step game of the QMIX paper: every pair of moves."""

import numpy as np
import pytest

from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.two_step import TwoStep

RNG = np.random.default_rng(0)
CLIMBING = [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]


def test_every_pair_of_moves():
    # The first move of the first agent chooses the table; that of the second agent has no effect.
    firsts = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    for second, left, right in [((0, 0), 7, 0), ((0, 1), 7, 1), ((1, 0), 7, 1), ((1, 1), 7, 8)]:
        env = TwoStep(4)
        env.reset(RNG)
        matches = np.arange(4)
        assert (env.state(matches) == [1, 0, 0]).all()
        step = env.step([firsts], RNG)
        assert not step.rewards.any() and not step.terminated.any() and not step.over.any()
        assert env.observe(matches, matches * 0).tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
        step = env.step([np.tile(second, (4, 1))], RNG)
        assert step.rewards.tolist() == [[left, left], [left, left], [right, right], [right, right]]
        assert step.terminated.all() and step.over.all() and not step.truncated.any()
        assert (env.scores(matches) == 0.5).all()
    env.reset(RNG, np.array([2]))
    assert env.state(np.array([2])).tolist() == [[1, 0, 0]]


def test_an_illegal_action_is_an_error():
    env = TwoStep(1)
    env.reset(RNG)
    with pytest.raises(ValueError, match="illegal action 2 of agent_1"):
        env.step([np.array([[0, 2]])], RNG)


def test_a_cooperative_matrix_game_is_one_side_and_pays_both():
    env = MatrixGame(2, CLIMBING, cooperative=True)
    env.reset(RNG)
    assert env.sides == ((0, 1),)
    assert env.step([np.array([[0, 0], [1, 0]])], RNG).rewards.tolist() == [[11, 11], [-30, -30]]
    assert env.scores(np.arange(2)).tolist() == [[0.5], [0.5]]
