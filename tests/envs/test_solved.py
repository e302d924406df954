"""Solved positions: the recorded values are true, as an independent solver finds them."""

from collections import Counter
from functools import cache

import numpy as np
import pyspiel

from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.solved import SolvedPosition, batches_by_length
from marl_app.envs.tic_tac_toe import TicTacToe
from tests.envs.connect_four_solver import move_values


def test_late_positions_of_connect_four_have_the_values_of_an_exact_search():
    late = [position for position in ConnectFour(1).solved_positions() if len(position.moves) >= 22]
    assert len(late) == 49
    for moves, values in late:
        assert move_values(moves) == values, moves


def test_connect_four_has_500_positions_of_8_to_24_moves():
    positions = ConnectFour(1).solved_positions()
    assert len({moves for moves, _ in positions}) == len(positions) == 500
    assert {len(moves) for moves, _ in positions} == set(range(8, 25))
    # One win, one draw, five losses: letters and columns are read in the right order.
    assert dict(positions)[0, 1, 1, 0, 6, 3, 5, 0] == {1: 1, 0: 0, 2: -1, 3: -1, 4: -1, 5: -1, 6: -1}


def test_all_positions_of_tic_tac_toe_have_the_values_that_openspiel_gives():
    @cache
    def value(board):
        """Return the value for the player to move of a board that `states` has."""
        state = states[board]
        if state.is_terminal():
            return state.returns()[(board.count("x") + board.count("o")) % 2]
        return max(values(state).values())

    def values(state):
        found = {}
        for action in state.legal_actions():
            child = state.child(action)
            states[str(child)] = child
            found[action] = -value(str(child))
        return found

    states = {}
    root = pyspiel.load_game("tic_tac_toe").new_initial_state()
    values(root)
    mistakes = {
        name for name, state in states.items() if not state.is_terminal() and len(set(values(state).values())) > 1
    }
    seen = set()
    for position in TicTacToe(1).solved_positions():
        state = root.clone()
        for move in position.moves:
            state.apply_action(move)
        assert position.values == values(state)
        seen.add(str(state))
    assert seen == mistakes and len(seen) == len(TicTacToe(1).solved_positions()) == 3191


def test_batches_hold_positions_of_one_length_and_nan_for_illegal_actions():
    positions = [
        SolvedPosition((2, 1), {0: 1, 2: -1}),
        SolvedPosition((), {1: 0, 2: -1}),
        SolvedPosition((0, 0), {1: -1, 2: 0}),
    ]
    first, second = batches_by_length(positions, actions=3)
    np.testing.assert_array_equal(first.values, [[np.nan, 0, -1]])
    assert first.moves.shape == (1, 0)
    np.testing.assert_array_equal(second.moves, [[2, 1], [0, 0]])
    np.testing.assert_array_equal(second.values, [[1, np.nan, -1], [np.nan, -1, 0]])
    assert Counter(len(batch.moves) for batch in batches_by_length(ConnectFour(1).solved_positions(), 7)).total() == 17
