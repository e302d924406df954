"""Reward normalization: rewards in units of the standard deviation of discounted returns."""

import numpy as np
import pytest

from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.simple_spread import SimpleSpread
from marl_app.moments import Moments
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.rllib.training.requests import make_request
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.disk import DiskStore
from tests.rllib.games import RPS
from tests.rllib.runners import collect, make_recorded_runner, make_runner, random_weights
from tests.rllib.runs import running

GAMMA = 0.8


def spread(num_matches):
    return SimpleSpread(num_matches, N=2, max_cycles=7)


def test_moments_of_discounted_returns(tmp_path):
    runner, env = make_recorded_runner(spread, DiskStore(tmp_path), gamma=GAMMA, steps=5, normalize_rewards=True)
    moments = Moments()
    for seed in range(4):  # matches continue from one fragment to the next
        moments.merge(collect(runner, random_weights(runner, 0), seed=seed, reward_scale=10.0**seed).reward_moments)
    returns = []
    for match in env.matches:
        so_far = np.zeros(2)
        for rewards in match.rewards:
            so_far = GAMMA * so_far + rewards
            returns.append(so_far)
    assert moments.count == np.size(returns) == 4 * 5 * 8 * 2
    assert moments.mean == pytest.approx(np.mean(returns), rel=1e-4)
    assert moments.scale == pytest.approx(1 / np.std(returns), rel=1e-4)


def test_training_rewards_are_scaled_and_reported_returns_are_not(tmp_path):
    fragments = []
    for scale in (1.0, 0.25):
        runner = make_runner(spread, DiskStore(tmp_path), gamma=GAMMA, steps=7, normalize_rewards=True)
        weights = random_weights(runner, 0, scale=0.0)  # all values are 0
        fragments.append(collect(runner, weights, reward_scale=scale))
    whole, quarter = (fragment.batches["agent"]["value_targets"] for fragment in fragments)
    np.testing.assert_allclose(quarter, whole / 4, rtol=1e-5)
    assert fragments[0].returns == fragments[1].returns < 0
    assert fragments[0].reward_moments == fragments[1].reward_moments


def test_scaled_returns_have_a_deviation_of_one(tmp_path):
    # One-shot: the return is the reward, 0, 70 or -70, and with values of 0 it is the value target.
    payoff = [[70 * entry for entry in row] for row in RPS]
    runner = make_runner(lambda n: MatrixGame(n, payoff), DiskStore(tmp_path), matches=64, normalize_rewards=True)
    weights = random_weights(runner, 0, scale=0.0)
    moments, deviations = Moments(), []
    for seed in range(3):
        fragment = collect(runner, weights, seed=seed, reward_scale=moments.scale)
        deviations.append(float(fragment.batches["player"]["value_targets"].std()))
        moments.merge(fragment.reward_moments)
    assert deviations[0] > 50 and deviations[1:] == pytest.approx([1, 1], abs=0.1)


def test_without_normalization_nothing_is_measured(tmp_path):
    runner = make_runner(spread, DiskStore(tmp_path))
    assert collect(runner, random_weights(runner, 0), reward_scale=9.0).reward_moments == Moments()


@pytest.mark.usefixtures("ray_here")
def test_a_run_learns_the_scale_and_a_checkpoint_keeps_it(tmp_path):
    sizes = ("algorithm.train_batch_size_per_learner=512", "runtime.num_envs_per_env_runner=32")
    overrides = ("env=simple_spread", "league/matchmaker=latest", "algorithm.normalize_rewards=true", *sizes)
    with running(tmp_path, *overrides) as algorithm:
        assert make_request(algorithm, 0).reward_scale == 1
        for _ in range(2):
            algorithm.train()
        moments, request = algorithm.totals["main"].reward_moments, make_request(algorithm, 0)
        assert moments.count == 2 * 512 * 3  # three agents
        assert request.reward_scale == moments.scale != 1
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
    with running(tmp_path, *overrides) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        assert algorithm.totals["main"].reward_moments == moments
