"""Placement: the rules that boards state, and the violations that the checker reports."""

import numpy as np
import pytest

from marl_app.envs.checker import check_env
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.placement import Placement, afterstates, lines_on_board
from marl_app.envs.tic_tac_toe import TicTacToe


def test_boards_have_the_known_numbers_of_lines():
    """Connect Four: 24 rows, 21 columns, 12 of each diagonal. Tic-tac-toe: 3 rows, 3 columns, 2 diagonals."""
    assert len(lines_on_board(6, 7, 4)) == 69
    stated = {frozenset(line) for line in TicTacToe.groups[0].placement.lines}
    assert stated == {frozenset(line) for line in lines_on_board(3, 3, 3).tolist()} and len(stated) == 8


def test_a_line_longer_than_the_board_has_no_places():
    assert lines_on_board(2, 3, 4).shape == (0, 4)


def test_a_disc_falls_on_the_discs_of_its_column_and_may_complete_a_line():
    board = np.zeros((1, 6, 7, 2), np.int8)
    board[0, 3:, 0, 0] = 1  # three of the agent's discs in column 0
    board[0, :, 1, 1] = 1  # column 1 is full
    after, legal, wins = afterstates(board, ConnectFour.groups[0].placement)
    assert legal.tolist() == [[True, False, True, True, True, True, True]]
    assert wins.tolist() == [[True, False, False, False, False, False, False]]
    expected = board[0].copy()
    expected[2, 0, 0] = 1
    assert (after[0, 0] == expected).all() and (after[0, 1] == board[0]).all()


def tic_tac_toe(placement):
    """Return tic-tac-toe with this placement."""

    class Stated(TicTacToe):
        groups = (TicTacToe.groups[0]._replace(placement=placement),)

    return Stated


RULES = TicTacToe.groups[0].placement


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (RULES._replace(actions=RULES.actions[::-1]), "another board"),
        (RULES._replace(actions=RULES.actions[:8]), "has 8 actions, and the action space 9"),
        (RULES._replace(actions=((0, 1), *RULES.actions[1:])), "other actions"),
        (RULES._replace(lines=RULES.lines[:-1]), "another end of the match"),
        (RULES._replace(lines=((0, 1, 9), *RULES.lines[1:])), "are not cells 0 to 8"),
        (RULES._replace(lines=((0, 1), *RULES.lines[1:])), "lines of different lengths"),
        (RULES._replace(lines=()), "lines of different lengths, or none"),
    ],
)
def test_the_checker_reports_rules_that_the_game_does_not_have(placement, message):
    assert isinstance(placement, Placement)
    with pytest.raises(AssertionError, match=message):
        check_env(tic_tac_toe(placement), steps=50)
