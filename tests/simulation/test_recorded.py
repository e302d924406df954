"""Players of a recorded run: snapshots play by its payoff, players in between as a mixture."""

import numpy as np
import pytest

from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner, Player, Snapshot
from marl_app.league.schedule import TrainingProgress
from marl_app.league.view import LeagueView, Tally
from marl_app.simulation.recorded import Recorded, RecordedSchedule


def state(results: dict[tuple[int, int], tuple[int, int]], steps: list[int]) -> dict[str, object]:
    """Return a league state with these (wins, losses) by pair of generations."""
    payoff = Payoff()
    for (home, away), (wins, losses) in results.items():
        payoff.record(f"main@{home:04d}", f"main@{away:04d}", wins, 0, losses)
    snapshots = [{"player": f"main@{number:04d}", "agent_steps": n} for number, n in enumerate(steps)]
    rival = {"player": "rival@0000", "agent_steps": 5}  # another lineage: ignored
    return {"snapshots": [*snapshots, rival], "payoff": payoff.state_dict()}


def test_snapshots_play_by_the_payoff_and_the_learner_as_a_mixture() -> None:
    cycle = {(1, 0): (90, 10), (2, 1): (90, 10), (2, 0): (10, 90)}
    players = Recorded.from_league_state(state(cycle, [1000, 2000, 4000]), "main")
    odds = np.log(90.5 / 10.5)  # with one more game, a draw, as a prior
    assert players.agent_steps.tolist() == [0, 1000, 3000]
    assert players.log_odds(1000, [0, 1000, 3000]) == pytest.approx([odds, 0, -odds])
    assert players.log_odds(3000, [0, 1000]) == pytest.approx([-odds, odds])
    assert players.log_odds(2000, [0, 1000, 3000]) == pytest.approx([0, odds / 2, -odds / 2])  # half of each snapshot
    assert players.log_odds(9000, [0]) == pytest.approx([-odds])  # constant after the last snapshot
    assert players.log_odds(2000, []).shape == (0,)
    now = players.start(np.random.default_rng(0))
    assert players.train(players.train(now, 600, [3000], np.array([5])), 400, [], np.zeros(0)) == 1000


def test_pairs_that_never_met_play_by_rating() -> None:
    ladder = {(1, 0): (7500, 2500), (2, 1): (7500, 2500)}  # odds of 3 twice, so 9 between the first and the last
    players = Recorded.from_league_state(state(ladder, [0, 1, 2]), "main")
    assert players.log_odds(2, [0]) == pytest.approx([np.log(9)], rel=1e-3)


@pytest.mark.parametrize(("results", "steps"), [({}, [0, 1]), ({}, [0]), ({}, [])])
def test_a_run_with_too_little_data_is_refused(
    results: dict[tuple[int, int], tuple[int, int]], steps: list[int]
) -> None:
    with pytest.raises(ValueError, match="have met|at least 2 are needed"):
        Recorded.from_league_state(state(results, steps), "main")


def test_the_recorded_schedule_freezes_at_the_recorded_steps() -> None:
    schedule = RecordedSchedule(np.array([0.0, 1000, 3000]))

    def due(snapshots: int, agent_steps: int) -> str | None:
        pool = tuple(Snapshot(Player("main", n), "", 0, None, "") for n in range(snapshots))
        view = LeagueView((Learner("main"),), pool, Payoff(), {"main": Tally()})
        return schedule.due(view, "main", TrainingProgress(agent_steps, 1))

    assert due(0, 0) == "recorded freeze of generation 0"
    assert due(1, 999) is None and due(1, 1000) and due(2, 2999) is None and due(2, 3000)
    assert due(3, 10**9) is None
