"""The payoff between snapshots: exact values, or matches played in parallel with training."""

import itertools

import numpy as np
import pytest

from marl_app.assembly.training import build
from marl_app.config.errors import ConfigError
from marl_app.players.agent import Agent
from tests.rllib.runs import running, small, train_until, watch_messages

pytestmark = pytest.mark.usefixtures("ray_here")

PAYOFFS = ("league.sims_per_entry=40", "league.schedule.agent_steps=500", "algorithm.lr=0.05")


def test_the_payoff_of_a_small_game_is_exact(tmp_path):
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
        env = algorithm.spec.make_env(1)
        expected = 0.5 + np.array([[x @ env.payoffs[:, :, 0] @ y for y in played] for x in played]) / (2 * env.stake)
        assert league.unmeasured_pairs() == []
        np.testing.assert_allclose(league.payoff.matrix(pool), expected, atol=1e-6)
        assert np.ptp(expected) > 0.02  # the snapshots play differently


def test_in_other_games_matches_fill_the_payoff(tmp_path):
    with running(tmp_path, "env=tic_tac_toe", *PAYOFFS) as algorithm:
        league = algorithm.league
        while len(league.snapshots) < 3:
            algorithm.train()
        league.schedule.agent_steps = 10**9  # freeze no more snapshots
        train_until(algorithm, lambda: not league.unmeasured_pairs())
        pool = [snapshot.player.id for snapshot in league.snapshots]
        _, games = league.payoff.counts(pool)
        assert (games == 40 * (1 - np.eye(3))).all()


def test_with_three_sides_matches_fill_every_lineup(tmp_path):
    """Kuhn poker with three players: the meta-game has three sides and is solved from the scores of the lineups."""
    game = ("env=kuhn_poker", "env.game='kuhn_poker(players=3)'", "league/meta=regret_matching")
    with running(tmp_path, *game, *PAYOFFS) as algorithm:
        league = algorithm.league
        while len(league.snapshots) < 3:
            algorithm.train()
        league.schedule.agent_steps = 10**9  # freeze no more snapshots
        train_until(algorithm, lambda: not league.unmeasured_lineups(3))
        table = league.view.lineups.game([s.player.id for s in league.snapshots], np.full((3, 3), np.nan))
        for lineup in itertools.combinations_with_replacement(range(3), 3):
            if len(set(lineup)) > 1:
                # The three scores of a lineup sum to 1.5; 42 matches of three players, in 6 seat orders.
                scores = [table[lineup[seat], lineup[seat - 1], lineup[seat - 2]] for seat in range(3)]
                assert sum(scores) == pytest.approx(1.5) and max(scores) < 1
        assert league.mixture().sum() == pytest.approx(1)


def test_a_run_that_ends_early_names_what_it_has_not_measured(tmp_path):
    with running(tmp_path, "env=tic_tac_toe", *PAYOFFS) as algorithm:
        messages = watch_messages(algorithm)
        while len(algorithm.league.snapshots) < 3:
            algorithm.train()
        algorithm.league.schedule.agent_steps = 10**9  # freeze no more snapshots
        missing = algorithm.league.unmeasured_pairs()
        assert ("main@0001", "main@0002") in missing  # of the snapshot that has just been frozen
        algorithm.events.fire("on_run_end", status="interrupted")
        first = " against ".join(missing[0])
        assert f"payoffs that the run had no time to measure ({len(missing)}): {first}" in messages[-1]
        train_until(algorithm, lambda: not algorithm.league.unmeasured_pairs())
        before = len(messages)
        algorithm.events.fire("on_run_end", status="finished")
        assert len(messages) == before


def test_the_nash_meta_strategy_needs_two_sides(tmp_path):
    with pytest.raises(ConfigError, match=r"league.meta: .*nash is for two sides: with more use regret_matching"):
        build(small(tmp_path, "env=kuhn_poker", "env.game='kuhn_poker(players=3)'", *PAYOFFS))


def test_without_sims_per_entry_no_payoff_is_measured(tmp_path):
    with running(tmp_path, "env=biased_rps", *PAYOFFS[1:]) as algorithm:
        for _ in range(4):
            algorithm.train()
        assert algorithm.league.unmeasured_pairs()
