"""Each alarm reports its symptom, and nothing without it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from marl_app.league.alarms import (
    ALARMS,
    Alarms,
    Reading,
    collapsed_diversity,
    cycling,
    forgetting,
    inflation,
    stale_pairs,
)
from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.standing import Standing


def reading(
    matches: int = 0, rating: float = 0.0, size: float | None = None, games: float = 100.0, **win_rates: float
) -> Reading:
    return Reading(matches, win_rates, dict.fromkeys(win_rates, games), rating, size)


def test_forgetting() -> None:
    before, between = reading(a=0.9, b=0.9, c=0.2), reading(a=0.7, b=0.95)
    now = reading(a=0.6, b=0.9, c=0.2, d=0.1)
    assert forgetting([before, between, now], drop=0.2, min_games=50) == (
        "forgetting: 1 of 4 snapshots are beaten less than before, a in 60% of games after 90%"
    )
    assert forgetting([before, between, now], drop=0.31, min_games=50) is None
    assert forgetting([before, between, now], drop=0.2, min_games=101) is None  # too few games
    assert forgetting([reading(games=9.0, a=0.9), now], drop=0.2, min_games=50) is None


def test_inflation() -> None:
    first, last = reading(rating=100, a=0.5, b=0.6, c=0.95), reading(rating=300, a=0.5, b=0.61, c=0.95, d=0.5)
    assert inflation([first, last], elo_gain=150, score_gain=0.05) == (
        "inflation: Elo rose by 200, the score against the 2 snapshots that were in the pool before by +0.01"
    )
    assert inflation([first, last], elo_gain=201, score_gain=0.05) is None
    assert (
        inflation([first, reading(rating=300, a=0.7, b=0.8)], elo_gain=150, score_gain=0.05) is None
    )  # the score rose
    assert (
        inflation([reading(rating=100, c=0.95), last], elo_gain=150, score_gain=0.05) is None
    )  # only a saturated opponent


def evaluated(score: float, low: float, high: float) -> dict[str, float]:
    return {"score": score, "low": low, "high": high, "games": 200}


def test_inflation_uses_anchors_that_can_show_an_improvement() -> None:
    half, same = evaluated(0.5, 0.43, 0.57), evaluated(0.56, 0.49, 0.63)
    first = replace(reading(rating=100, a=0.5), anchors={"random": evaluated(0.95, 0.9, 0.98), "mcts_10": half})
    last = replace(reading(rating=350, a=0.9), anchors={"random": evaluated(0.94, 0.9, 0.97), "mcts_10": same})
    text = "inflation: Elo rose by 250, the score against mcts_10 is 0.56 after 0.50"
    assert inflation([first, last], elo_gain=200, score_gain=0.05) == text  # although it rose against a snapshot
    better = replace(last, anchors=last.anchors | {"mcts_10": evaluated(0.6, 0.53, 0.67)})
    assert inflation([first, better], elo_gain=200, score_gain=0.05) is None
    # The Elo that counts is that of the first reading with the new evaluation: 150 more than at first.
    evaluated_then = replace(last, rating=250.0)
    assert inflation([first, evaluated_then, last], elo_gain=200, score_gain=0.05) is None
    # No new evaluation, or only of an anchor that is too weak: the snapshots decide.
    for anchors in (first.anchors, {"random": evaluated(0.94, 0.9, 0.97)}):
        assert inflation([first, replace(last, anchors=anchors)], elo_gain=200, score_gain=0.05) is None
        flat = replace(last, anchors=anchors, win_rates={"a": 0.5})
        assert "1 snapshots" in str(inflation([first, flat], elo_gain=200, score_gain=0.05))


def test_cycling() -> None:
    pool = dict.fromkeys("abcdef", 0.5)
    shares = [replace(reading(**pool), cyclic_share=share, cyclic_by_chance=0.1) for share in (0.3, 0.1, 0.2, 0.4)]
    text = "cycling: 40% of the pool's payoff is cyclic, after 10%"
    assert cycling(shares, rise=0.25, min_pool=6) == text
    assert cycling(shares, rise=0.31, min_pool=6) is None
    assert cycling(shares, rise=0.25, min_pool=7) is None
    assert cycling(shares[:3], rise=0.25, min_pool=6) is None
    assert cycling([*shares[:3], replace(shares[3], cyclic_by_chance=0.21)], rise=0.25, min_pool=6) is None
    assert cycling([*shares, reading(a=0.5)], rise=0.25, min_pool=6) is None  # the newest reading has no cyclic share


def test_stale_pairs() -> None:
    first, last = reading(1000, a=0.5, b=0.6), reading(3000, a=0.5, b=0.61, c=0.5)
    assert stale_pairs([first, last], share=0.5, min_matches=2000, min_pool=1) == (
        "stale pairs: 1 of 2 snapshots were not met in 2,000 matches"
    )
    assert stale_pairs([first, last], share=0.6, min_matches=2000, min_pool=1) is None
    assert stale_pairs([first, last], share=0.5, min_matches=2001, min_pool=1) is None
    assert stale_pairs([first, reading(3000, a=0.51, b=0.61)], share=0.0, min_matches=1, min_pool=1) is None
    assert (
        stale_pairs([first, last], share=0.5, min_matches=2000, min_pool=3) is None
    )  # two snapshots are in both readings
    # A win rate of 1 at the limit of the games does not show whether the snapshot was met.
    assert stale_pairs([reading(0, a=1.0), reading(3000, a=1.0)], share=0.5, min_matches=2000, min_pool=1) is None
    # A learner that never meets a snapshot (self-play) has no stale pairs; with other games, an unplayed pair is stale.
    alone = [reading(matches, games=0.0, a=0.5) for matches in (0, 3000)]
    assert stale_pairs(alone, share=0.5, min_matches=2000, min_pool=1) is None
    league = [replace(r, games={"a": 0.0, "b": r.matches}, win_rates={"a": 0.5, "b": 0.5}) for r in alone]
    assert str(stale_pairs(league, share=0.5, min_matches=2000, min_pool=1)).startswith("stale pairs: 1 of 2")


def test_collapsed_diversity() -> None:
    last = reading(size=1.2, a=0.5, b=0.5, c=0.5, d=0.5)
    assert collapsed_diversity([last], players=1.5, min_pool=4) == (
        "collapsed diversity: 4 snapshots play like 1.2 different players"
    )
    assert collapsed_diversity([last], players=1.2, min_pool=4) is None
    assert collapsed_diversity([last], players=1.5, min_pool=5) is None
    assert collapsed_diversity([reading(a=0.5)], players=1.5, min_pool=1) is None  # no games, so no size


@pytest.mark.parametrize(
    "alarm",
    [
        lambda readings: forgetting(readings, 0.0, 0.0),
        lambda readings: inflation(readings, 0.0, 1.0),
        lambda readings: cycling(readings, 0.0, 0),
        lambda readings: stale_pairs(readings, 0.0, 1, 1),
        lambda readings: collapsed_diversity(readings, 1.0, 1),
    ],
)
def test_there_is_no_alarm_at_first(alarm: Callable[[list[Reading]], str | None]) -> None:
    assert alarm([]) is None and alarm([reading()]) is None


@pytest.mark.parametrize(
    ("thresholds", "error"),
    [
        ({"forgetfulness": {}}, "unknown alarm 'forgetfulness': expected one of forgetting, inflation"),
        ({"forgetting": {"drop": 0.2}}, "forgetting: missing a required argument: 'min_games'"),
        ({"cycling": {"rise": 0.2, "min_pool": 3, "share": 1}}, "cycling: got an unexpected keyword argument 'share'"),
    ],
)
def test_unknown_alarms_and_thresholds_are_refused(thresholds: dict[str, dict[str, float]], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Alarms(thresholds)


def test_several_alarms() -> None:
    assert list(ALARMS) == ["forgetting", "inflation", "cycling", "stale_pairs", "collapsed_diversity"]
    alarms = Alarms({"forgetting": {"drop": 0.2, "min_games": 50}, "cycling": {"rise": 0.2, "min_pool": 3}})
    messages = alarms.check([reading(a=0.9), reading(a=0.5)])
    assert messages["cycling"] is None and str(messages["forgetting"]).startswith("forgetting: 1 of 1")


def test_a_reading_of_a_league() -> None:
    league = League([Learner("main")], Latest(), EverySteps(1))
    for number in range(2):
        league.add_snapshot("main", f"{number:064x}", number, "x")
    columns = [np.array([n], np.int64) for n in (0, 75, 0, 25, 0, 75)]
    league.record(Outcomes("main", ("main@0001",), ("rule",), *columns))
    standing = Standing.from_league(league)
    read = Reading.from_league(league, "main", standing)
    assert read == Reading(
        100, {"main@0000": 0.5, "main@0001": 0.75}, {"main@0000": 0, "main@0001": 100}, standing.ratings["main"], None
    )
    anchors = {"random": evaluated(0.5, 0.43, 0.57), "team": {"agent_return": 3.0}}
    assert Reading.from_league(league, "main", standing, anchors).anchors == {"random": anchors["random"]}


def test_a_league_that_begins_to_cycle() -> None:
    """Six snapshots on a ladder become a wheel, on which each also loses to old snapshots."""
    league = League([Learner("main")], Latest(), EverySteps(1))
    for number in range(6):
        league.add_snapshot("main", f"{number:064x}", number, "x")
    pool = [snapshot.player.id for snapshot in league.snapshots]
    readings = []
    for wheel in (False, True):
        for j, younger in enumerate(pool):
            for i, older in enumerate(pool[:j]):
                wins = 80.0 if not wheel or j - i < 3 else 50.0 if j - i == 3 else 20.0
                league.record_measured_pair(younger, older, wins, 0.0, 100.0 - wins, wins)
        readings.append(Reading.from_league(league, "main", Standing.from_league(league)))
    ladder, wheel_share = (reading.cyclic_share for reading in readings)
    # On the wheel each snapshot wins 80% of two pairs and loses two: all are equal, so all of the payoff is cyclic.
    assert ladder is not None and ladder < 0.3 and wheel_share == pytest.approx(1.0)
    assert readings[1].cyclic_by_chance < 0.2
    assert str(cycling(readings, rise=0.25, min_pool=6)).startswith("cycling: 100% of the pool's payoff")
    assert cycling(readings[:1], rise=0.0, min_pool=6) is None
