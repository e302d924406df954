"""Repeat Previous: a memory gets the full return, and no memory the return of random guesses."""

import numpy as np
import pytest

from marl_app.envs.checker import check_env
from marl_app.envs.repeat_previous import RepeatPrevious


def play(env, rng, choose):
    """Play each match once: returns the shown symbols [length, B] and the rewards [length, B]."""
    env.reset(rng)
    every, shown, rewards = np.arange(env.num_matches), [], []
    while True:
        shown.append(env.observe(every, 0 * every).argmax(axis=1))
        step = env.step([choose(shown)[:, None]], rng)
        rewards.append(step.rewards[:, 0])
        if step.terminated.any():
            assert step.terminated.all() and step.over.all() and not step.truncated.any()
            return np.array(shown), np.array(rewards)
        assert not step.over.any()


@pytest.mark.parametrize(("num_symbols", "delay", "length"), [(4, 2, 16), (2, 1, 2), (3, 5, 9)])
def test_an_agent_that_remembers_gets_a_return_of_one(num_symbols, delay, length):
    env = RepeatPrevious(50, num_symbols, delay, length)
    check_env(lambda n: RepeatPrevious(n, num_symbols, delay, length))

    def right(shown):
        return shown[-1 - delay] if len(shown) > delay else 0 * shown[-1]

    shown, rewards = play(env, np.random.default_rng(0), right)
    assert len(rewards) == length and (rewards[:delay] == 0).all()
    np.testing.assert_allclose(rewards[delay:], 1 / (length - delay), rtol=1e-6)
    assert set(shown.ravel()) == set(range(num_symbols))
    _, wrong = play(env, np.random.default_rng(0), lambda shown: (right(shown) + 1) % num_symbols)
    assert (wrong == 0).all()


def test_shown_symbols_are_independent():
    # 2,000 matches of 14 paid steps, each right with probability 1/4: the mean's standard error is 0.0026.
    env = RepeatPrevious(2000)
    for choose in (lambda shown: shown[-1], lambda shown: shown[max(0, len(shown) - 2)], lambda shown: 0 * shown[-1]):
        _, rewards = play(env, np.random.default_rng(1), choose)
        assert rewards.sum(axis=0).mean() == pytest.approx(0.25, abs=0.0105)


def test_a_reset_of_some_matches_leaves_the_others_unchanged():
    env, rng = RepeatPrevious(3, 9, 1, 5), np.random.default_rng(0)
    env.reset(rng)
    env.step([np.zeros((3, 1), np.int64)], rng)
    before = env.observe(np.arange(3), np.zeros(3, np.int64))
    env.reset(rng, np.array([1]))
    after = env.observe(np.arange(3), np.zeros(3, np.int64))
    assert (before[[0, 2]] == after[[0, 2]]).all() and env._steps.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("settings", "key"), [({"num_symbols": 1}, "num_symbols"), ({"delay": 0}, "delay"), ({"delay": 16}, "length")]
)
def test_a_setting_out_of_range_is_an_error_that_names_the_key(settings, key):
    with pytest.raises(ValueError, match=rf"env\.{key} must be an integer"):
        RepeatPrevious(1, **settings)
