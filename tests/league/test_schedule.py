"""Schedules freeze a learner under their conditions, and the reason is readable."""

import json

import pytest

from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.payoff import Payoff
from marl_app.league.players import MAIN_AGENT, Learner, Player, Snapshot
from marl_app.league.schedule import EveryIterations, EverySteps, Plateau, TrainingProgress, WinRate
from marl_app.league.view import LeagueView, Tally


def view_of(tally: Tally, frozen_at: int = 1000) -> LeagueView:
    snapshot = Snapshot(Player("main", 0), "0" * 64, frozen_at, None, MAIN_AGENT)
    return LeagueView((Learner("main"),), (snapshot,), Payoff(), {"main": tally})


def test_every_steps_counts_from_the_last_freeze() -> None:
    schedule = EverySteps(500)
    assert schedule.due(view_of(Tally()), "main", TrainingProgress(1499, 1)) is None
    assert schedule.due(view_of(Tally()), "main", TrainingProgress(1500, 1)) == "500 agent steps since the last freeze"


def paced() -> EverySteps:
    return EverySteps(None, share_of_run=0.1, most_agent_steps=500_000)


def test_without_agent_steps_a_slow_game_is_frozen_in_every_tenth_of_the_run() -> None:
    schedule = paced()
    view = view_of(Tally(), frozen_at=0)
    # 300 steps/s in a run of 900 s: a tenth of it is 90 s, 27,000 steps.
    assert schedule.due(view, "main", TrainingProgress(26_700, 1, 89 / 900)) is None
    assert schedule.due(view, "main", TrainingProgress(27_000, 2, 90 / 900)) is not None
    frozen = view_of(Tally(), frozen_at=27_000)
    # The number does not follow the clock from then on: a machine that is busy for a while does not change it.
    assert schedule.due(frozen, "main", TrainingProgress(53_999, 3, 0.9)) is None
    assert schedule.due(frozen, "main", TrainingProgress(54_000, 4, 0.9)) == "27,000 agent steps since the last freeze"


def test_a_resumed_schedule_keeps_what_it_measured() -> None:
    first, resumed = paced(), paced()
    first.due(view_of(Tally()), "main", TrainingProgress(20_000, 1, 0.2))  # looked at late: 10,000 per tenth
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    late = TrainingProgress(31_000, 2, 0.05)  # the run goes on with a limit four times as large
    assert resumed.due(view_of(Tally(), frozen_at=21_000), "main", late) == "10,000 agent steps since the last freeze"
    assert paced().due(view_of(Tally(), frozen_at=21_000), "main", late) is None


def test_a_fast_game_and_a_run_without_limits_freeze_at_the_most() -> None:
    for shares in ((0.02, 0.5), (None, None)):  # 20,000 steps/s for 900 s: 1.8 million in a tenth of the run
        schedule = paced()
        for steps, share in zip((500_000, 9_000_000), shares, strict=True):
            frozen = view_of(Tally(), frozen_at=steps - 500_000)
            assert schedule.due(frozen, "main", TrainingProgress(steps - 1, 1, share)) is None
            assert schedule.due(frozen, "main", TrainingProgress(steps, 2, share)) is not None


def test_the_steps_of_all_learners_count_and_given_steps_are_exact() -> None:
    schedule = paced()
    # Two of three learners had their turn: the tenth of the run is 30,000 steps, and no learner is frozen for less.
    progress = TrainingProgress({"main": 20_000, "a": 10_000, "b": 0}, 1, 0.1)
    assert schedule.due(view_of(Tally(), frozen_at=0), "main", progress) is None
    exact = EverySteps(10**18, share_of_run=0.1, most_agent_steps=500_000)
    assert exact.due(view_of(Tally()), "main", TrainingProgress(10**9, 1, 1.0)) is None


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


def test_win_rate_and_plateau_fit_slow_games_too() -> None:
    # 20,000 agent steps were played in the first tenth of the run: that is the interval from now on.
    gate = WinRate(0.7, 1, None, timeout_factor=2, share_of_run=0.1, most_agent_steps=500_000)
    losing, winning = view_of(Tally(0, 0, 9999), frozen_at=0), view_of(Tally(9999, 0, 0), frozen_at=0)
    assert gate.due(winning, "main", TrainingProgress(19_000, 1, 0.095)) is None
    assert str(gate.due(winning, "main", TrainingProgress(20_000, 2, 0.1))).startswith("win rate")
    assert gate.due(losing, "main", TrainingProgress(39_999, 3, 0.2)) is None
    assert (
        gate.due(losing, "main", TrainingProgress(40_000, 3, 0.2))
        == "timeout: 40,000 agent steps since the last freeze"
    )
    plateau = Plateau(UniformMixture(), None, 1, 0.01, 5, share_of_run=0.02, most_agent_steps=100_000)
    resumed = Plateau(UniformMixture(), None, 1, 0.01, 5, share_of_run=0.02, most_agent_steps=100_000)
    assert (
        plateau.due(view_of(Tally(), frozen_at=0), "main", TrainingProgress(4000, 1, 0.02)) is None
    )  # the best so far
    resumed.load_state_dict(json.loads(json.dumps(plateau.state_dict())))
    assert resumed.due(view_of(Tally(), frozen_at=0), "main", TrainingProgress(7999, 2, 0.02)) is None
    assert "no better for 4,000" in str(resumed.due(view_of(Tally(), frozen_at=0), "main", TrainingProgress(8000, 3)))


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="agent_steps"):
        EverySteps(0)
    with pytest.raises(ValueError, match="share_of_run"):
        EverySteps(None, share_of_run=0.0, most_agent_steps=1)
    with pytest.raises(ValueError, match="most_agent_steps"):
        EverySteps(None, share_of_run=0.1)
    with pytest.raises(ValueError, match="threshold"):
        WinRate(threshold=1.0, min_games=1, agent_steps=1)
    with pytest.raises(ValueError, match="agent_steps must be > 0"):
        WinRate(threshold=0.7, min_games=1, agent_steps=0)
    with pytest.raises(ValueError, match="timeout_factor"):
        WinRate(threshold=0.7, min_games=1, agent_steps=10, timeout_factor=0.9)
