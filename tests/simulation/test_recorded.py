"""Players of a recorded run: they play as its payoff says, between snapshots as a mixture."""

import numpy as np
import pytest

from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner, Player, Snapshot
from marl_app.league.schedule import TrainingProgress
from marl_app.league.view import LeagueView, Tally
from marl_app.simulation.recorded import Recorded, RecordedSchedule


def state(results: dict[tuple[int, int], tuple[int, int]], steps: list[int]) -> dict[str, object]:
    """A league's state with these wins and losses between generations."""
    payoff = Payoff()
    for (home, away), (wins, losses) in results.items():
        payoff.record(f"main@{home:04d}", f"main@{away:04d}", wins, 0, losses)
    snapshots = [{"player": f"main@{number:04d}", "agent_steps": n} for number, n in enumerate(steps)]
    rival = {"player": "rival@0000", "agent_steps": 5}  # of another lineage: not looked at
    return {"snapshots": [*snapshots, rival], "payoff": payoff.state_dict()}


def test_they_play_as_they_did_and_in_between_as_both() -> None:
    cycle = {(1, 0): (90, 10), (2, 1): (90, 10), (2, 0): (10, 90)}
    players = Recorded.from_league_state(state(cycle, [1000, 2000, 4000]), "main")
    odds = np.log(90.5 / 10.5)  # a game more, a draw
    assert players.agent_steps.tolist() == [0, 1000, 3000]
    assert players.log_odds(1000, [0, 1000, 3000]) == pytest.approx([odds, 0, -odds])
    assert players.log_odds(3000, [0, 1000]) == pytest.approx([-odds, odds])
    assert players.log_odds(2000, [0, 1000, 3000]) == pytest.approx([0, odds / 2, -odds / 2])  # half of each
    assert players.log_odds(9000, [0]) == pytest.approx([-odds])  # after the end nothing changes
    assert players.log_odds(2000, []).shape == (0,)
    now = players.start(np.random.default_rng(0))
    assert players.train(players.train(now, 600, [3000], np.array([5])), 400, [], np.zeros(0)) == 1000


def test_who_never_met_plays_by_rating() -> None:
    ladder = {(1, 0): (7500, 2500), (2, 1): (7500, 2500)}  # odds of 3 and of 3: 9 between the ends
    players = Recorded.from_league_state(state(ladder, [0, 1, 2]), "main")
    assert players.log_odds(2, [0]) == pytest.approx([np.log(9)], rel=1e-3)


@pytest.mark.parametrize(("results", "steps"), [({}, [0, 1]), ({}, [0]), ({}, [])])
def test_a_run_that_says_nothing_is_refused(results: dict[tuple[int, int], tuple[int, int]], steps: list[int]) -> None:
    with pytest.raises(ValueError, match="have met|two are the fewest"):
        Recorded.from_league_state(state(results, steps), "main")


def test_frozen_when_they_were() -> None:
    schedule = RecordedSchedule(np.array([0.0, 1000, 3000]))

    def due(snapshots: int, agent_steps: int) -> str | None:
        pool = tuple(Snapshot(Player("main", n), "", 0, None, "") for n in range(snapshots))
        view = LeagueView((Learner("main"),), pool, Payoff(), {"main": Tally()})
        return schedule.due(view, "main", TrainingProgress(agent_steps, 1))

    assert due(0, 0) == "as generation 0 was"
    assert due(1, 999) is None and due(1, 1000) and due(2, 2999) is None and due(2, 3000)
    assert due(3, 10**9) is None
