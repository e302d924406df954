"""Meta-strategies of games with known equilibria, and the property of Nash: no player of the pool beats it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.league.meta.nash import Nash
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.payoff import Payoff
from marl_app.league.players import Learner
from marl_app.league.view import LeagueView

ROCK_PAPER_SCISSORS = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
BIASED = 0.5 + np.array([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])


@st.composite
def win_rates(draw: st.DrawFn, max_size: int = 8) -> np.ndarray:
    """Win rates of a random symmetric zero-sum game, in steps of 0.001, far above the threshold of copies."""
    n = draw(st.integers(1, max_size))
    above = np.zeros((n, n))
    pairs = n * (n - 1) // 2
    above[np.triu_indices(n, 1)] = draw(st.lists(st.integers(-500, 500), min_size=pairs, max_size=pairs))
    return 0.5 + (above - above.T) / 1000


def test_uniform() -> None:
    assert UniformMixture().solve(BIASED).tolist() == [1 / 3] * 3
    assert UniformMixture().solve(np.array([[0.5]])).tolist() == [1.0]


def test_rock_paper_scissors() -> None:
    assert Nash().solve(ROCK_PAPER_SCISSORS) == pytest.approx([1 / 3] * 3)


def test_biased_rock_paper_scissors() -> None:
    # The mixture p with p @ advantage = 0: (b, c, a) / (a + b + c) for the advantages a = .25 (paper over rock),
    # b = .05 (scissors over paper) and c = .5 (rock over scissors).
    assert Nash().solve(BIASED) == pytest.approx([0.0625, 0.625, 0.3125])


def test_copies_share() -> None:
    # Rock is in the pool three times: its third is shared. A difference of 1e-8 is ignored.
    copies = [0, 1, 0, 2, 0]
    game = ROCK_PAPER_SCISSORS[np.ix_(copies, copies)].copy()
    game[4] += 1e-8
    assert Nash().solve(game) == pytest.approx([1 / 9, 1 / 3, 1 / 9, 1 / 3, 1 / 9])


def test_a_player_that_loses_to_all_has_probability_0() -> None:
    game = np.full((4, 4), 0.5)
    game[:3, :3] = ROCK_PAPER_SCISSORS
    game[:3, 3], game[3, :3] = 0.6, 0.4
    assert Nash().solve(game) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_a_player_that_beats_all_has_probability_1() -> None:
    assert Nash().solve(np.array([[0.5, 0.51, 0.6], [0.49, 0.5, 0.9], [0.4, 0.1, 0.5]])) == pytest.approx([1, 0, 0])


def test_a_single_player_is_played() -> None:
    assert Nash().solve(np.array([[0.5]])).tolist() == [1.0]


@given(win_rates())
def test_no_player_beats_the_mixture(game: np.ndarray) -> None:
    mixture = Nash().solve(game)
    assert (mixture >= 0).all() and mixture.sum() == pytest.approx(1)
    assert (game @ mixture).max() <= 0.5 + 1e-6


@given(win_rates(5), st.lists(st.integers(0, 4), max_size=4))
def test_copies_have_equal_probabilities_and_change_nothing_else(game: np.ndarray, more: list[int]) -> None:
    """A learner that does not improve fills its pool with copies."""
    players = [*range(len(game)), *(player for player in more if player < len(game))]
    pool = game[np.ix_(players, players)]
    mixture = Nash().solve(pool)
    assert (pool @ mixture).max() <= 0.5 + 1e-6
    for index, player in enumerate(players):
        assert mixture[index] == mixture[player]


@given(win_rates(), st.integers(0, 2**32 - 1))
def test_noise_that_is_not_mirrored_is_averaged(game: np.ndarray, seed: int) -> None:
    """Noise that is equal in both directions of a pair cancels in half the difference of the two."""
    noise = np.random.default_rng(seed).integers(-50, 50, game.shape) / 1024
    mixture = Nash().solve(game + noise + noise.T)
    assert (game @ mixture).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    "game",
    [np.zeros((0, 0)), np.zeros((2, 3)), np.zeros(3), np.zeros((2, 2, 2)), np.float64(0.5)],
    ids=lambda game: str(game.shape),
)
def test_scores_of_wrong_shape_are_refused(game: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"scores must be \[n, n\] with n >= 1|nash is for two sides"):
        Nash().solve(game)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value: float) -> None:
    game = ROCK_PAPER_SCISSORS.copy()
    game[1, 2] = value
    with pytest.raises(ValueError, match="scores must be finite"):
        Nash().solve(game)


def test_the_mixture_of_an_empty_pool_is_empty() -> None:
    view = LeagueView((Learner("main"),), (), Payoff(), {})
    for strategy in (UniformMixture(), Nash()):
        assert view.mixture(strategy).shape == (0,)
