"""The league callbacks: snapshots are frozen, opponents assigned and results recorded as the league decides."""

import numpy as np
import pytest

from tests.rllib.runs import matches, running, watch, watch_messages, watch_requests

pytestmark = pytest.mark.usefixtures("ray_here")


def test_weights_are_in_the_store_before_the_league_adds_the_snapshot(tmp_path):
    with running(tmp_path, "env=rock_paper_scissors") as algorithm:
        stored, known, put, add = [], [], algorithm.store.put, algorithm.league.add_snapshot

        def watched_put(data):
            stored.append(put(data))
            return stored[-1]

        def watched_add(learner, digest, agent_steps, reason):
            known.append((digest, algorithm.store.has(digest), agent_steps))
            return add(learner, digest, agent_steps, reason)

        algorithm.store.put, algorithm.league.add_snapshot = watched_put, watched_add
        messages = watch_messages(algorithm)
        for _ in range(4):
            algorithm.train()
        del algorithm.store.put
        # Due after one iteration, then every 1,000 agent steps; an iteration has 512 to 1,024 of them.
        assert [digest for digest, _, _ in known] == stored and len(stored) >= 2
        assert all(stored_first for _, stored_first, _ in known)
        steps = [steps for _, _, steps in known]
        assert steps[0] == 1024 and all(
            later - earlier >= 1000 for earlier, later in zip(steps, steps[1:], strict=False)
        )
        texts = list(messages)
        assert texts[0] == "froze main@0000: the first generation"
        assert texts[1].startswith("froze main@0001:") and "agent steps since the last freeze" in texts[1]


@pytest.mark.parametrize("slots", [1, 4])
def test_a_request_has_no_more_new_opponents_than_free_slots(tmp_path, slots):
    overrides = ("league/matchmaker=uniform", "league.schedule.agent_steps=200", f"runtime.opponent_slots={slots}")
    with running(tmp_path, "env=rock_paper_scissors", *overrides) as algorithm:
        requests = watch_requests(algorithm)
        pools = []
        for _ in range(9):
            pools.append({snapshot.digest for snapshot in algorithm.league.snapshots})
            algorithm.train()
        for request, pool in zip(requests, pools, strict=True):
            assert request.learner == request.assignment.learner == "main"
            digests = {opponent.digest for opponent in request.assignment.opponents} - {None}
            assert digests <= pool and bool(digests) == bool(pool)
            assert len(digests) <= (slots if len(pool) <= slots else max(1, slots // 2))
        assert len(pools[-1]) > slots
        seeds = [request.seed for request in requests]
        assert len(set(seeds)) == len(seeds)


def test_payoff_and_records_hold_every_result_with_its_matchmaking_rule(tmp_path):
    overrides = ("league/matchmaker=latest_past", "league.decay_per_game=1.0")
    with running(tmp_path, "env=rock_paper_scissors", *overrides) as algorithm:
        fragments = watch(algorithm, "on_fragment")
        for _ in range(6):
            algorithm.train()
        league = algorithm.league
        pool = [snapshot.player.id for snapshot in league.snapshots]
        wins, games = league.payoff.counts(["main", *pool])
    recorded = matches(tmp_path)
    count = recorded[["wins", "draws", "losses"]].sum(axis=1)
    assert count.sum() == league.matches == 6 * 512  # every match lasts one step
    for iteration, arguments in enumerate(fragments, 1):
        outcomes, rows = arguments["fragment"].outcomes, recorded[recorded.iteration == iteration]
        assert rows.opponent.tolist() == list(outcomes.opponents) and rows.rule.tolist() == list(outcomes.rules)
        for column in ("wins", "draws", "losses", "scores", "steps"):
            np.testing.assert_array_equal(rows[column], getattr(outcomes, column))
        np.testing.assert_allclose(
            rows.win_rate, [reason.win_rate for reason in arguments["fragment"].reasons], rtol=1e-6
        )
        np.testing.assert_allclose(
            rows.probability, [reason.probability for reason in arguments["fragment"].reasons], rtol=1e-6
        )
    # With decay 1 nothing is forgotten, and no snapshot is played before it is frozen: the payoff is the sum of the
    # records, apart from what a snapshot inherits from the learner's row.
    for row, player in enumerate(pool, 1):
        rows = recorded[recorded.opponent == player]
        assert games[0, row] == pytest.approx(count[rows.index].sum())
        assert wins[0, row] == pytest.approx((rows.wins + rows.draws / 2).sum())
    rules = set(recorded.rule)
    assert {"self_play", "uniform"} <= {rule.split("/")[-1] for rule in rules} or len(rules) == 2


@pytest.mark.parametrize("pipeline", [False, True])
def test_matches_against_removed_snapshots_are_recorded(tmp_path, pipeline):
    """Snapshots leave a full pool while matches against them are running: no result is lost, and training goes on."""
    overrides = ("league/matchmaker=uniform", "league.schedule.agent_steps=200", "league.pool_limit=2")
    with running(tmp_path, "env=rock_paper_scissors", *overrides, f"runtime.pipeline={pipeline}".lower()) as algorithm:
        for _ in range(8):
            algorithm.train()
        league, report = algorithm.league, algorithm.report
        pool = [snapshot.player.id for snapshot in league.snapshots]
    recorded = matches(tmp_path)
    opponents = set(recorded.opponent) - {"main"}
    assert len(pool) == 2 < len(opponents) and "main@0000" in opponents and "main@0000" not in pool
    assert league.next_snapshot("main").generation == 8  # one per iteration
    assert recorded[["wins", "draws", "losses"]].to_numpy().sum() == league.matches == 8 * 512
    assert set(league.ratings()) == {"main", *pool} and report["league/pool_size"] == 2
    assert all(np.isfinite(report[key]) for key in ("league/elo", "league/elo_pool_mean", "league/win_rate/pool"))
