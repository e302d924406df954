"""A pool per side: matchmaking, and the meta-strategies of two populations."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.age_rank import AgeRank
from marl_app.league.matchmakers.alphastar import AlphaStar
from marl_app.league.matchmakers.elo import Elo
from marl_app.league.matchmakers.fixed import Fixed
from marl_app.league.matchmakers.ghost import Ghost
from marl_app.league.matchmakers.latest import Latest
from marl_app.league.matchmakers.meta import Meta
from marl_app.league.matchmakers.openai_five import OpenAIFive
from marl_app.league.matchmakers.pfsp import Pfsp
from marl_app.league.matchmakers.rectified import Rectified
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.league.meta.alpha_rank import AlphaRank
from marl_app.league.meta.nash import Nash
from marl_app.league.meta.projected_replicator import ProjectedReplicator
from marl_app.league.meta.regret_matching import RegretMatching
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.players import MAIN_AGENT, MAIN_EXPLOITER, Guest, Learner
from marl_app.league.schedule import EverySteps
from marl_app.league.standing import Standing
from marl_app.league.thinning.meta import MetaThinning

HUNTER, PREY = Learner("hunter", MAIN_AGENT, side=0), Learner("prey", MAIN_AGENT, side=1)
TRAPPER = Learner("trapper", MAIN_EXPLOITER, side=0)
SOLVERS = [
    UniformMixture(), Nash(), RegretMatching(2000), ProjectedReplicator(0.1, 1e-10, 2000), AlphaRank(10.0, 50),
    AlphaRank(np.inf, 50),
]  # fmt: skip
MATCHMAKERS = [
    AgeRank(0.5), AlphaStar(), Elo(200.0), Ghost(3, 0.5), Latest(), Meta(Nash()), OpenAIFive(0.5, 0.01), Pfsp(),
    Rectified(Nash()), Uniform(),
]  # fmt: skip


def league_of(*learners, pool="", matchmaker=None, **settings):
    league = League(learners, matchmaker or Uniform(), EverySteps(100), **settings)
    for number, learner in enumerate(pool.split()):
        league.add_snapshot(learner, f"{number:064x}", number, "x")
    return league


@pytest.mark.parametrize("matchmaker", MATCHMAKERS, ids=lambda option: type(option).__name__)
@pytest.mark.parametrize("pool", ["", "hunter", "hunter prey prey hunter trapper hunter"])
def test_every_rule_picks_players_of_the_other_side_only(matchmaker, pool):
    league = league_of(HUNTER, TRAPPER, PREY, pool=pool, matchmaker=matchmaker)
    view = league.view
    for learner, side in (("hunter", 0), ("trapper", 0), ("prey", 1)):
        branches = matchmaker.branches(view, learner)
        assert sum(branch.probability for branch in branches) == pytest.approx(1)
        assert {view.side(player) for branch in branches for player in branch.opponents} == {1 - side}
        assert league.assign(learner, 2, np.random.default_rng(0)).side == side


def test_self_play_is_against_the_main_agents_of_the_other_side():
    view = league_of(HUNTER, TRAPPER, PREY).view
    for learner, opponent in (("hunter", "prey"), ("trapper", "prey"), ("prey", "hunter")):
        (branch,) = Latest().branches(view, learner)
        assert (branch.rule, branch.opponents) == ("self_play", (opponent,))
    assert view.evaluated_learners == ("hunter", "prey")


def test_a_guest_of_a_side_is_met_by_the_other_side():
    league = league_of(HUNTER, PREY, matchmaker=Fixed({"hound": 0.5, "hare": 0.25, "bot": 0.25}))
    league.invite([Guest("hound", "a" * 64, "x", 0), Guest("hare", "b" * 64, "x", 1), Guest("bot", "c" * 64, "x")])
    probabilities = {
        learner: dict(zip(branch.opponents, branch.probabilities.tolist(), strict=True))
        for learner in ("hunter", "prey")
        for branch in league.matchmaker.branches(league.view, learner)
    }
    assert probabilities["hunter"] == {"hare@0000": 0.5, "bot@0000": 0.5}
    assert probabilities["prey"] == {"hound@0000": pytest.approx(2 / 3), "bot@0000": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    "learners",
    [(HUNTER,), (HUNTER, Learner("prey")), (HUNTER, Learner("prey", MAIN_EXPLOITER, side=1))],
)
def test_a_side_without_a_main_agent_is_refused(learners):
    with pytest.raises(ValueError, match=r"learners.<name>.side must be null for all, or 0 for some"):
        league_of(*learners)


def test_only_pairs_of_both_sides_are_measured_side_0_first():
    league = league_of(HUNTER, PREY, pool="hunter prey prey hunter")
    pairs = [("hunter@0000", "prey@0000"), ("hunter@0000", "prey@0001"), ("hunter@0001", "prey@0000")]
    # The pool is hunter@0000, prey@0000, prey@0001, hunter@0001: pairs of the newest, then of the one before.
    newest = [pairs[2], ("hunter@0001", "prey@0001")]
    assert league.unmeasured_pairs() == [*newest, pairs[1], pairs[0]]
    league.record_measured_pair(*pairs[0], 3, 0, 1, 3.0)
    assert pairs[0] not in league.unmeasured_pairs()


def test_the_sides_are_saved():
    league = league_of(HUNTER, PREY, pool="hunter prey")
    other = league_of(HUNTER, PREY)
    other.load_state_dict(json.loads(json.dumps(league.state_dict())))
    assert [snapshot.side for snapshot in other.snapshots] == [0, 1] and other.snapshots == league.snapshots


# Matching pennies in which heads on heads counts double: at (1/3, 2/3) of a side, both choices of the other are equal.
PENNIES = np.array([[1.0, 0.0], [0.0, 0.5]])
ROWS, COLUMNS = [1 / 3, 2 / 3], [1 / 3, 2 / 3]  # 1 x = 0.5 (1 - x)


def measured(scores, matchmaker=None, **settings):
    """A league of hunters (rows) and prey (columns) with these mean scores."""
    pool = "hunter " * len(scores) + "prey " * len(scores[0])
    league = league_of(HUNTER, PREY, pool=pool, matchmaker=matchmaker, meta_strategy=Nash(), **settings)
    for i, row in enumerate(scores):
        for j, score in enumerate(row):
            league.record_measured_pair(
                f"hunter@{i:04d}", f"prey@{j:04d}", 1000 * score, 0, 1000 - 1000 * score, 1000 * score
            )
    return league


def test_nash_of_two_populations():
    league = measured(PENNIES.tolist())
    assert league.mixture(0) == pytest.approx(ROWS) and league.mixture(1) == pytest.approx(COLUMNS)
    (branch,) = Meta(Nash()).branches(league.view, "prey")
    assert branch.opponents == ("hunter@0000", "hunter@0001") and branch.probabilities == pytest.approx(ROWS)


@pytest.mark.parametrize(
    ("solver", "tolerance"),
    [(Nash(), 1e-9), (RegretMatching(20_000), 0.02), (ProjectedReplicator(0.2, 1e-10, 20_000), 0.05)],
    ids=lambda option: type(option).__name__,
)
def test_solvers_find_the_equilibrium_of_two_populations(solver, tolerance):
    # Columns minimize: the second is below the third against both rows, so the third has probability 0.
    game = np.array([[0.9, 0.2, 0.7], [0.1, 0.8, 0.9]])
    # x 0.9 + (1 - x) 0.1 = x 0.2 + (1 - x) 0.8 for x = 1/2; y 0.9 + (1 - y) 0.2 = y 0.1 + (1 - y) 0.8 for y = 3/7.
    assert solver.solve_side(game) == pytest.approx([1 / 2, 1 / 2], abs=tolerance)
    assert solver.solve_side(1 - game.T) == pytest.approx([3 / 7, 4 / 7, 0], abs=tolerance)


@pytest.mark.parametrize(
    ("selection", "expected"), [(1.0, [0.43679, 0.30081, 0.2624]), (10.0, [0.4261, 0.32124, 0.25266])]
)
def test_alpha_rank_of_two_populations(selection, expected):
    game = np.array([[0.7, 0.2, 0.4], [0.1, 0.9, 0.6]])
    # OpenSpiel 2.0.2, alpharank.compute of these advantages and their negatives with m=50; the column player's share.
    assert AlphaRank(selection, 50).solve_side(1 - game.T) == pytest.approx(expected, abs=1e-5)
    assert AlphaRank(selection, 50).solve_side(game).sum() == pytest.approx(1)


@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_every_solver_returns_a_distribution_for_any_order_of_players(rows, columns, seed):
    rng = np.random.default_rng(seed)
    game, order = rng.random((rows, columns)), rng.permutation(rows)
    for solver in SOLVERS:
        mixture = solver.solve_side(game)
        assert mixture.shape == (rows,) and (mixture >= 0).all() and mixture.sum() == pytest.approx(1)
        assert solver.solve_side(game[order]) == pytest.approx(mixture[order], abs=1e-3)


@pytest.mark.parametrize("solver", SOLVERS[1:], ids=lambda option: type(option).__name__)
def test_invalid_scores_are_refused(solver):
    with pytest.raises(ValueError, match="finite"):
        solver.solve_side(np.array([[np.nan, 0.5]]))
    with pytest.raises(ValueError, match=r"\[m, n\]"):
        solver.solve_side(np.zeros((0, 2)))


def test_the_snapshot_that_its_side_needs_least_leaves():
    # hunter@0001 does worse than hunter@0000 against all prey; no prey is dominated. The newest of each side stay.
    league = measured([[0.9, 0.2], [0.1, 0.1], [0.2, 0.8]], pool_limit=5, thinning=MetaThinning(0.01))
    drop = MetaThinning(0.01).drop(league.view, {"hunter@0002", "prey@0001"})
    assert drop.player == "hunter@0001" and drop.cost == 0.0


def test_the_cost_of_a_drop_for_its_side():
    # Pennies: the mean score of the hunters is 1/3. Without the first prey, the second is played, and they score 0.5.
    league = measured(PENNIES.tolist())
    drop = MetaThinning(0.01).drop(league.view, {"hunter@0000", "hunter@0001", "prey@0001"})
    assert drop.player == "prey@0000" and drop.cost == pytest.approx(0.5 - 1 / 3)


def test_bands_and_sizes_are_of_players_that_may_meet():
    league = measured([[0.5, 0.5]] * 2)
    for opponent in ("prey@0000", "prey@0001"):
        ones = np.ones(1, np.int64)
        league.record(Outcomes("hunter", (opponent,), ("x",), ones * 0, ones * 9, ones * 0, ones, ones, np.ones(1) * 9))
    assert league.bands("hunter")["oldest"][0] > 0.7 and set(league.bands("prey")) == {"oldest", "middle"}
    # All hunters are equal, and so are all prey: an effective size of 1 each; Nash shares among copies: 2 each.
    standing = Standing.from_league(league)
    assert standing.effective_pool_size == pytest.approx(2) and standing.meta_strategy_size == pytest.approx(4)
