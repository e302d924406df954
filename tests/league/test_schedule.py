"""Schedules freeze a learner under their conditions, and the reason is readable."""

import pytest

from marl_app.league.payoff import Payoff
from marl_app.league.players import MAIN_AGENT, Learner, Player, Snapshot
from marl_app.league.schedule import EveryIterations, EverySteps, TrainingProgress, WinRate
from marl_app.league.view import LeagueView, Tally


def view_of(tally: Tally, frozen_at: int = 1000) -> LeagueView:
    snapshot = Snapshot(Player("main", 0), "0" * 64, frozen_at, None, MAIN_AGENT)
    return LeagueView((Learner("main"),), (snapshot,), Payoff(), {"main": tally})


def test_every_steps_counts_from_the_last_freeze() -> None:
    schedule = EverySteps(500)
    assert schedule.due(view_of(Tally()), "main", TrainingProgress(1499, 1)) is None
    assert schedule.due(view_of(Tally()), "main", TrainingProgress(1500, 1)) == "500 agent steps since the last freeze"


def test_every_iterations() -> None:
    schedule = EveryIterations(3)
    due = [schedule.due(view_of(Tally()), "main", TrainingProgress(0, iteration)) for iteration in range(1, 7)]
    assert due == [None, None, "every 3 iterations"] * 2


GATE = WinRate(threshold=0.7, min_games=1000, agent_steps=100, timeout_factor=50)


def test_win_rate_returns_its_reason() -> None:
    # 0.78 over 1204 games: Wilson at 95% is [0.756, 0.802]
    reason = GATE.due(view_of(Tally(899, 80, 225)), "main", TrainingProgress(1100, 1))
    assert reason == "win rate 0.78 [0.76, 0.80] over 1,204 games"


def test_exactly_the_minimum_of_games_is_enough() -> None:
    assert GATE.due(view_of(Tally(1000, 0, 0)), "main", TrainingProgress(1100, 1)) is not None


@pytest.mark.parametrize(
    ("tally", "steps"),
    [
        (Tally(), 2000),  # no games
        (Tally(999, 0, 0), 2000),  # one game short of min_games
        (Tally(1000, 0, 0), 1099),  # one step short of agent_steps
        (Tally(720, 0, 280), 2000),  # 0.72 is above the threshold, but the low end of its interval, 0.69, is not
    ],
)
def test_win_rate_is_not_due(tally: Tally, steps: int) -> None:
    assert GATE.due(view_of(tally), "main", TrainingProgress(steps, 1)) is None


def test_the_same_win_rate_over_more_games_is_enough() -> None:
    reason = GATE.due(view_of(Tally(72_000, 0, 28_000)), "main", TrainingProgress(2000, 1))
    assert reason == "win rate 0.72 [0.72, 0.72] over 100,000 games"


def test_timeout() -> None:
    losing = view_of(Tally(0, 0, 9999))
    assert GATE.due(losing, "main", TrainingProgress(5999, 1)) is None
    assert GATE.due(losing, "main", TrainingProgress(6000, 1)) == "timeout: 5,000 agent steps since the last freeze"
    short_timeout = WinRate(threshold=0.7, min_games=1, agent_steps=100, timeout_factor=1)
    assert short_timeout.due(losing, "main", TrainingProgress(1099, 1)) is None
    assert (
        short_timeout.due(losing, "main", TrainingProgress(1100, 1)) == "timeout: 100 agent steps since the last freeze"
    )
    no_timeout = WinRate(threshold=0.7, min_games=1, agent_steps=1)
    assert no_timeout.due(losing, "main", TrainingProgress(10**12, 1)) is None


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="agent_steps"):
        EverySteps(0)
    with pytest.raises(ValueError, match="threshold"):
        WinRate(threshold=1.0, min_games=1, agent_steps=1)
    with pytest.raises(ValueError, match="agent_steps must be > 0"):
        WinRate(threshold=0.7, min_games=1, agent_steps=0)
    with pytest.raises(ValueError, match="timeout_factor"):
        WinRate(threshold=0.7, min_games=1, agent_steps=10, timeout_factor=0.9)
