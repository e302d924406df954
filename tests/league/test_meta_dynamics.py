"""Iterative meta-strategies: known games, published numbers, and properties for every game."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.league.meta.alpha_rank import AlphaRank, fixation
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.meta.nash import Nash, maximin
from marl_app.league.meta.projected_replicator import ProjectedReplicator, project
from marl_app.league.meta.regret_matching import RegretMatching
from marl_app.league.meta.uniform import UniformMixture

ROCK_PAPER_SCISSORS = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
BIASED = 0.5 + np.array([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])

SOLVERS = [
    UniformMixture(),
    Nash(),
    RegretMatching(500),
    ProjectedReplicator(0.01, 1e-6, 500),
    AlphaRank(100.0, 50),
    AlphaRank(np.inf, 50),
]
every_solver = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)


@st.composite
def games(draw: st.DrawFn) -> np.ndarray:
    """Win rates of a random symmetric zero-sum game, in steps of 1/64, so that sums are exact."""
    n = draw(st.integers(1, 6))
    above = np.zeros((n, n))
    pairs = n * (n - 1) // 2
    above[np.triu_indices(n, 1)] = draw(st.lists(st.integers(-32, 32), min_size=pairs, max_size=pairs))
    return 0.5 + (above - above.T) / 64


@every_solver
def test_rock_paper_scissors_is_a_third_each(solver: MetaStrategy) -> None:
    assert solver.solve(ROCK_PAPER_SCISSORS) == pytest.approx([1 / 3] * 3, abs=1e-9)


@every_solver
@settings(max_examples=25)
@given(games(), st.integers(0, 2**32 - 1))
def test_a_mixture_is_a_distribution_for_any_order_of_players(
    solver: MetaStrategy, game: np.ndarray, seed: int
) -> None:
    mixture = solver.solve(game)
    assert (mixture >= 0).all() and mixture.sum() == pytest.approx(1)
    order = np.random.default_rng(seed).permutation(len(game))
    permuted = solver.solve(game[np.ix_(order, order)])
    if isinstance(solver, Nash):  # equilibria are not unique, but have equal values
        assert (game[np.ix_(order, order)] @ permuted).max() <= 0.5 + 1e-6
    else:
        assert permuted == pytest.approx(mixture[order], abs=1e-6)


@pytest.mark.parametrize(
    ("solver", "expected", "tolerance"),
    [
        # OpenSpiel 2.0.2 on these advantages: 0.06512 0.62340 0.31147 after 20,000 steps, before convergence.
        (RegretMatching(20_000), [0.0651, 0.6234, 0.3115], 1e-3),
        # OpenSpiel 2.0.2: 0.09250 0.77895 0.12855, far from Nash.
        (ProjectedReplicator(1e-3, 1e-10, 50_000), [0.0925, 0.77895, 0.12855], 2e-5),
        # OpenSpiel 2.0.2, with its alpha 1, 10 and 100 and m = 50.
        (AlphaRank(1.0, 50), [0.1744, 0.71704, 0.10856], 1e-5),
        (AlphaRank(10.0, 50), [0.28053, 0.44081, 0.27866], 1e-5),
        (AlphaRank(100.0, 50), [1 / 3] * 3, 2e-5),
        (AlphaRank(np.inf, 50), [1 / 3] * 3, 1e-12),
    ],
)
def test_biased_rock_paper_scissors(solver: MetaStrategy, expected: list[float], tolerance: float) -> None:
    assert solver.solve(BIASED) == pytest.approx(expected, abs=tolerance)


def test_regret_matching_approaches_nash() -> None:
    nash = [0.0625, 0.625, 0.3125]
    assert RegretMatching(100_000).solve(BIASED) == pytest.approx(nash, abs=0.006)


def test_a_player_that_loses_to_all_keeps_the_floor_only() -> None:
    game = np.full((4, 4), 0.5)
    game[:3, :3] = ROCK_PAPER_SCISSORS
    game[:3, 3], game[3, :3] = 1.0, 0.0
    assert RegretMatching(2000).solve(game)[3] < 0.01
    assert AlphaRank(100.0, 50).solve(game) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    # From 1/4 the share falls as exp(-t / 2), to its floor at about t = 4.
    assert ProjectedReplicator(0.1, 0.05, 10_000).solve(game)[3] == pytest.approx(0.05, abs=1e-3)


def test_evolution_selects_the_top_of_a_ladder_and_equals_share() -> None:
    ladder = np.array([[0.5, 0.7, 0.9], [0.3, 0.5, 0.7], [0.1, 0.3, 0.5]])
    assert AlphaRank(100.0, 50).solve(ladder) == pytest.approx([1, 0, 0])
    assert AlphaRank(np.inf, 50).solve(np.full((5, 5), 0.5)) == pytest.approx([0.2] * 5)
    assert AlphaRank(100.0, 50).solve(np.array([[0.5]])).tolist() == [1.0]


def test_fixation_probabilities() -> None:
    # u = 2 * 0.5 * 0.1 = 0.1 and m = 10: (1 - exp(-0.1)) / (1 - exp(-1)) = 0.09516 / 0.63212, and for -u
    # (exp(0.1) - 1) / (exp(1) - 1) = 0.10517 / 1.71828.
    assert fixation(np.array([0.1, -0.1, 0.0]), 0.5, 10) == pytest.approx([0.150545, 0.061207, 0.1], abs=1e-5)
    assert fixation(np.array([0.1, -0.1, 0.0]), np.inf, 10).tolist() == [1, 0, 0.1]


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8), st.floats(0, 1))
def test_projection(point: list[float], share: float) -> None:
    floor = share / len(point)
    nearest = project(np.array(point), floor)
    assert nearest.min() >= floor - 1e-12 and nearest.sum() == pytest.approx(1)
    inside = np.full(len(point), 1 / len(point))
    assert project(inside, floor) == pytest.approx(inside)  # points of the set do not move
    # No corner of the set is nearer along the line to it: the condition of an orthogonal projection.
    for corner in floor + (1 - floor * len(point)) * np.eye(len(point)):
        assert (np.array(point) - nearest) @ (corner - nearest) <= 1e-9


def test_two_populations() -> None:
    # Payoffs of rows against columns: with (2/5, 3/5) the rows earn 1/5 against the first two columns, and more against
    # the third, which is never played.
    payoff = np.array([[2.0, -1.0, 3.0], [-1.0, 1.0, 2.0]])
    rows, columns = maximin(payoff), maximin(-payoff.T)
    assert rows == pytest.approx([2 / 5, 3 / 5]) and columns == pytest.approx([2 / 5, 3 / 5, 0])
    assert (rows @ payoff).min() == pytest.approx((payoff @ columns).max()) == pytest.approx(1 / 5)


@every_solver
def test_invalid_scores_are_refused(solver: MetaStrategy) -> None:
    if isinstance(solver, UniformMixture):
        return
    with pytest.raises(ValueError, match=r"scores must be \[n, n\]"):
        solver.solve(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        solver.solve(np.full((2, 2), np.nan))


def test_invalid_settings_are_refused() -> None:
    for make, words in (
        (lambda: RegretMatching(0), "iterations"),
        (lambda: ProjectedReplicator(0.0, 0.0, 1), "dt"),
        (lambda: ProjectedReplicator(0.1, 1.0, 1), "gamma"),
        (lambda: ProjectedReplicator(0.1, 0.0, 0), "iterations"),
        (lambda: AlphaRank(0.0, 50), "selection"),
        (lambda: AlphaRank(float("nan"), 50), "selection"),
        (lambda: AlphaRank(1.0, 1), "population"),
    ):
        with pytest.raises(ValueError, match=words):
            make()
