"""Symmetries: the views of boards, their inverses, and the violations that the checker reports."""

import numpy as np
import pytest

from marl_app.envs.checker import check_env
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.symmetries import Symmetries, Views
from marl_app.envs.tic_tac_toe import TicTacToe

SQUARE = TicTacToe.groups[0].symmetries
MIRROR = ConnectFour.groups[0].symmetries


def test_tic_tac_toe_has_the_eight_symmetries_of_the_square():
    assert len(set(SQUARE.actions)) == len(set(SQUARE.observations)) == 8
    # Rotations and reflections keep the center, and map corners (even cells) to corners.
    for view in SQUARE.actions:
        assert view[4] == 4 and {view[0], view[2], view[6], view[8]} == {0, 2, 6, 8}


def test_the_mirror_of_connect_four_reverses_the_columns():
    assert MIRROR.actions == ((0, 1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1, 0))
    board = np.arange(84).reshape(1, 6, 7, 2)
    assert (Views(MIRROR).observations(board, np.array([1])) == board[:, :, ::-1]).all()


@pytest.mark.parametrize("symmetries", [SQUARE, MIRROR])
def test_a_view_and_back_is_the_original(symmetries):
    views, rng = Views(symmetries), np.random.default_rng(0)
    chosen = rng.integers(views.count, size=200)
    size = len(symmetries.actions[0])
    actions = rng.integers(size, size=200)
    assert (views.original_actions(views.actions(actions, chosen), chosen) == actions).all()
    # Probabilities are permuted as masks are: back from the view they are the original's.
    probabilities = rng.random((200, size))
    assert (views.original_probabilities(views.masks(probabilities, chosen), chosen) == probabilities).all()
    # The probability of an action in the view is that of the action that it is in the original.
    rows = np.arange(200)
    in_view = views.masks(probabilities, chosen)
    assert (in_view[rows, views.actions(actions, chosen)] == probabilities[rows, actions]).all()


def tic_tac_toe(symmetries):
    """Return tic-tac-toe with these symmetries."""

    class Symmetric(TicTacToe):
        groups = (TicTacToe.groups[0]._replace(symmetries=symmetries),)

    return Symmetric


@pytest.mark.parametrize(
    ("symmetries", "message"),
    [
        # The transpose of the cells with the identity of the observation: a move lands elsewhere than it is seen.
        (
            SQUARE._replace(observations=(SQUARE.observations[0],) * 8),
            "symmetry .: (observations|legal actions) differ",
        ),
        (SQUARE._replace(actions=(SQUARE.actions[0],) * 8), "symmetry .: (observations|legal actions) differ"),
        (SQUARE._replace(actions=SQUARE.actions[::-1]), r"symmetries.actions: the first must be the identity, 0 to 8"),
        (SQUARE._replace(actions=SQUARE.actions[:7]), "8 permutations of observations and 7 of actions"),
        (SQUARE._replace(actions=(SQUARE.actions[0], (0,) * 9)), r"symmetries.actions\[1\] is not a permutation"),
        (MIRROR, r"symmetries.observations: the first must be the identity, 0 to 17"),
    ],
)
def test_the_checker_reports_wrong_symmetries(symmetries, message):
    with pytest.raises(AssertionError, match=message):
        check_env(tic_tac_toe(symmetries))


def test_the_checker_reports_a_rule_that_breaks_the_symmetry():
    """Swapping two cells of a row keeps observations and masks alike, but not who wins."""
    swapped = np.array([1, 0, 2, 3, 4, 5, 6, 7, 8])
    entries = np.arange(18).reshape(9, 2)
    broken = Symmetries.from_arrays([entries, entries[swapped]], [np.arange(9), swapped])
    with pytest.raises(AssertionError, match="symmetry 1: rewards differ"):
        check_env(tic_tac_toe(broken))
