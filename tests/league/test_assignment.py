"""For any number of slots, the probability of a match is the matchmaker's."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.assignment import Assignment, Candidates
from marl_app.league.matchmakers.matchmaker import Branch

POOL = {f"main@{g:04d}": f"{g:064x}" for g in range(12)}


def branch(rule: str, probability: float, opponents: dict[str, float]) -> Branch:
    p = np.array(list(opponents.values()))
    return Branch(rule, probability, tuple(opponents), np.full(len(p), 0.5), p / p.sum())


def half_self_play(pool: dict[str, float]) -> list[Branch]:
    return [branch("self_play", 0.5, {"main": 1.0}), branch("past", 0.5, pool)]


def by_key(assignment: Assignment) -> dict[tuple[str, str], float]:
    shares = {(o.player, o.rule): float(s) for o, s in zip(assignment.opponents, assignment.shares, strict=True)}
    assert len(shares) == len(assignment.opponents)  # one entry per (player, rule)
    return shares


def test_a_pool_that_fits_gets_exact_shares() -> None:
    pool = {"main@0000": 0.7, "main@0001": 0.2, "main@0002": 0.1, "main@0003": 0.0}  # three have a positive probability
    assignment = Candidates("main", half_self_play(pool), POOL).draw(3, np.random.default_rng(0))
    assert by_key(assignment) == pytest.approx(
        {
            ("main", "self_play"): 0.5,
            ("main@0000", "past"): 0.35,
            ("main@0001", "past"): 0.1,
            ("main@0002", "past"): 0.05,
        }
    )
    assert [o.digest for o in assignment.opponents] == [None, *(POOL[f"main@{g:04d}"] for g in range(3))]
    assert assignment.shares == pytest.approx([o.probability for o in assignment.opponents])


def test_the_mean_share_over_many_requests_is_the_matchmakers_distribution() -> None:
    weights = {player: (i + 1) ** 2.0 for i, player in enumerate(POOL)}
    branches = half_self_play(weights)
    rng, slots, requests = np.random.default_rng(0), 3, 6000
    mean: dict[tuple[str, str], float] = defaultdict(float)
    for _ in range(requests):
        for key, share in by_key(Candidates("main", branches, POOL).draw(slots, rng)).items():
            mean[key] += share / requests
    assert mean["main", "self_play"] == pytest.approx(0.5)  # exact in every request
    total = sum(weights.values())
    for player, weight in weights.items():
        p = weight / total
        deviation = 0.5 * np.sqrt(p * (1 - p) / slots / requests)
        assert abs(mean[player, "past"] - 0.5 * p) < 4.5 * deviation  # fails once in 10,000 runs, for twelve players


def test_a_snapshot_of_two_rules_has_two_entries_and_one_slot() -> None:
    a, b, c = list(POOL)[:3]
    branches = [branch("x", 0.6, {a: 0.5, b: 0.5}), branch("y", 0.4, {a: 1.0})]
    exact = by_key(Candidates("main", branches, POOL).draw(2, np.random.default_rng(0)))  # two snapshots, two slots
    assert exact == pytest.approx({(a, "x"): 0.3, (b, "x"): 0.3, (a, "y"): 0.4})
    branches = [*branches[:1], branch("y", 0.4, {a: 0.5, c: 0.5})]
    for seed in range(20):
        shares = by_key(Candidates("main", branches, POOL).draw(1, np.random.default_rng(seed)))
        if (a, "x") in shares:  # one slot: if `a` is drawn, its rules share it as 0.3 to 0.2
            assert shares == pytest.approx({(a, "x"): 0.6, (a, "y"): 0.4})
        else:
            assert list(shares.values()) == [1.0]


def test_another_learner_takes_a_slot_and_the_learner_itself_none() -> None:
    branches = [
        branch("self_play", 0.5, {"main": 1.0}),
        branch("mains", 0.25, {"rival": 1.0}),
        branch("past", 0.25, dict.fromkeys(POOL, 1.0)),
    ]
    rival_share = 0.0
    for seed in range(400):
        assignment = Candidates("main", branches, POOL).draw(2, np.random.default_rng(seed))
        shares = by_key(assignment)
        assert shares["main", "self_play"] == pytest.approx(0.5)
        assert len({player for player, _ in shares} - {"main"}) <= 2
        rival_share += shares.get(("rival", "mains"), 0.0) / 400
    assert rival_share == pytest.approx(0.25, abs=0.035)  # four standard deviations: 400 times 2 draws with p = 1/2
    assert {o.player for o in assignment.opponents if o.digest is None} <= {"main", "rival"}


@given(st.integers(1, 15), st.integers(0, 2**32), st.dictionaries(st.sampled_from(list(POOL)), st.floats(0.01, 1)))
def test_slots_and_shares_hold_always(slots: int, seed: int, pool: dict[str, float]) -> None:
    branches = half_self_play(pool) if pool else [branch("self_play", 1.0, {"main": 1.0})]
    assignment = Candidates("main", branches, POOL).draw(slots, np.random.default_rng(seed))
    assert len({o.player for o in assignment.opponents if o.digest}) <= slots
    assert assignment.shares.sum() == pytest.approx(1.0) and (assignment.shares > 0).all()
    assert by_key(assignment)["main", "self_play"] == pytest.approx(0.5 if pool else 1.0)


def test_self_play_needs_no_slot_but_a_snapshot_does() -> None:
    rng = np.random.default_rng(0)
    assert Candidates("main", [branch("self_play", 1.0, {"main": 1.0})], POOL).draw(0, rng).shares.tolist() == [1.0]
    with pytest.raises(ValueError, match="opponent_slots is 0"):
        Candidates("main", half_self_play({"main@0000": 1.0}), POOL).draw(0, rng)


def test_the_same_generator_state_gives_the_same_assignment() -> None:
    branches = half_self_play(dict.fromkeys(POOL, 1.0))
    first, second = (Candidates("main", branches, POOL).draw(4, np.random.default_rng(7)) for _ in range(2))
    assert first.opponents == second.opponents and first.shares.tolist() == second.shares.tolist()
