"""Alarms ring when they should, and only then."""

from collections.abc import Callable

import numpy as np
import pytest

from marl_app.league.alarms import Reading, collapsed_diversity, forgetting, inflation, stale_pairs
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
    assert forgetting([before, between, now], drop=0.2, min_games=101) is None  # too few to say so
    assert forgetting([reading(games=9.0, a=0.9), now], drop=0.2, min_games=50) is None


def test_inflation() -> None:
    first, last = reading(rating=100, a=0.5, b=0.6, c=0.95), reading(rating=300, a=0.5, b=0.61, c=0.95, d=0.5)
    assert inflation([first, last], elo_gain=150, score_gain=0.05) == (
        "inflation: Elo rose by 200, the score against the 2 snapshots that were there before by +0.01"
    )
    assert inflation([first, last], elo_gain=201, score_gain=0.05) is None
    assert inflation([first, reading(rating=300, a=0.7, b=0.8)], elo_gain=150, score_gain=0.05) is None  # it is better
    assert inflation([reading(rating=100, c=0.95), last], elo_gain=150, score_gain=0.05) is None  # cannot be told


def test_stale_pairs() -> None:
    first, last = reading(1000, a=0.5, b=0.6), reading(3000, a=0.5, b=0.61, c=0.5)
    assert stale_pairs([first, last], share=0.5, min_matches=2000) == (
        "stale pairs: 1 of 2 snapshots were not met in 2,000 matches"
    )
    assert stale_pairs([first, last], share=0.6, min_matches=2000) is None
    assert stale_pairs([first, last], share=0.5, min_matches=2001) is None
    assert stale_pairs([first, reading(3000, a=0.51, b=0.61)], share=0.0, min_matches=1) is None


def test_collapsed_diversity() -> None:
    last = reading(size=1.2, a=0.5, b=0.5, c=0.5, d=0.5)
    assert collapsed_diversity([last], share=0.5, min_pool=4) == (
        "collapsed diversity: 4 snapshots play like 1.2 different players"
    )
    assert collapsed_diversity([last], share=0.3, min_pool=4) is None
    assert collapsed_diversity([last], share=0.5, min_pool=5) is None
    assert collapsed_diversity([reading(a=0.5)], share=0.5, min_pool=1) is None  # nobody has played


@pytest.mark.parametrize(
    "alarm",
    [
        lambda readings: forgetting(readings, 0.0, 0.0),
        lambda readings: inflation(readings, 0.0, 1.0),
        lambda readings: stale_pairs(readings, 0.0, 1),
        lambda readings: collapsed_diversity(readings, 1.0, 1),
    ],
)
def test_nothing_is_known_at_first(alarm: Callable[[list[Reading]], str | None]) -> None:
    assert alarm([]) is None and alarm([reading()]) is None


def test_a_reading_of_a_league() -> None:
    league = League([Learner("main")], Latest(), EverySteps(1))
    for number in range(2):
        league.add_snapshot("main", f"{number:064x}", number, "x")
    columns = [np.array([n], np.int64) for n in (0, 75, 0, 25, 0, 75)]
    league.record(Outcomes("main", ("main@0001",), ("rule",), *columns))
    standing = Standing.of(league)
    read = Reading.of(league, "main", standing)
    assert read == Reading(
        100, {"main@0000": 0.5, "main@0001": 0.75}, {"main@0000": 0, "main@0001": 100}, standing.ratings["main"], None
    )
