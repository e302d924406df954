"""Preferring whom the rack holds changes the matchmaker's distribution by no more than is allowed."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.assignment import Candidates
from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.placement import prefer_held, total_variation

CHANCES = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1)), min_size=1, max_size=12).filter(lambda p: sum(p) > 0)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    weights = np.array(draw(CHANCES))
    held = np.array(draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights))))
    return weights / weights.sum(), held, draw(st.floats(0, 1))


@given(cases())
def test_what_is_promised_of_every_distribution(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    asked, held, tolerance = case
    dealt = prefer_held(asked, held, tolerance)
    assert dealt.sum() == pytest.approx(1.0, abs=1e-12) and (dealt >= 0).all()
    assert total_variation(asked, dealt) <= tolerance + 1e-12
    assert not dealt[asked == 0].any()  # nobody plays whom the matchmaker excludes
    assert (dealt >= (1 - tolerance) * asked - 1e-15).all()  # and nobody is forgotten
    on_held = asked[held].sum()
    if on_held > 0:
        assert dealt[held].sum() == pytest.approx(on_held + tolerance * (1 - on_held), abs=1e-12)
    else:
        assert (dealt == asked).all()


@given(cases())
def test_the_ends_of_the_scale(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    asked, held, _ = case
    assert prefer_held(asked, held, 0.0).tolist() == asked.tolist()  # exactly
    if asked[held].sum() > 0:
        assert prefer_held(asked, held, 1.0)[held].sum() == pytest.approx(1.0, abs=1e-12)


def test_no_distribution_that_forgets_nobody_gives_more_to_those_that_are_held() -> None:
    """Against all distributions on a grid: P = (.5, .3, .2), of which the first is held; t = 0.4."""
    asked, held, tolerance = np.array([0.5, 0.3, 0.2]), np.array([True, False, False]), 0.4
    dealt = prefer_held(asked, held, tolerance)
    assert dealt == pytest.approx([0.7, 0.18, 0.12])  # 0.4 of 0.5 moves; 3 : 2 stays
    grid = [np.array([a, b, 100 - a - b]) / 100 for a, b in itertools.product(range(101), repeat=2) if a + b <= 100]
    allowed = [one for one in grid if (one >= (1 - tolerance) * asked - 1e-9).all()]
    assert max(one[0] for one in allowed) == pytest.approx(dealt[0]) and len(allowed) > 100
    assert max(total_variation(asked, one) for one in allowed) <= tolerance


def test_a_snapshot_that_nobody_holds_is_met_all_the_same() -> None:
    """The newest of 500, drawn with 0.002: a distance of 0.1 alone would allow never to play it."""
    asked, held = np.full(500, 1 / 500), np.arange(500) < 499
    assert prefer_held(asked, held, 0.1)[-1] == pytest.approx(0.9 / 500)


POOL = {f"main@{g:04d}": f"{g:064x}" for g in range(12)}
UNIFORM = Branch("past", 0.5, tuple(POOL), np.full(12, 0.5), np.full(12, 1 / 12))
MINE = Branch("self_play", 0.3, ("main",), np.array([0.5]), np.ones(1))
RIVAL = Branch("mains", 0.2, ("rival",), np.array([0.5]), np.ones(1))


@pytest.mark.parametrize("slots", [3, 20])
def test_assignments_move_snapshots_only(slots: int) -> None:
    """A quarter of the pool is held: at 0.4, they get 1/4 + 0.4 x 3/4 = 0.55 of the half against snapshots."""
    candidates = Candidates("main", [MINE, RIVAL, UNIFORM], POOL)
    held, rng, requests = set(list(POOL.values())[:3]), np.random.default_rng(0), 4000
    got = {"self_play": 0.0, "mains": 0.0, "held": 0.0, "other": 0.0}
    for _ in range(requests):
        dealt = candidates.assign(slots, rng, held, 0.4)
        assert dealt.distortion == pytest.approx(0.4 * 0.75 * 0.5) and dealt.shares.sum() == pytest.approx(1.0)
        for opponent, share in zip(dealt.opponents, dealt.shares.tolist(), strict=True):
            kind = opponent.rule if opponent.digest is None else "held" if opponent.digest in held else "other"
            got[kind] += share / requests
            asked = {"self_play": 0.3, "mains": 0.2, "past": 0.5 / 12}[opponent.rule]
            assert opponent.probability == pytest.approx(asked)  # the records keep what the matchmaker said
    # Four standard deviations: with 3 slots each of 12,000 draws counts 0.7 / 3.
    slack = 1e-9 if slots > 14 else 4 * 0.7 * np.sqrt(0.25 / 3 / requests)
    expected = {"self_play": 0.3, "mains": 0.2, "held": 0.275, "other": 0.225}
    assert got == {kind: pytest.approx(share, abs=slack) for kind, share in expected.items()}


def test_without_tolerance_what_is_held_means_nothing() -> None:
    candidates = Candidates("main", [MINE, UNIFORM], POOL)
    plain = candidates.assign(3, np.random.default_rng(1))
    for held, tolerance in ((set(POOL.values()), 0.5), ({"else"}, 0.5), (set(list(POOL.values())[:2]), 0.0)):
        dealt = candidates.assign(3, np.random.default_rng(1), held, tolerance)
        assert dealt.opponents == plain.opponents and dealt.shares.tolist() == plain.shares.tolist()
        assert dealt.distortion == 0.0


def test_at_the_end_of_the_scale_nobody_else_takes_a_slot() -> None:
    held = set(list(POOL.values())[:2])
    for slots in (3, 20):
        dealt = Candidates("main", [UNIFORM], POOL).assign(slots, np.random.default_rng(0), held, 1.0)
        assert {opponent.digest for opponent in dealt.opponents} <= held


def test_two_snapshots_with_the_same_weights_are_held_together() -> None:
    """Frozen twice without training in between: one blob, two players, and two rules that name one of them."""
    twins = {"main@0000": "a", "main@0001": "a", "main@0002": "b"}
    names, thirds = tuple(twins), np.full(3, 1 / 3)
    branches = [Branch("x", 0.5, names, thirds, thirds), Branch("y", 0.5, names[:1], thirds[:1], np.ones(1))]
    dealt = Candidates("main", branches, twins).assign(5, np.random.default_rng(0), {"a"}, 0.5)
    shares = {(o.player, o.rule): float(s) for o, s in zip(dealt.opponents, dealt.shares, strict=True)}
    # "b" has 1/6 of all and gives half of it to "a", whose 5/6 grow by a tenth.
    assert shares == pytest.approx(
        {
            ("main@0000", "x"): 1.1 / 6, ("main@0001", "x"): 1.1 / 6, ("main@0002", "x"): 0.5 / 6,
            ("main@0000", "y"): 1.1 / 2,
        }
    )  # fmt: skip
