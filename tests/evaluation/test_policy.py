"""The random policy: legal and uniform actions in the shape of each kind of action space."""

from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces

from marl_app.players.policy import RandomPolicy

ROWS = 20_000
AGENTS = np.zeros(ROWS, np.int64)
NOTHING = np.zeros((ROWS, 1), np.float32)


def act(space: spaces.Space, masks: np.ndarray | None = None) -> np.ndarray:
    env = SimpleNamespace(groups=[SimpleNamespace(agents=(0,), action_space=space)])
    return RandomPolicy(env).act(NOTHING, masks, AGENTS, rng=np.random.default_rng(0), greedy=True)


def test_discrete_is_uniform_over_the_legal_actions():
    masks = np.tile([True, False, True, True, False], (ROWS, 1))
    actions = act(spaces.Discrete(5), masks)
    assert actions.shape == (ROWS,) and actions.dtype == np.int64
    # 1/3 each; 4 standard errors of a share of 1/3 among 20,000 are 0.0133.
    assert np.bincount(actions, minlength=5) / ROWS == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3, 0], abs=0.0133)


def test_discrete_without_a_mask_uses_every_action():
    assert np.bincount(act(spaces.Discrete(4))) / ROWS == pytest.approx([0.25] * 4, abs=0.0133)


def test_multi_discrete_is_uniform_and_legal_in_each_part():
    actions = act(spaces.MultiDiscrete([2, 3]), np.tile([True, True, False, True, True], (ROWS, 1)))
    assert actions.shape == (ROWS, 2)
    assert np.bincount(actions[:, 0]) / ROWS == pytest.approx([0.5, 0.5], abs=0.0142)
    assert np.bincount(actions[:, 1], minlength=3) / ROWS == pytest.approx([0, 0.5, 0.5], abs=0.0142)


def test_box_is_uniform_between_bounds_and_normal_without():
    space = spaces.Box(np.array([-1, -np.inf, 0], np.float32), np.array([3, np.inf, np.inf], np.float32))
    actions = act(space)
    assert actions.dtype == np.float32 and all(space.contains(action) for action in actions[:100])
    # Means: 1 of [-1, 3]; 0 of a normal; 0.3989 of a normal cut at 0 (half of its mean absolute value of 0.798).
    assert actions.mean(axis=0) == pytest.approx([1.0, 0.0, 0.3989], abs=0.04)
    assert actions[:, 0].std() == pytest.approx(4 / np.sqrt(12), rel=0.03)
