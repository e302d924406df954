"""The payoff between snapshots, exact or by matches beside training."""

import time

import numpy as np
import pytest

from marl_app.rllib.agent import Agent
from tests.rllib.runs import running

pytestmark = pytest.mark.usefixtures("ray_here")

PAYOFFS = ("league.sims_per_entry=40", "league.schedule.agent_steps=500", "algorithm.lr=0.05")


def test_in_a_small_game_it_is_exact(tmp_path):
    """Biased rock-paper-scissors: the mean score of strategies x and y is 0.5 + x'Ay / (2 * largest payoff)."""
    with running(tmp_path, "env=biased_rps", *PAYOFFS) as algorithm:
        while len(algorithm.league.snapshots) < 4:
            algorithm.train()
        league = algorithm.league
        pool = [snapshot.player.id for snapshot in league.snapshots]
        played = [
            Agent(algorithm.store.get(snapshot.digest)).probabilities(np.zeros(1, np.float32), agent=0)
            for snapshot in league.snapshots
        ]
        env = algorithm.config.make_env(1)
        expected = 0.5 + np.array([[x @ env.payoffs[:, :, 0] @ y for y in played] for x in played]) / (2 * env.stake)
        assert league.unmeasured() == []
        np.testing.assert_allclose(league.payoff.matrix(pool), expected, atol=1e-6)
        assert np.ptp(expected) > 0.02  # they do play differently


def test_in_others_matches_are_played_beside_training(tmp_path):
    with running(tmp_path, "env=tic_tac_toe", *PAYOFFS) as algorithm:
        deadline = time.monotonic() + 100
        while len(algorithm.league.snapshots) < 3 or algorithm.league.unmeasured():
            assert time.monotonic() < deadline
            algorithm.train()
            if len(algorithm.league.snapshots) == 3:
                algorithm.league.schedule.agent_steps = 10**9  # no more of them
        pool = [snapshot.player.id for snapshot in algorithm.league.snapshots]
        _, games = algorithm.league.payoff.counts(pool)
        assert (games == 40 * (1 - np.eye(3))).all()


def test_without_it_nothing_is_measured(tmp_path):
    with running(tmp_path, "env=biased_rps", *PAYOFFS[1:]) as algorithm:
        for _ in range(4):
            algorithm.train()
        assert algorithm.league.unmeasured()
