"""The preference for held snapshots changes the matchmaker's distribution within its tolerance."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.assignment import Candidates
from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.placement import prefer_held, total_variation

WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1)), min_size=1, max_size=12).filter(lambda p: sum(p) > 0)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    weights = np.array(draw(WEIGHTS))
    held = np.array(draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights))))
    return weights / weights.sum(), held, draw(st.floats(0, 1))


@given(cases())
def test_properties_for_every_distribution(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    matchmaker, held, tolerance = case
    placed = prefer_held(matchmaker, held, tolerance)
    assert placed.sum() == pytest.approx(1.0, abs=1e-12) and (placed >= 0).all()
    assert total_variation(matchmaker, placed) <= tolerance + 1e-12
    assert not placed[matchmaker == 0].any()  # players that the matchmaker excludes stay excluded
    assert (placed >= (1 - tolerance) * matchmaker - 1e-15).all()  # and the other probabilities have a lower bound
    held_probability = matchmaker[held].sum()
    if held_probability > 0:
        assert placed[held].sum() == pytest.approx(held_probability + tolerance * (1 - held_probability), abs=1e-12)
    else:
        assert (placed == matchmaker).all()


@given(cases())
def test_the_tolerances_0_and_1(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    matchmaker, held, _ = case
    assert prefer_held(matchmaker, held, 0.0).tolist() == matchmaker.tolist()  # exactly
    if matchmaker[held].sum() > 0:
        assert prefer_held(matchmaker, held, 1.0)[held].sum() == pytest.approx(1.0, abs=1e-12)


def test_no_distribution_with_the_same_bound_gives_more_to_held_snapshots() -> None:
    """Compared with all distributions on a grid: P = (.5, .3, .2), of which the first is held; t = 0.4."""
    matchmaker, held, tolerance = np.array([0.5, 0.3, 0.2]), np.array([True, False, False]), 0.4
    placed = prefer_held(matchmaker, held, tolerance)
    assert placed == pytest.approx([0.7, 0.18, 0.12])  # 0.4 of 0.5 moves; 3 : 2 stays
    grid = [np.array([a, b, 100 - a - b]) / 100 for a, b in itertools.product(range(101), repeat=2) if a + b <= 100]
    allowed = [p for p in grid if (p >= (1 - tolerance) * matchmaker - 1e-9).all()]
    assert max(p[0] for p in allowed) == pytest.approx(placed[0]) and len(allowed) > 100
    assert max(total_variation(matchmaker, p) for p in allowed) <= tolerance


def test_a_snapshot_that_is_held_nowhere_is_still_met() -> None:
    """The newest of 500, with probability 0.002: a limit of 0.1 on the distance alone would allow 0 for it."""
    matchmaker, held = np.full(500, 1 / 500), np.arange(500) < 499
    assert prefer_held(matchmaker, held, 0.1)[-1] == pytest.approx(0.9 / 500)


POOL = {f"main@{g:04d}": f"{g:064x}" for g in range(12)}
UNIFORM = Branch("past", 0.5, tuple(POOL), np.full(12, 0.5), np.full(12, 1 / 12))
MINE = Branch("self_play", 0.3, ("main",), np.array([0.5]), np.ones(1))
RIVAL = Branch("mains", 0.2, ("rival",), np.array([0.5]), np.ones(1))


@pytest.mark.parametrize("slots", [3, 20])
def test_assignments_move_snapshots_only(slots: int) -> None:
    """A quarter of the pool is held: at 0.4, it gets 1/4 + 0.4 x 3/4 = 0.55 of the half against snapshots."""
    candidates = Candidates("main", [MINE, RIVAL, UNIFORM], POOL)
    held, rng, requests = set(list(POOL.values())[:3]), np.random.default_rng(0), 4000
    shares_by_kind = {"self_play": 0.0, "mains": 0.0, "held": 0.0, "other": 0.0}
    for _ in range(requests):
        placed = candidates.draw(slots, rng, held, 0.4)
        assert placed.distortion == pytest.approx(0.4 * 0.75 * 0.5) and placed.shares.sum() == pytest.approx(1.0)
        for opponent, share in zip(placed.opponents, placed.shares.tolist(), strict=True):
            kind = opponent.rule if opponent.digest is None else "held" if opponent.digest in held else "other"
            shares_by_kind[kind] += share / requests
            matchmaker = {"self_play": 0.3, "mains": 0.2, "past": 0.5 / 12}[opponent.rule]
            assert opponent.probability == pytest.approx(matchmaker)  # records keep the probability of the matchmaker
    # Four standard deviations: with 3 slots, each of 12,000 draws has a weight of 0.7 / 3.
    slack = 1e-9 if slots > 14 else 4 * 0.7 * np.sqrt(0.25 / 3 / requests)
    expected = {"self_play": 0.3, "mains": 0.2, "held": 0.275, "other": 0.225}
    assert shares_by_kind == {kind: pytest.approx(share, abs=slack) for kind, share in expected.items()}


def test_without_tolerance_held_snapshots_have_no_preference() -> None:
    candidates = Candidates("main", [MINE, UNIFORM], POOL)
    plain = candidates.draw(3, np.random.default_rng(1))
    for held, tolerance in ((set(POOL.values()), 0.5), ({"else"}, 0.5), (set(list(POOL.values())[:2]), 0.0)):
        placed = candidates.draw(3, np.random.default_rng(1), held, tolerance)
        assert placed.opponents == plain.opponents and placed.shares.tolist() == plain.shares.tolist()
        assert placed.distortion == 0.0


def test_at_tolerance_1_only_held_snapshots_take_slots() -> None:
    held = set(list(POOL.values())[:2])
    for slots in (3, 20):
        placed = Candidates("main", [UNIFORM], POOL).draw(slots, np.random.default_rng(0), held, 1.0)
        assert {opponent.digest for opponent in placed.opponents} <= held


def test_two_snapshots_with_the_same_weights_are_held_together() -> None:
    """Frozen twice without training in between: one digest, two players, and two rules that pick one of them."""
    twins = {"main@0000": "a", "main@0001": "a", "main@0002": "b"}
    names, thirds = tuple(twins), np.full(3, 1 / 3)
    branches = [Branch("x", 0.5, names, thirds, thirds), Branch("y", 0.5, names[:1], thirds[:1], np.ones(1))]
    placed = Candidates("main", branches, twins).draw(5, np.random.default_rng(0), {"a"}, 0.5)
    shares = {(o.player, o.rule): float(s) for o, s in zip(placed.opponents, placed.shares, strict=True)}
    # "b" has 1/6 of the total; half of it moves to "a", whose 5/6 grow by a tenth.
    assert shares == pytest.approx(
        {
            ("main@0000", "x"): 1.1 / 6, ("main@0001", "x"): 1.1 / 6, ("main@0002", "x"): 0.5 / 6,
            ("main@0000", "y"): 1.1 / 2,
        }
    )  # fmt: skip
