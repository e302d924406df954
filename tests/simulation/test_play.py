"""The loop, with the real league: what is assigned is played, recorded, frozen and reset; what schemes differ in."""

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
    """A snapshot every 1,000 matches with others, twice as often alone."""
    everybody = [*learners, INTRUDER] if intruder_at is not None else learners
    league = League(everybody, matchmaker, EverySteps(10_000), Payoff(0.999), limit)
    pace = Pace(matches, 100, agent_steps_per_match=10, self_play=2, window=2000, intruder_at=intruder_at)
    disc = replace(DISC, elo_per_doubling=elo_per_doubling)
    return Simulation(league, "main", disc, pace, Trick(trick_elo, 500, 20_000), 8, np.random.default_rng(seed))


def test_everything_is_recorded_and_frozen_on_time() -> None:
    run = simulation(Uniform(), matches=5050)  # 51 iterations: whole ones
    history = run.run()
    assert history.matches == history.all_matches == run.league.careers["main"].matches == 5100
    assert history.assignments == 51 and history.assign_s > 0 and history.seconds > history.assign_s
    # 0 at once; then 1,000 agent steps an iteration.
    assert [snapshot.agent_steps for snapshot in run.league.snapshots] == [0, 10_000, 20_000, 30_000, 40_000, 50_000]
    assert history.snapshots == 6
    assert [window.matches for window in history.windows] == [2000, 4000]
    assert history.windows[-1].coverage == 1 and 2 < history.windows[-1].effective_opponents <= 5
    alone = simulation(Latest(), matches=5000)
    alone.run()
    assert len(alone.league.snapshots) == 11  # both sides of a match with itself are learned from
    assert alone.history.windows[-1].coverage == 0 and alone.history.windows[-1].effective_opponents == 1


def test_the_league_learns_what_is_true() -> None:
    run = simulation(Uniform(), matches=20_000)
    run.run()
    true = run.win_rates()
    seen = run.league.payoff.win_rates("main", list(true))
    # It remembers 1,000 games a pair, in which the learner has changed.
    assert np.abs(seen - list(true.values())).mean() < 0.12 and min(true.values()) < 0.55 < max(true.values())


def test_the_same_seed_is_the_same_run() -> None:
    runs = [simulation(Pfsp(), seed=seed, matches=5000, intruder_at=2500) for seed in (1, 1, 2)]
    first, again, other = (run.run().windows for run in runs)
    assert first == again != other
    assert runs[0].league.state_dict() == runs[1].league.state_dict()


def test_alone_it_forgets_and_among_its_past_it_does_not() -> None:
    """Without experience only places count. Alone it goes round in 2 pi memories of 1,000 matches, at a distance of
    1 / sqrt(2) from the center: a quarter turn is worth 200 Elo. Beaten is who it wins 60 % against, 70 Elo: as
    soon as it is asin(70 / 200) = 20.6 degrees ahead. Forgotten is who it is half a turn ahead of."""
    alone, past = (simulation(matchmaker, elo_per_doubling=0).run() for matchmaker in (Latest(), Uniform()))
    assert alone.forgetting.forgotten > 100 > 20 > past.forgetting.forgotten
    held = alone.forgetting.mean_time(alone.matches)
    assert held == pytest.approx((180 - 20.6) / 360 * 2 * np.pi * 1000, rel=0.1)
    assert past.windows[-1].pool_win_rate > 0.55 > alone.windows[-1].pool_win_rate


@pytest.mark.parametrize(("matchmaker", "found"), [(Latest(), None), (Pfsp(), 200)])
def test_only_who_meets_the_intruder_learns_its_trick(matchmaker: Matchmaker, found: int | None) -> None:
    run = simulation(matchmaker, intruder_at=20_000, trick_elo=800)  # more than going round could make up for
    history = run.run()
    assert history.hunt.joined == 20_000 and history.hunt.found_after == found
    intruder = run.win_rates()["intruder@0000"]
    if found is None:
        assert history.hunt.beaten_after is None and intruder < 0.1
    else:
        assert history.hunt.beaten_after is not None and 500 < history.hunt.beaten_after < 10_000 and intruder > 0.35
    assert [one.player.id for one in run.league.snapshots if one.role == "main_exploiter"] == ["intruder@0000"]
    assert run.league.careers["intruder"].matches == 0


def test_exploiters_train_and_start_again() -> None:
    run = simulation(AlphaStar(), [MAIN, RIVAL], matches=10_000)
    history = run.run()
    careers = run.league.careers
    assert history.matches == 10_000 and history.all_matches == 20_000
    assert careers["rival"].resets > 3 and careers["main"].resets == 0  # a main exploiter after every freeze
    rival = [snapshot for snapshot in run.league.snapshots if snapshot.player.lineage == "rival"]
    assert {snapshot.parent for snapshot in rival[2:]} == {None}  # the very first one goes on
    # It is weak again after each: no snapshot of it has more experience than one interval gives.
    assert max(run._figures[snapshot.digest].state.agent_steps for snapshot in rival) <= 11_000


def test_a_full_pool_is_thinned() -> None:
    run = simulation(Uniform(), matches=20_000, limit=5, intruder_at=5000)
    history = run.run()
    assert history.snapshots == 5 and "intruder@0000" in run.win_rates()
