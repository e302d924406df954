"""The simulation loop with the real league: assignments, records, freezes, resets, and differences between schemes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from marl_app.league.league import League
from marl_app.league.matchmakers.alphastar import AlphaStar
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.matchmakers.pfsp import Pfsp
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.simulation.disc import Disc
from marl_app.simulation.play import INTRUDER, Pace, Simulation, Trick

MAIN, RIVAL = Learner("main"), Learner("rival", "main_exploiter")
DISC = Disc(elo_per_doubling=100, doubling_agent_steps=10_000, cycle_elo=400, sharpness=4, memory_matches=1000)


def simulation(
    matchmaker: Matchmaker,
    learners: Sequence[Learner] = (MAIN,),
    matches: int = 40_000,
    intruder_at: int | None = None,
    trick_elo: float = 400,
    elo_per_doubling: float = 100,
    seed: int = 0,
    limit: int | None = None,
) -> Simulation:
    """Make a simulation with a snapshot every 1,000 matches, and every 500 matches in pure self-play."""
    all_learners = [*learners, INTRUDER] if intruder_at is not None else learners
    league = League(all_learners, matchmaker, EverySteps(10_000), Payoff(0.999), limit)
    pace = Pace(matches, 100, agent_steps_per_match=10, self_play=2, window=2000, intruder_at=intruder_at)
    disc = replace(DISC, elo_per_doubling=elo_per_doubling)
    return Simulation(league, "main", disc, pace, Trick(trick_elo, 500, 20_000), 8, np.random.default_rng(seed))


def test_everything_is_recorded_and_frozen_on_time() -> None:
    run = simulation(Uniform(), matches=5050)  # rounded up to 51 whole iterations
    history = run.run()
    assert history.matches == history.all_matches == run.league.careers["main"].matches == 5100
    assert history.assignments == 51 and history.assign_s > 0 and history.seconds > history.assign_s
    # The first freeze is immediate; then 1,000 agent steps per iteration.
    assert [snapshot.agent_steps for snapshot in run.league.snapshots] == [0, 10_000, 20_000, 30_000, 40_000, 50_000]
    assert history.snapshots == 6
    assert [window.matches for window in history.windows] == [2000, 4000]
    assert history.windows[-1].coverage == 1 and 2 < history.windows[-1].effective_opponents <= 5
    alone = simulation(Latest(), matches=5000)
    alone.run()
    assert len(alone.league.snapshots) == 11  # self-play trains on both sides
    assert alone.history.windows[-1].coverage == 0 and alone.history.windows[-1].effective_opponents == 1


def test_the_payoff_approaches_the_true_win_rates() -> None:
    run = simulation(Uniform(), matches=20_000)
    run.run()
    true = run.win_rates()
    estimated = run.league.payoff.win_rates("main", list(true))
    # The payoff averages over about 1,000 games per pair, during which the learner has changed.
    assert np.abs(estimated - list(true.values())).mean() < 0.12 and min(true.values()) < 0.55 < max(true.values())


def test_the_same_seed_is_the_same_run() -> None:
    runs = [simulation(Pfsp(), seed=seed, matches=5000, intruder_at=2500) for seed in (1, 1, 2)]
    first, again, other = (run.run().windows for run in runs)
    assert first == again != other
    assert runs[0].league.state_dict() == runs[1].league.state_dict()


def test_self_play_forgets_and_uniform_opponents_do_not() -> None:
    """Without skill only positions count. Pure self-play circles once in 2 pi x 1,000 matches, at a distance of
    1 / sqrt(2) from the center, where a quarter turn is worth 200 Elo. A snapshot is beaten at a win rate of 60 % or 70
    Elo, i.e. asin(70 / 200) = 20.6 degrees behind the learner, and forgotten half a turn behind."""
    alone, past = (simulation(matchmaker, elo_per_doubling=0).run() for matchmaker in (Latest(), Uniform()))
    assert alone.forgetting.forgotten > 100 > 20 > past.forgetting.forgotten
    held = alone.forgetting.mean_time(alone.matches)
    assert held == pytest.approx((180 - 20.6) / 360 * 2 * np.pi * 1000, rel=0.1)
    assert past.windows[-1].pool_win_rate > 0.55 > alone.windows[-1].pool_win_rate


@pytest.mark.parametrize(("matchmaker", "found"), [(Latest(), None), (Pfsp(), 200)])
def test_only_matches_against_the_intruder_teach_its_trick(matchmaker: Matchmaker, found: int | None) -> None:
    run = simulation(matchmaker, intruder_at=20_000, trick_elo=800)  # more than circling can make up for
    history = run.run()
    assert history.hunt.joined == 20_000 and history.hunt.found_after == found
    intruder = run.win_rates()["intruder@0000"]
    if found is None:
        assert history.hunt.beaten_after is None and intruder < 0.1
    else:
        assert history.hunt.beaten_after is not None and 500 < history.hunt.beaten_after < 10_000 and intruder > 0.35
    assert [entry.player.id for entry in run.league.snapshots if entry.role == "main_exploiter"] == ["intruder@0000"]
    assert run.league.careers["intruder"].matches == 0


def test_exploiters_train_and_are_reset() -> None:
    run = simulation(AlphaStar(), [MAIN, RIVAL], matches=10_000)
    history = run.run()
    careers = run.league.careers
    assert history.matches == 10_000 and history.all_matches == 20_000
    assert careers["rival"].resets > 3 and careers["main"].resets == 0  # a main exploiter is reset after every freeze
    rival = [snapshot for snapshot in run.league.snapshots if snapshot.player.lineage == "rival"]
    assert {snapshot.parent for snapshot in rival[2:]} == {None}  # only the second snapshot continues from the first
    # Each reset makes it weak again: no snapshot has more agent steps than one freeze interval.
    assert max(run._frozen[snapshot.digest].state.agent_steps for snapshot in rival) <= 11_000


def test_a_full_pool_is_thinned() -> None:
    run = simulation(Uniform(), matches=20_000, limit=5, intruder_at=5000)
    history = run.run()
    assert history.snapshots == 5 and "intruder@0000" in run.win_rates()
