"""Guests are in the pool from the beginning, and stay when other snapshots leave."""

import json

import numpy as np
import pytest

from marl_app.league.league import League, TrainingProgress
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.players import GUEST, Guest, Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.thinning.meta import MetaThinning
from marl_app.league.thinning.oldest import Oldest
from marl_app.league.thinning.stride import Stride
from tests.league.test_league import outcomes

BOT, OLD = Guest("bot", "b" * 64, "random"), Guest("old", "0" * 64, "runs/x:main@0003")


def make_league(*guests: Guest, **settings: object) -> League:
    league = League([Learner("main")], Uniform(), EverySteps(100), **settings)
    league.invite(guests)
    return league


def freeze(league: League, steps: int) -> None:
    for decision in league.tick(TrainingProgress(steps, 1)):
        league.add_snapshot(decision.learner, f"{steps:064d}", steps, decision.reason)


def pool(league: League) -> list[str]:
    return [snapshot.player.id for snapshot in league.snapshots]


def test_a_guest_is_met_rated_and_recorded_like_any_snapshot() -> None:
    league = make_league(BOT, OLD)
    assert [(o.player, o.digest) for o in league.assign("main", 4, np.random.default_rng(0)).opponents] == [
        ("bot@0000", BOT.digest),
        ("old@0000", OLD.digest),
    ]
    league.record(outcomes("main", [("bot@0000", 30, 0, 10), ("old@0000", 10, 0, 30)]))
    freeze(league, 0)
    ratings = league.ratings()
    assert (
        ratings["main@0000"] == 0 and ratings["old@0000"] > 0 > ratings["bot@0000"]
    )  # the first snapshot of the run has 0
    assert league.snapshots[0].role == GUEST and league.snapshots[1].reason == "runs/x:main@0003"
    assert [games for _, games in league.bands("main").values()] == [0]  # guests have no age


@pytest.mark.parametrize("thinning", [Oldest(), Stride(), MetaThinning(0.02)], ids=lambda rule: type(rule).__name__)
def test_guests_stay_and_do_not_count_towards_the_limit(thinning: object) -> None:
    league = make_league(BOT, pool_limit=2, thinning=thinning)
    for steps in range(0, 600, 100):
        freeze(league, steps)
        assert pool(league)[0] == "bot@0000" and len(pool(league)) == min(3, 2 + steps // 100)
    assert pool(league)[-1] == "main@0005"


def test_guests_after_a_resume() -> None:
    before = make_league(BOT, OLD)
    freeze(before, 0)
    before.record(outcomes("main", [("bot@0000", 3, 0, 1), ("old@0000", 1, 0, 3), ("main@0000", 2, 0, 2)]))
    state = json.loads(json.dumps(before.state_dict()))
    new, changed = Guest("new", "1" * 64, "mcts_10"), Guest("old", "2" * 64, "runs/y")

    def resumed(*guests: Guest) -> League:
        league = make_league(*guests)
        league.load_state_dict(state)
        league.invite(guests)
        return league

    same, other = resumed(BOT, OLD), resumed(new, changed)
    assert same.snapshots == before.snapshots and same.ratings() == before.ratings()
    assert pool(other) == ["new@0000", "old@0000", "main@0000"]  # the bot is no longer a guest
    games = other.payoff.games("main", ["bot@0000", "old@0000", "main@0000"])
    assert games.tolist() == [0, 0, 4]  # another guest of the same name has no record


def test_a_guest_with_the_name_of_a_learner_is_refused() -> None:
    with pytest.raises(ValueError, match="the guest main has the name of a learner"):
        make_league(Guest("main", "0" * 64, "random"))
