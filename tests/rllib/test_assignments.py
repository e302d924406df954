"""Assignments for env runners: resident snapshots are preferred, and the next opponents are prefetched during play."""

import time

import numpy as np
import pytest

from marl_app.league.league import League
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps
from marl_app.rllib.training.assignments import Assigner
from marl_app.store.disk import DiskStore
from tests.rllib.games import Names
from tests.rllib.runners import against, collect, make_runner, publish, random_weights
from tests.rllib.runs import matches, running, watch_requests


class Answer:
    """The part of a fragment that names its env runner, its rack and the snapshots in its slots."""

    def __init__(self, runner, rack, resident_digests):
        self.runner, self.rack, self.resident_digests = runner, rack, resident_digests


def uniform_league(pool):
    league = League([Learner("main"), Learner("other")], Uniform(), EverySteps(10))
    for number in range(pool):
        league.add_snapshot("main", f"{number:064x}", 0, "")
    return league


def test_residency_covers_the_slots_of_an_env_runner_and_its_racks_cache():
    racks = {"r0": frozenset("ab"), "r1": frozenset("c")}
    assigner = Assigner(uniform_league(10), lambda: racks, 0.5, prefetching=False)
    # The third env runner is on a node without a rack label, so without a cache.
    assigner.update_residency([Answer(1, "r0", ("x",)), Answer(2, "r1", ()), Answer(3, "", ("y",))])
    assert [assigner.resident(runner) for runner in range(5)] == [set(), set("abx"), {"c"}, {"y"}, set()]
    racks["r1"] = frozenset("d")
    assigner.update_residency([])
    assert assigner.resident(2) == {"d"}


def test_resident_snapshots_are_assigned_more_often():
    """A tenth is resident: tolerance 0.5 raises its share to 0.1 + 0.5 x 0.9 = 0.55, a distortion of 0.45."""
    league = uniform_league(100)
    resident = tuple(snapshot.digest for snapshot in league.snapshots[:10])
    assigner = Assigner(league, dict, 0.5, prefetching=False)
    assigner.update_residency([Answer(1, "", resident)])
    rng, requests, share = np.random.default_rng(0), 3000, {1: 0.0, 2: 0.0}
    for runner in share:
        for _ in range(requests):
            assignment = assigner.assign_to_runner("main", runner, 2, rng).assignment
            mask = np.array([opponent.digest in resident for opponent in assignment.opponents])
            share[runner] += float(assignment.shares[mask].sum()) / requests
    slack = 4 * np.sqrt(0.25 / 2 / requests)
    assert share == {1: pytest.approx(0.55, abs=slack), 2: pytest.approx(0.1, abs=slack)}
    totals = assigner.pop_totals()
    assert totals.assignments == 2 * requests and totals.distortion / requests == pytest.approx(0.45)
    means = totals.means()
    assert means["distortion"] == pytest.approx(0.225) and 100 < means["assignment_bytes"] < 3000
    assert means["assignments_per_s"] > 500  # 20,000 on a quiet machine
    assert assigner.pop_totals().means() == {}


def test_a_prefetched_assignment_is_played_one_request_later():
    assigner = Assigner(uniform_league(50), dict, 0.0, prefetching=True)
    league_assign, made = assigner._league.assign, []
    assigner._league.assign = lambda *arguments: made.append(league_assign(*arguments)) or made[-1]
    rng = np.random.default_rng(0)
    for runner in (1, 2):
        del made[:]
        answers = [assigner.assign_to_runner("main", runner, 2, rng) for _ in range(4)]
        # The first request plays its assignment; each later request plays the assignment of the request before.
        assert [answer.assignment for answer in answers] == [made[0], *made[:-1]]
        for answer, assignment in zip(answers, made, strict=True):
            assert set(answer.prefetch_digests) == {opponent.digest for opponent in assignment.opponents}
    # In another learner's turn the prefetched assignment is dropped.
    assert assigner.assign_to_runner("other", 1, 2, rng).assignment is made[-1]
    plain = Assigner(uniform_league(50), dict, 0.0, prefetching=False).assign_to_runner("other", 1, 2, rng)
    assert plain.assignment.learner == "other" and plain.prefetch_digests == ()


FETCH_S, STEP_S, STEPS = 0.1, 0.004, 60


class SlowStore(DiskStore):
    """A store behind a slow network."""

    def get(self, digest):
        time.sleep(FETCH_S)
        return super().get(digest)


class SlowSteps(Names):
    """A game whose steps take time, during which opponents are fetched."""

    def step(self, actions, rng):
        time.sleep(STEP_S)
        return super().step(actions, rng)


def collect_eight(folder, prefetch):
    """Collect eight fragments of 0.24 s, each against another of four snapshots in a single slot.

    Returns the seconds that each fragment waited, the number of fetches, and the results.
    """
    store = SlowStore(folder)
    runner = make_runner(lambda n: SlowSteps(n, 6, 2), store, matches=20, steps=STEPS, slots=1, prefetch=prefetch)
    me, pool = random_weights(runner, 99), [publish(runner, random_weights(runner, n), n=n) for n in range(4)]
    plays = [against((pool[number % 4], 1.0)) for number in range(9)]
    waited, fetched, results = [], 0, []
    for number in range(8):
        ahead = tuple(one.digest for one in plays[number + 1].opponents)
        fragment = collect(runner, me, plays[number], seed=number, ahead=ahead)
        assert fragment.resident_digests == (pool[number % 4],) and fragment.rack == "" and fragment.runner == 0
        waited.append(fragment.traffic.waited)
        fetched += fragment.traffic.requests
        results.append((fragment.outcomes.wins.tolist(), fragment.outcomes.opponents, fragment.outcomes.rules))
    return waited, fetched, results


def test_the_next_opponents_are_fetched_during_play(tmp_path):
    waited, fetched, results = collect_eight(tmp_path / "a", prefetch=False)
    assert min(waited) >= FETCH_S and fetched == 8
    early, fetched_early, same = collect_eight(tmp_path / "b", prefetch=True)
    assert early[0] >= FETCH_S and max(early[1:]) < FETCH_S / 4  # the first one cannot be prefetched
    assert fetched_early in (8, 9)  # the ninth is for the fragment after the last
    assert same == results  # matchmaking does not depend on when blobs arrive


@pytest.mark.usefixtures("ray_here")
def test_a_run_with_prefetching_and_placement(tmp_path):
    """One env runner with two slots, a pool that grows by one per iteration: requests name prefetched snapshots."""
    overrides = (
        "env=rock_paper_scissors", "league/matchmaker=uniform", "league.schedule.agent_steps=200",
        "runtime.opponent_slots=2", "runtime.num_env_runners=1", "runtime.prefetch=true",
        "league.placement_tolerance=0.4",
    )  # fmt: skip
    with running(tmp_path, *overrides) as algorithm:
        requests = watch_requests(algorithm)
        distortions = []
        for _ in range(14):
            algorithm.train()
            distortions.append(algorithm.report["league/placement_distortion"])
        for earlier, later in zip(requests, requests[1:], strict=False):
            digests = {opponent.digest for opponent in later.assignment.opponents} - {None}
            assert digests == set(earlier.prefetch_digests)
        assert max(distortions) <= 0.4 and any(distortions)
        assert algorithm.report["control_plane/assignments_per_s"] > 0
        assert 0 <= algorithm.report["snapshots/wait_share"] < 1
        assert algorithm.traffic.failed == 0 and algorithm.assigned.assignments == len(requests)
        pool = {snapshot.digest for snapshot in algorithm.league.snapshots}
        resident = algorithm._assigner.resident(1)
        assert resident <= pool and len(resident) in (1, 2)
    recorded = matches(tmp_path)
    assert recorded[["wins", "draws", "losses"]].to_numpy().sum() == algorithm.league.matches
