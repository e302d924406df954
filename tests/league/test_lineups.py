"""Games of more than two sides: what lineups score, and what mixtures follow.

In the game of odd ones, heads or tails between three, who is alone wins: alone with heads all of the score, alone with
tails 0.75, and the others share the rest. If others play heads with probability x, heads earns 0.5 x^2 + 0.75 x (1 - x)
+ (1 - x)^2 and tails 0.75 x^2 + 0.5 x (1 - x) + 0.5 (1 - x)^2; they are equal at x = 2/3.
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


def odd_ones() -> Lineups:
    lineups = Lineups()
    for lineup, scores in ODD.items():
        lineups.record(lineup, scores)
    return lineups


def test_the_table_has_what_each_scores_among_the_others() -> None:
    assert odd_ones().game(POOL, EVEN).tolist() == [[[0.5, 0.375], [0.375, 1.0]], [[0.75, 0.25], [0.25, 0.5]]]


def test_copies_score_alike() -> None:
    lineups = Lineups()
    lineups.record((HEADS, TAILS, HEADS), (0.5, 0.8, 0.2))
    assert lineups.game(POOL, EVEN)[0, 0, 1] == lineups.game(POOL, EVEN)[0, 1, 0] == pytest.approx(0.35)


def test_what_is_missing_is_what_pairs_say() -> None:
    pairs = np.array([[0.5, 0.9], [0.1, 0.5]])
    assert Lineups().game(POOL, pairs) is pairs  # nothing is known of lineups: a game of two
    lineups = Lineups()
    lineups.record((HEADS, HEADS, TAILS), (0.6, 0.6, 0.3))
    table = lineups.game(POOL, pairs)
    assert table[0, 0, 1] == 0.6 and table[1, 0, 0] == 0.3
    assert table[0, 1, 1] == 0.9 and table[1, 0, 1] == table[1, 1, 0] == pytest.approx(0.3)  # (0.1 + 0.5) / 2
    assert lineups.unmeasured(POOL, 3) == [(HEADS, TAILS, TAILS)]
    # Of n players in so many sides there are (n + sides - 1) over sides sets, and n of them are copies only.
    assert len(Lineups().unmeasured([f"p@{n:04d}" for n in range(6)], 4)) == 126 - 6


@pytest.mark.parametrize(
    ("solver", "expected", "tolerance"),
    [
        (UniformMixture(), 0.5, 1e-12),
        (RegretMatching(20_000), 2 / 3, 1e-3),
        (ProjectedReplicator(0.1, 1e-6, 20_000), 2 / 3, 1e-3),
        # OpenSpiel 2.0.2 on this game of three (its gamma 1e-6, dt 1e-3, 2,000 steps), on the way there.
        (ProjectedReplicator(1e-3, 1e-6, 2_000), 0.52765083, 1e-8),
        # One with heads among tails earns 0.75 more than these, one with tails among heads 0.375. With selection 1 they
        # take over in shares of (1 - exp(-0.75)) and (1 - exp(-0.375)), but for exp(-18); with infinite both for sure.
        (AlphaRank(1.0, 50), 0.527633 / (0.527633 + 0.312711), 1e-5),
        (AlphaRank(np.inf, 50), 0.5, 1e-9),
    ],
)
def test_the_game_of_odd_ones(solver: MetaStrategy, expected: float, tolerance: float) -> None:
    mixture = solver.solve(odd_ones().game(POOL, EVEN))
    assert mixture == pytest.approx([expected, 1 - expected], abs=tolerance)


def test_two_that_keep_each_other_out_rank_alike() -> None:
    lineups = Lineups()
    lineups.record((HEADS, HEADS, TAILS), (0.65, 0.65, 0.2))
    lineups.record((HEADS, TAILS, TAILS), (0.2, 0.65, 0.65))
    for selection in (100.0, np.inf):
        assert AlphaRank(selection, 50).solve(lineups.game(POOL, EVEN)) == pytest.approx([0.5, 0.5])


def test_nash_says_that_it_is_for_two() -> None:
    with pytest.raises(ValueError, match="nash is for two sides"):
        Nash().solve(odd_ones().game(POOL, EVEN))


@given(st.integers(2, 5), st.integers(3, 4), st.integers(0, 2**32 - 1))
def test_where_company_does_not_matter_it_is_the_game_of_two(players: int, sides: int, seed: int) -> None:
    """If all score what their pairs say, so does the table, measured or not; and the mixtures are those of pairs."""
    above = np.triu(np.random.default_rng(seed).uniform(-0.5, 0.5, (players, players)), 1)
    pairs, pool = 0.5 + above - above.T, [f"p@{n:04d}" for n in range(players)]
    lineups = Lineups()
    for number, lineup in enumerate(lineups.unmeasured(pool, sides)):
        if number % 2:  # the others are filled in
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


def test_a_league_plays_what_its_lineups_say_and_saves_them() -> None:
    one = league()
    assert one.mixture().tolist() == [0.5, 0.5]
    for lineup in one.unmeasured_lineups(3):
        one.record_measured_lineup(*next(known for known in ODD.items() if sorted(known[0]) == sorted(lineup)))
    assert one.unmeasured_lineups(3) == []
    again = league()
    again.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for loaded in (one, again):
        assert loaded.mixture() == pytest.approx([2 / 3, 1 / 3], abs=1e-3)
        assignment = loaded.assign("main", 2, np.random.default_rng(0))
        assert dict(zip([o.player for o in assignment.opponents], assignment.shares, strict=True)) == pytest.approx(
            dict(zip(POOL, [2 / 3, 1 / 3], strict=True)), abs=1e-3
        )
    one.record_measured_lineup((HEADS, "main@0007", TAILS), (0.0, 1.0, 0.5))  # who has left meanwhile
    one.pool_limit = 2
    one.add_snapshot("main", "2", 2, "a test")
    assert one.unmeasured_lineups(3) == [(TAILS, TAILS, "main@0002"), (TAILS, "main@0002", "main@0002")]
