"""Assignments per second of the control plane on one core, by matchmaker.

    python -m benchmarks.assignments                          # a pool of 500, every matchmaker
    python -m benchmarks.assignments --pool 100 --matchmakers pfsp,elo

An assignment is one call of `League.assign`: it returns up to --slots opponents for the matches of an env runner, and
the share of the matches of each. Results: docs/data_plane.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from marl_app.assembly.instantiate import league as make_league
from marl_app.config.compose import load
from marl_app.config.tree import CONF
from marl_app.league.league import League, Outcomes
from marl_app.league.players import LEAGUE_EXPLOITER, MAIN_AGENT, MAIN_EXPLOITER, Learner

LEARNERS = [Learner("main", MAIN_AGENT), Learner("hunter", MAIN_EXPLOITER), Learner("seeker", LEAGUE_EXPLOITER)]
ROUNDS = 20
MATCHES = 1024
"""Matches that an env runner steps together; each is assigned one of the opponents of the assignment."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each matchmaker and print a row of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=int, default=500, help="snapshots")
    parser.add_argument("--slots", type=int, default=8, help="different opponents that an assignment may name")
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of each measurement")
    parser.add_argument(
        "--matchmakers", default=",".join(matchmaker_options()), help="options of conf/league/matchmaker"
    )
    options = parser.parse_args(arguments)
    print(f"pool of {options.pool}, {options.slots} slots; per second, on one core")
    print("| matchmaker | assignments | placed | after each record | records | matches assigned |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.matchmakers.split(","):
        values = measure(make_league_with_pool(name, options.pool), options.slots, options.seconds)
        print(f"| {name} | " + " | ".join(f"{value:,.{int(value < 10)}f}" for value in values) + " |", flush=True)


def measure(league: League, slots: int, seconds: float) -> list[float]:
    """Return five rates per second.

    Assignments while no outcome is recorded; the same with a preference for snapshots in the cache of a rack;
    assignments after each record; records; and matches that are assigned an opponent (an assignment and one draw of
    MATCHES opponents).
    """
    rng = np.random.default_rng(0)
    # A fifth of the pool, as if a rack's cache held it.
    resident = frozenset(snapshot.digest for snapshot in league.snapshots[::5])
    outcomes = random_outcomes(league, slots, rng)
    return [
        best_rate(lambda: league.assign("main", slots, rng), seconds),
        best_rate(lambda: league.assign("main", slots, rng, resident, 0.1), seconds),
        rate_after_each_record(league, slots, rng, seconds),
        best_rate(lambda: league.record(outcomes), seconds),
        MATCHES * best_rate(lambda: assign_matches(league, slots, rng), seconds),
    ]


def matchmaker_options() -> list[str]:
    """Return the names of all matchmakers of conf/league/matchmaker."""
    return sorted(path.stem for path in (CONF / "league" / "matchmaker").glob("*.yaml"))


def make_league_with_pool(matchmaker: str, pool: int) -> League:
    """Return a league of three learners with `pool` snapshots and 1,000 matches per pair of players in its payoff."""
    overrides = [f"league/matchmaker={matchmaker}", "league.decay_per_game=1"]
    league = make_league(load(overrides), LEARNERS)
    for number in range(pool):
        league.add_snapshot(LEARNERS[number % 3].lineage, f"{number:064x}", number, "")
    # All players, learners included, have a full payoff, so that no matchmaker treats a pair as unplayed.
    players = [*league.learners, *(snapshot.player.id for snapshot in league.snapshots)]
    # [players, players]: expected wins of the row player from random Elo-like strengths; the diagonal stays empty.
    strength = np.random.default_rng(1).normal(size=len(players))
    wins = 1000 / (1 + np.exp(strength[None, :] - strength[:, None]))
    np.fill_diagonal(wins, 0.0)
    zeros = np.zeros_like(wins)
    league.payoff.load_state_dict({"players": players, "wins": wins, "draws": zeros, "excess": zeros})
    return league


def best_rate(call: Callable[[], object], seconds: float) -> float:
    """Return the calls per second of the best of `ROUNDS` rounds: other load of the machine can only lower a rate."""
    call()  # caches are filled before the first round
    return max(_rate_of_round(call, seconds / ROUNDS) for _ in range(ROUNDS))


def _rate_of_round(call: Callable[[], object], seconds: float) -> float:
    calls, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or not calls:
        call()
        calls += 1
    return calls / elapsed


def rate_after_each_record(league: League, slots: int, rng: np.random.Generator, seconds: float) -> float:
    """Return the median assignments per second if outcomes are recorded before each assignment (caches are invalid)."""
    # Each assignment follows a record, so that caches of the matchmaker are invalid.
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not times:
        league.record(random_outcomes(league, slots, rng))
        began = time.perf_counter()
        league.assign("main", slots, rng)
        times.append(time.perf_counter() - began)
    return 1 / float(np.median(times))


def random_outcomes(league: League, slots: int, rng: np.random.Generator) -> Outcomes:
    """Return outcomes as of a fragment: ten matches against each of `slots` random opponents."""
    # Ten matches against each: wins and losses, no draws.
    players = tuple(league.snapshots[number].player.id for number in rng.integers(len(league.snapshots), size=slots))
    wins = rng.integers(0, 11, size=slots)
    zeros = np.zeros(slots, np.int64)
    rules = ("quality",) * slots
    return Outcomes("main", players, rules, zeros, wins, zeros, 10 - wins, zeros + 100, wins.astype(np.float64))


def assign_matches(league: League, slots: int, rng: np.random.Generator) -> None:
    """Assign opponents to all matches of an env runner with one draw, as `Matchups` does."""
    assignment = league.assign("main", slots, rng)
    rng.choice(len(assignment.opponents), MATCHES, p=assignment.shares)


if __name__ == "__main__":
    main()
