"""The league in use: assign, record, tick, freeze, save and resume."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.league import Assignment, League, Outcomes, TrainingProgress
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.mix import Mix
from marl_app.league.matchmakers.pfsp import Pfsp
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps


def make_league(*lineages: str, limit: int | None = None) -> League:
    half = Mix([{"probability": 0.5, "matchmaker": Latest()}, {"probability": 0.5, "matchmaker": Pfsp()}])
    learners = [Learner(lineage) for lineage in lineages or ("main",)]
    return League(learners, half, EverySteps(100), Payoff(0.999), limit)


def outcomes(learner: str, rows: list[tuple[str, int, int, int]]) -> Outcomes:
    """One row per (opponent, wins, draws, losses)."""
    results = np.array([row[1:] for row in rows], np.int64).reshape(-1, 3)
    zeros = np.zeros(len(rows), np.int64)
    scores = results @ [1, 0.5, 0]
    return Outcomes(learner, tuple(row[0] for row in rows), ("rule",) * len(rows), zeros, *results.T, zeros, scores)


def play(league: League, assignment: Assignment, rng: np.random.Generator) -> Outcomes:
    """300 matches, distributed by the shares; the learner scores 60%."""
    counts = rng.multinomial(300, assignment.shares)
    rows = []
    for opponent, n in zip(assignment.opponents, counts, strict=True):
        wins, draws, losses = rng.multinomial(n, [0.55, 0.1, 0.35]).tolist()
        rows.append((opponent.player, wins, draws, losses))
    return outcomes(assignment.learner, rows)


def run(league: League, rng: np.random.Generator, iterations: range) -> list[str]:
    """A whole run without learning; returns a log of all decisions of the league."""
    log = []
    for iteration in iterations:
        assignment = league.assign("main", 3, rng)
        log.append(f"{assignment.opponents} {assignment.shares.tolist()}")
        league.record(play(league, assignment, rng))
        for freeze in league.tick(TrainingProgress(iteration * 30, iteration)):
            snapshot = league.add_snapshot(freeze.learner, f"{iteration:064x}", iteration * 30, freeze.reason)
            log.append(str(snapshot))
    return log


@pytest.mark.parametrize("limit", [None, 4])
def test_a_resumed_league_equals_an_unbroken_one(limit: int | None) -> None:
    unbroken, rng = make_league(limit=limit), np.random.default_rng(3)
    expected = run(unbroken, rng, range(60))

    stopped, rng = make_league(limit=limit), np.random.default_rng(3)
    log = run(stopped, rng, range(25))
    saved = json.dumps(stopped.state_dict())
    resumed = make_league(limit=limit)
    resumed.load_state_dict(json.loads(saved))
    assert json.dumps(resumed.state_dict()) == saved
    log += run(resumed, rng, range(25, 60))

    assert log == expected
    assert resumed.state_dict() == unbroken.state_dict()
    assert resumed.ratings() == unbroken.ratings()
    assert len(resumed.snapshots) == (limit or 15)  # frozen every fourth iteration, after 120 steps


def test_the_first_generation_is_due_immediately_then_the_schedule_decides() -> None:
    league = make_league()
    (freeze,) = league.tick(TrainingProgress(0, 0))
    assert (freeze.learner, freeze.reason) == ("main", "the first generation")
    assert league.tick(TrainingProgress(0, 0)) == [freeze] and league.snapshots == ()  # a tick adds no snapshot
    league.add_snapshot("main", "a" * 64, 0, freeze.reason)
    assert league.tick(TrainingProgress(99, 1)) == []
    assert [f.reason for f in league.tick(TrainingProgress(100, 2))] == ["100 agent steps since the last freeze"]


def test_snapshots_have_a_parent_and_inherit_the_record() -> None:
    league = make_league()
    first = league.add_snapshot("main", "a" * 64, 0, "first")
    league.record(outcomes("main", [("main@0000", 75, 0, 25)]))
    second = league.add_snapshot("main", "b" * 64, 500, "why not")
    assert (first.parent, second.parent, second.player.id) == (None, "a" * 64, "main@0001")
    assert (second.agent_steps, second.role, second.reason) == (500, "main_agent", "why not")
    assert league.payoff.win_rates("main@0001", ["main@0000", "main"]) == pytest.approx([0.75, 0.5])
    assert league.view.tallies["main"].games == 0  # counts since the last freeze
    assert league.snapshots == league.view.snapshots_of("main") == (first, second)


def test_self_play_counts_as_matches_and_nothing_else() -> None:
    league = make_league()
    league.add_snapshot("main", "a" * 64, 0, "first")
    league.record(outcomes("main", [("main", 10, 5, 10), ("main@0000", 3, 1, 0)]))
    assert league.matches == 29
    assert league.view.tallies["main"].games == 4 and league.view.tallies["main"].win_rate == 3.5 / 4
    assert league.payoff.games("main", ["main", "main@0000"])[0] == 0


def test_rows_of_an_opponent_are_one_batch_in_any_order() -> None:
    """Sides and rules are rows of the same batch, so the order of env runners does not matter."""
    rows = [("main@0000", 90, 0, 10), ("main@0000", 10, 0, 90), ("main", 1, 0, 1)]
    states = []
    for order in (rows, rows[::-1]):
        league = make_league()
        league.add_snapshot("main", "a" * 64, 0, "first")
        league.record(outcomes("main", order))
        states.append(league.payoff.win_rates("main", ["main@0000"]).tolist())
    assert states[0] == states[1] == [0.5]


def test_other_learners_are_in_the_payoff_but_not_in_the_tally() -> None:
    league = make_league("main", "rival")
    league.record(outcomes("main", [("rival", 8, 0, 2)]))
    assert league.payoff.win_rates("rival", ["main"]) == pytest.approx([0.2])
    assert league.view.tallies["main"].games == 0  # the tally is against the pool


def test_ratings_start_at_generation_zero() -> None:
    league = make_league()
    assert league.ratings() == {"main": 0.0}  # no snapshot, no games
    league.add_snapshot("main", "a" * 64, 0, "first")
    league.record(outcomes("main", [("main@0000", 100, 0, 10)]))
    league.add_snapshot("main", "b" * 64, 1, "second")
    ratings = league.ratings()
    assert ratings["main@0000"] == 0.0
    assert ratings["main@0001"] == pytest.approx(ratings["main"])  # the same player, the same record
    assert ratings["main"] == pytest.approx(400, abs=2)  # ten wins per loss; smoothing takes a point


def test_bands_are_by_age_of_the_opponents() -> None:
    league = make_league()
    assert league.bands("main") == {}
    for generation in range(6):
        league.add_snapshot("main", f"{generation:064x}", generation, "x")
    league.record(outcomes("main", [("main@0000", 1, 0, 3), ("main@0001", 0, 0, 4), ("main@0005", 3, 0, 1)]))
    bands = league.bands("main")
    games = sum(0.999**k for k in range(4))  # four games at this decay
    assert bands["oldest"] == pytest.approx((1 / 8, 2 * games))
    assert bands["middle"] == (0.5, 0.0)
    assert bands["newest"] == pytest.approx((0.75, games))


def pool(league: League) -> list[str]:
    return [snapshot.player.id for snapshot in league.snapshots]


def freeze(league: League, *learners: str) -> None:
    """Freeze the learners; digests and agent steps are their generations."""
    for learner in learners:
        number = league.next_snapshot(learner).generation or 0
        league.add_snapshot(learner, f"{number:064x}", number, "x")


def test_the_oldest_leave_a_full_pool_and_generations_continue() -> None:
    league = make_league(limit=3)
    freeze(league, *["main"] * 3)
    assert pool(league) == ["main@0000", "main@0001", "main@0002"]
    freeze(league, "main", "main")
    assert pool(league) == ["main@0002", "main@0003", "main@0004"]
    assert league.next_snapshot("main").id == "main@0005"
    assert league.snapshots[0].parent == f"{1:064x}"  # the parent has left the pool
    assert league.payoff.state_dict()["players"] == ["main", *pool(league)]


def test_the_newest_snapshot_of_each_learner_stays() -> None:
    league = make_league("main", "rival", limit=2)
    freeze(league, "rival", *["main"] * 5)
    assert pool(league) == ["rival@0000", "main@0004"]  # the oldest stays: it is the rival's only snapshot
    freeze(league, "rival")
    assert pool(league) == ["main@0004", "rival@0001"]


@given(st.integers(2, 6), st.lists(st.sampled_from(["main", "rival"]), max_size=30))
def test_a_pool_within_its_limit(limit: int, frozen: list[str]) -> None:
    league, made = make_league("main", "rival", limit=limit), []
    for learner in frozen:
        freeze(league, learner)
        made.append(pool(league)[-1])
    assert len(set(made)) == len(made)  # no id is ever used again
    assert len(pool(league)) == min(limit, len(made))
    assert pool(league) == [player for player in made if player in pool(league)]  # oldest first
    newest = {max(player for player in made if player.startswith(learner)) for learner in set(frozen)}
    assert newest <= set(pool(league))
    # The pool holds the newest snapshots of all, and the newest of each learner.
    assert set(pool(league)) <= {*made[-limit:], *newest}
    assert set(league.payoff.state_dict()["players"]) == ({*frozen, *pool(league)})


def test_results_against_removed_snapshots_count_as_matches_only() -> None:
    """Such matches were running when their opponent left the pool."""
    league = make_league("main", "rival", limit=2)
    freeze(league, "main", "rival", "main")
    assert pool(league) == ["rival@0000", "main@0001"]
    before = league.payoff.state_dict()
    league.record(outcomes("main", [("main@0000", 5, 3, 2)]))
    assert league.matches == 10
    assert league.payoff.state_dict() == before and league.view.tallies["main"].games == 0
    assert league.payoff.games("main", ["main@0000"]) == [0]
    league.record(outcomes("main", [("main@0000", 1, 0, 0), ("rival@0000", 0, 0, 1), ("rival", 1, 0, 0)]))
    assert league.matches == 13 and league.view.tallies["main"].losses == league.view.tallies["main"].games == 1


@pytest.mark.parametrize("unknown", ["main@0002", "rival@0000", "other@0000", "other"])
def test_results_against_unknown_players_are_refused(unknown: str) -> None:
    league = make_league("main", "rival", limit=2)
    freeze(league, "main", "main")
    before = json.dumps(league.state_dict())
    with pytest.raises(ValueError, match="unknown players"):
        league.record(outcomes("main", [("main@0000", 1, 0, 0), (unknown, 1, 0, 0)]))
    assert json.dumps(league.state_dict()) == before


def test_ratings_continue_when_their_origin_leaves_the_pool() -> None:
    league, unlimited = make_league(limit=2), make_league()
    for each in (league, unlimited):
        freeze(each, "main")
        each.record(outcomes("main", [("main@0000", 100, 0, 10)]))
        freeze(each, "main")
        each.record(outcomes("main", [("main@0000", 100, 0, 10), ("main@0001", 60, 0, 50)]))
    assert league.ratings() == unlimited.ratings()
    freeze(league, "main")
    freeze(unlimited, "main")
    ratings = league.ratings()
    assert unlimited.ratings()["main@0000"] == 0 and "main@0000" not in ratings
    # The next origin keeps its Elo: about 400 points, from ten wins per loss against the removed snapshot.
    assert ratings["main@0001"] == unlimited.ratings()["main@0001"] == pytest.approx(400, abs=30)
    # 60 to 50 against the new origin; no other remaining snapshot has games.
    assert ratings["main"] - ratings["main@0001"] == pytest.approx(400 * np.log10(60 / 50), abs=1)
    assert ratings["main@0002"] == pytest.approx(ratings["main"])
    resumed = make_league(limit=2)
    resumed.load_state_dict(json.loads(json.dumps(league.state_dict())))
    assert resumed.ratings() == ratings
    for each in (league, resumed):
        freeze(each, "main")  # the new origin leaves too
        assert each.ratings()["main@0002"] == pytest.approx(ratings["main@0002"], abs=1)


def test_invalid_calls_are_refused_and_change_nothing() -> None:
    league = make_league()
    before = json.dumps(league.state_dict())
    with pytest.raises(ValueError, match="unknown players"):
        league.record(outcomes("main", [("main", 1, 0, 0), ("main@0009", 1, 0, 0)]))
    for call in (
        lambda: league.assign("unknown", 1, np.random.default_rng(0)),
        lambda: league.record(outcomes("unknown", [])),
        lambda: league.add_snapshot("main@0000", "a" * 64, 0, "x"),
        lambda: league.bands("unknown"),
    ):
        with pytest.raises(ValueError, match="no learner"):
            call()
    assert json.dumps(league.state_dict()) == before
    league.record(outcomes("main", []))  # an iteration without a finished match is fine
    assert json.dumps(league.state_dict()) == before


def test_outcomes_must_be_a_table_of_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        outcomes("main", [("main", 1, -1, 0)])
    one, two = np.ones(1, np.int64), np.ones(2, np.int64)
    with pytest.raises(ValueError, match="different lengths"):
        Outcomes("main", ("main",), ("rule",), one, two, one, one, one, one)


def test_invalid_leagues_are_refused() -> None:
    with pytest.raises(ValueError, match="different lineages"):
        make_league("main", "main")
    with pytest.raises(ValueError, match="different lineages"):
        League([], Latest(), EverySteps(1))
    with pytest.raises(ValueError, match="pool_limit=1 is too small: each of 2 learners keeps a snapshot"):
        make_league("main", "rival", limit=1)


def test_learners_may_change_at_a_resume() -> None:
    league = make_league()
    for digest in ("a" * 64, "b" * 64):
        league.add_snapshot("main", digest, 0, "")
        league.record(outcomes("main", [("main@0000", 3, 0, 1)]))
    resumed = make_league("other", "late")
    resumed.load_state_dict(json.loads(json.dumps(league.state_dict())))
    assert resumed.snapshots == league.snapshots  # of main, which no longer trains
    assert (
        resumed.payoff.games("main@0001", ["main@0000"]).sum() == league.payoff.games("main@0001", ["main@0000"]).sum()
    )
    assert resumed.payoff.games("main", ["main@0000"]).tolist() == [0]
    assert resumed.careers["late"].matches == 0 and resumed.matches == league.matches
    assert [decision.learner for decision in resumed.tick(TrainingProgress(0, 0))] == ["other", "late"]
    resumed.add_snapshot("other", "d" * 64, 0, "")
    assert set(resumed.ratings()) == {"other", "late", "main@0000", "main@0001", "other@0000"}
    back = make_league()
    back.load_state_dict(json.loads(json.dumps(resumed.state_dict())))
    assert back.next_snapshot("main").id == "main@0002"  # no id is used twice


def test_a_foreign_state_is_refused() -> None:
    state = make_league().state_dict()
    with pytest.raises(ValueError, match="version 99"):
        make_league().load_state_dict({**state, "version": 99})
    bad = {"player": "../x", "digest": "", "agent_steps": 0, "parent": None, "role": "", "reason": ""}
    with pytest.raises(ValueError, match=r"\.\./x"):
        make_league().load_state_dict({**state, "snapshots": [bad]})
