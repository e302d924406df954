"""Games of more than two sides: scores of lineups, and the mixtures that follow.

In the odd-one-out game, three players choose heads or tails, and a player whose choice differs from both others wins:
it scores 1 with heads and 0.75 with tails; the others share the rest. If others play heads with probability x, heads
earns 0.5 x^2 + 0.75 x (1 - x) + (1 - x)^2 and tails 0.75 x^2 + 0.5 x (1 - x) + 0.5 (1 - x)^2: equal at x = 2/3.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.league import League
from marl_app.league.lineups import Lineups
from marl_app.league.matchmakers.meta import Meta
from marl_app.league.meta.alpha_rank import AlphaRank
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.meta.nash import Nash
from marl_app.league.meta.projected_replicator import ProjectedReplicator
from marl_app.league.meta.regret_matching import RegretMatching
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps

POOL = ("main@0000", "main@0001")
HEADS, TAILS = POOL
ODD = {(HEADS, HEADS, TAILS): (0.375, 0.375, 0.75), (TAILS, HEADS, TAILS): (0.25, 1.0, 0.25)}
EVEN = np.full((2, 2), 0.5)


def odd_one_out() -> Lineups:
    lineups = Lineups()
    for lineup, scores in ODD.items():
        lineups.record(lineup, scores)
    return lineups


def test_the_table_has_the_score_of_each_player_among_the_others() -> None:
    assert odd_one_out().game(POOL, EVEN).tolist() == [[[0.5, 0.375], [0.375, 1.0]], [[0.75, 0.25], [0.25, 0.5]]]


def test_copies_have_equal_scores() -> None:
    lineups = Lineups()
    lineups.record((HEADS, TAILS, HEADS), (0.5, 0.8, 0.2))
    assert lineups.game(POOL, EVEN)[0, 0, 1] == lineups.game(POOL, EVEN)[0, 1, 0] == pytest.approx(0.35)


def test_unmeasured_lineups_are_estimated_from_pairs() -> None:
    pairs = np.array([[0.5, 0.9], [0.1, 0.5]])
    assert Lineups().game(POOL, pairs) is pairs  # no measured lineup: a game of two sides
    lineups = Lineups()
    lineups.record((HEADS, HEADS, TAILS), (0.6, 0.6, 0.3))
    table = lineups.game(POOL, pairs)
    assert table[0, 0, 1] == 0.6 and table[1, 0, 0] == 0.3
    assert table[0, 1, 1] == 0.9 and table[1, 0, 1] == table[1, 1, 0] == pytest.approx(0.3)  # (0.1 + 0.5) / 2
    assert lineups.unmeasured(POOL, 3) == [(HEADS, TAILS, TAILS)]
    # n players form C(n + sides - 1, sides) multisets, of which n contain copies only.
    assert len(Lineups().unmeasured([f"p@{n:04d}" for n in range(6)], 4)) == 126 - 6


@pytest.mark.parametrize(
    ("solver", "expected", "tolerance"),
    [
        (UniformMixture(), 0.5, 1e-12),
        (RegretMatching(20_000), 2 / 3, 1e-3),
        (ProjectedReplicator(0.1, 1e-6, 20_000), 2 / 3, 1e-3),
        # OpenSpiel 2.0.2 on this game of three (its gamma 1e-6, dt 1e-3, 2,000 steps), before convergence.
        (ProjectedReplicator(1e-3, 1e-6, 2_000), 0.52765083, 1e-8),
        # A mutant with heads among tails earns 0.75 more than these, with tails among heads 0.375. At selection 1 they
        # take over with 1 - exp(-0.75) and 1 - exp(-0.375), up to exp(-18); with infinite selection both with 1.
        (AlphaRank(1.0, 50), 0.527633 / (0.527633 + 0.312711), 1e-5),
        (AlphaRank(np.inf, 50), 0.5, 1e-9),
    ],
)
def test_the_odd_one_out_game(solver: MetaStrategy, expected: float, tolerance: float) -> None:
    mixture = solver.solve(odd_one_out().game(POOL, EVEN))
    assert mixture == pytest.approx([expected, 1 - expected], abs=tolerance)


def test_strategies_that_keep_each_other_out_have_equal_ranks() -> None:
    lineups = Lineups()
    lineups.record((HEADS, HEADS, TAILS), (0.65, 0.65, 0.2))
    lineups.record((HEADS, TAILS, TAILS), (0.2, 0.65, 0.65))
    for selection in (100.0, np.inf):
        assert AlphaRank(selection, 50).solve(lineups.game(POOL, EVEN)) == pytest.approx([0.5, 0.5])


def test_nash_refuses_more_than_two_sides() -> None:
    with pytest.raises(ValueError, match="nash is for two sides"):
        Nash().solve(odd_one_out().game(POOL, EVEN))


@given(st.integers(2, 5), st.integers(3, 4), st.integers(0, 2**32 - 1))
def test_without_interactions_it_is_the_game_of_two_sides(players: int, sides: int, seed: int) -> None:
    """If scores are the means of pairs, measured or not, the mixtures are those of the pairs."""
    above = np.triu(np.random.default_rng(seed).uniform(-0.5, 0.5, (players, players)), 1)
    pairs, pool = 0.5 + above - above.T, [f"p@{n:04d}" for n in range(players)]
    lineups = Lineups()
    for number, lineup in enumerate(lineups.unmeasured(pool, sides)):
        if number % 2:  # the others are estimated
            seats = [pool.index(player) for player in lineup]
            lineups.record(lineup, [(pairs[seat, seats].sum() - 0.5) / (sides - 1) for seat in seats])
    table = lineups.game(pool, pairs)
    assert table.shape == (players,) * sides
    for solver in (UniformMixture(), RegretMatching(300), ProjectedReplicator(0.1, 1e-6, 300)):
        assert solver.solve(table) == pytest.approx(solver.solve(pairs), abs=1e-6)


def league() -> League:
    made = League([Learner("main")], Meta(RegretMatching(20_000)), EverySteps(1), meta_strategy=RegretMatching(20_000))
    for number in range(2):
        made.add_snapshot("main", str(number), number, "a test")
    return made


def test_a_league_uses_and_saves_its_lineups() -> None:
    first = league()
    assert first.mixture().tolist() == [0.5, 0.5]
    for lineup in first.unmeasured_lineups(3):
        first.record_measured_lineup(*next(known for known in ODD.items() if sorted(known[0]) == sorted(lineup)))
    assert first.unmeasured_lineups(3) == []
    resumed = league()
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for loaded in (first, resumed):
        assert loaded.mixture() == pytest.approx([2 / 3, 1 / 3], abs=1e-3)
        assignment = loaded.assign("main", 2, np.random.default_rng(0))
        assert dict(zip([o.player for o in assignment.opponents], assignment.shares, strict=True)) == pytest.approx(
            dict(zip(POOL, [2 / 3, 1 / 3], strict=True)), abs=1e-3
        )
    first.record_measured_lineup((HEADS, "main@0007", TAILS), (0.0, 1.0, 0.5))  # a player that left the pool
    first.pool_limit = 2
    first.add_snapshot("main", "2", 2, "a test")
    assert first.unmeasured_lineups(3) == [(TAILS, TAILS, "main@0002"), (TAILS, "main@0002", "main@0002")]
