"""Random legal actions: distribution, bounds and rows."""

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Group
from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.random_play import random_actions, rows_by_group


class Dials(MatrixGame):
    """A game with the given action space, and a mask if one is given."""

    mask = None

    def __init__(self, num_matches, action_space):
        super().__init__(num_matches, [[0]])
        self.groups = (Group("player", (0, 1), self.groups[0].observation_space, action_space),)

    def action_mask(self, matches, agents):
        return None if self.mask is None else np.tile(self.mask, (len(matches), 1))


def test_legal_actions_are_drawn_uniformly_and_illegal_ones_never():
    env = Dials(3000, spaces.MultiDiscrete([3, 2]))
    env.mask = [True, False, True, True, True]  # the second value of the first part is illegal
    [actions] = random_actions(env, np.random.default_rng(0))
    assert actions.shape == (3000, 2, 2) and actions.dtype == np.int64
    # 6000 draws with probability 1/2: four standard errors are 4 * sqrt(1/4 / 6000) = 0.026.
    np.testing.assert_allclose(np.bincount(actions[..., 0].ravel(), minlength=3) / 6000, [0.5, 0, 0.5], atol=0.03)
    np.testing.assert_allclose(np.bincount(actions[..., 1].ravel()) / 6000, [0.5, 0.5], atol=0.03)


def test_box_actions_stay_inside_finite_and_infinite_bounds():
    space = spaces.Box(np.array([-1, 0, -np.inf], np.float32), np.array([2, np.inf, np.inf], np.float32))
    [actions] = random_actions(Dials(500, space), np.random.default_rng(0))
    assert actions.dtype == np.float32 and all(space.contains(action) for action in actions.reshape(-1, 3))
    assert actions[..., 0].min() < -0.9 and actions[..., 0].max() > 1.9  # the whole of a finite range


def test_rows_are_split_by_group_and_empty_groups_are_left_out():
    env = MatrixGame(3, [[1, 2, 3]])  # groups: row (agent 0), column (agent 1)
    chosen = np.array([[False, True], [False, False], [False, True]])
    [(index, matches, agents, places)] = rows_by_group(env, chosen)
    assert (index, matches.tolist(), agents.tolist(), places.tolist()) == (1, [0, 2], [1, 1], [0, 0])
