"""Assignments for env runners: what is held is preferred, and the next opponents are fetched while playing."""

import time

import numpy as np
import pytest

from marl_app.league.league import League
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.rllib.training.assignments import Dealing
from marl_app.store.disk import DiskStore
from tests.rllib.games import Names
from tests.rllib.runners import against, collect, make_runner, publish, random_weights
from tests.rllib.runs import matches, running, watch


class Answer:
    """What a fragment says of where it comes from."""

    def __init__(self, runner, rack, held):
        self.runner, self.rack, self.held = runner, rack, held


def uniform_league(pool):
    made = League([Learner("main"), Learner("other")], Uniform(), EverySteps(10))
    for number in range(pool):
        made.add_snapshot("main", f"{number:064x}", 0, "")
    return made


def test_an_env_runner_holds_its_slots_and_its_racks_cache():
    racks = {"r0": frozenset("ab"), "r1": frozenset("c")}
    dealing = Dealing(uniform_league(10), lambda: racks, 0.5, ahead=False)
    # The third is on a node without a label, and without a cache.
    dealing.heard([Answer(1, "r0", ("x",)), Answer(2, "r1", ()), Answer(3, "", ("y",))])
    assert [dealing.held(runner) for runner in range(5)] == [set(), set("abx"), {"c"}, {"y"}, set()]
    racks["r1"] = frozenset("d")
    dealing.heard([])
    assert dealing.held(2) == {"d"}


def test_what_is_held_is_dealt_more_often_and_the_sums_say_so():
    """A tenth is held: with 0.5 it is dealt with 0.1 + 0.5 x 0.9 = 0.55, at a distance of 0.45."""
    made = uniform_league(100)
    held = tuple(snapshot.digest for snapshot in made.snapshots[:10])
    dealing = Dealing(made, dict, 0.5, ahead=False)
    dealing.heard([Answer(1, "", held)])
    rng, requests, share = np.random.default_rng(0), 3000, {1: 0.0, 2: 0.0}
    for runner in share:
        for _ in range(requests):
            dealt = dealing.assign("main", runner, 2, rng)
            own = np.array([opponent.digest in held for opponent in dealt.opponents])
            share[runner] += float(dealt.shares[own].sum()) / requests
    slack = 4 * np.sqrt(0.25 / 2 / requests)
    assert share == {1: pytest.approx(0.55, abs=slack), 2: pytest.approx(0.1, abs=slack)}
    sums = dealing.take()
    assert sums.assignments == 2 * requests and sums.distortion / requests == pytest.approx(0.45)
    means = sums.means()
    assert means["distortion"] == pytest.approx(0.225) and 100 < means["assignment_bytes"] < 3000
    assert means["assignments_per_s"] > 500  # 20,000 on a quiet machine
    assert dealing.take().means() == {}


def test_what_was_dealt_is_played_one_request_later():
    made, rng = uniform_league(50), np.random.default_rng(0)
    dealing = Dealing(made, dict, 0.0, ahead=True)
    dealt = {runner: [dealing.assign("main", runner, 2, rng) for _ in range(4)] for runner in (1, 2)}
    for runner, row in dealt.items():
        turns = [dealing.in_turn(runner, one) for one in row]
        assert [played for played, _ in turns] == [row[0], *row[:-1]]
        for (_, ahead), one in zip(turns, row, strict=True):
            assert set(ahead) == {opponent.digest for opponent in one.opponents}
    other = dealing.assign("other", 1, 2, rng)
    assert dealing.in_turn(1, other)[0] is other  # another learner's turn: what was dealt before is of no use
    assert Dealing(made, dict, 0.0, ahead=False).in_turn(1, other) == (other, ())


FETCH_S, STEP_S, STEPS = 0.1, 0.004, 60


class Slow(DiskStore):
    """A store across a slow network."""

    def get(self, digest):
        time.sleep(FETCH_S)
        return super().get(digest)


class Thoughtful(Names):
    """A game whose steps take time, which is when fetching should happen."""

    def step(self, actions, rng):
        time.sleep(STEP_S)
        return super().step(actions, rng)


def pulls(folder, prefetch):
    """Eight fragments of 0.24 s, each against another one of four snapshots, in a single slot: what each waited, all
    that was fetched, and the results."""
    store = Slow(folder)
    runner = make_runner(lambda n: Thoughtful(n, 6, 2), store, matches=20, steps=STEPS, slots=1, prefetch=prefetch)
    me, pool = random_weights(runner, 99), [publish(runner, random_weights(runner, n), n=n) for n in range(4)]
    plays = [against((pool[number % 4], 1.0)) for number in range(9)]
    waited, fetched, results = [], 0, []
    for number in range(8):
        ahead = tuple(one.digest for one in plays[number + 1].opponents)
        fragment = collect(runner, me, plays[number], seed=number, ahead=ahead)
        assert fragment.held == (pool[number % 4],) and fragment.rack == "" and fragment.runner == 0
        waited.append(fragment.traffic.waited)
        fetched += fragment.traffic.requests
        results.append((fragment.outcomes.wins.tolist(), fragment.outcomes.opponents, fragment.outcomes.rules))
    return waited, fetched, results


def test_the_next_opponents_are_fetched_while_the_present_ones_are_played(tmp_path):
    waited, fetched, results = pulls(tmp_path / "a", prefetch=False)
    assert min(waited) >= FETCH_S and fetched == 8
    early, fetched_early, same = pulls(tmp_path / "b", prefetch=True)
    assert early[0] >= FETCH_S and max(early[1:]) < FETCH_S / 4  # nobody could know the first one
    assert fetched_early in (8, 9)  # with the one that comes after the end, if it has arrived
    assert same == results  # who plays whom is not a matter of when bytes arrive


@pytest.mark.usefixtures("ray_here")
def test_a_run_that_prefetches_and_prefers_what_is_held(tmp_path):
    """One env runner with two slots, a pool that grows by one an iteration: requests name what was dealt before."""
    overrides = (
        "env=rock_paper_scissors", "league/matchmaker=uniform", "league.schedule.agent_steps=200",
        "runtime.opponent_slots=2", "runtime.num_env_runners=1", "runtime.prefetch=true",
        "league.placement_tolerance=0.4",
    )  # fmt: skip
    with running(tmp_path, *overrides) as algorithm:
        requests = watch(algorithm, "on_sample_request")
        distortions = []
        for _ in range(14):
            algorithm.train()
            distortions.append(algorithm.report["league/placement_distortion"])
        pairs = [arguments["request"] for arguments in requests]
        for earlier, later in zip(pairs, pairs[1:], strict=False):
            met = {opponent.digest for opponent in later.assignment.opponents} - {None}
            assert met == set(earlier.ahead)
        assert max(distortions) <= 0.4 and any(distortions)
        assert algorithm.report["control_plane/assignments_per_s"] > 0
        assert 0 <= algorithm.report["snapshots/wait_share"] < 1
        assert algorithm.traffic.failed == 0 and algorithm.dealt.assignments == len(pairs)
        pool = {snapshot.digest for snapshot in algorithm.league.snapshots}
        assert algorithm._dealing.held(1) <= pool and len(algorithm._dealing.held(1)) in (1, 2)
    recorded = matches(tmp_path)
    assert recorded[["wins", "draws", "losses"]].to_numpy().sum() == algorithm.league.matches
