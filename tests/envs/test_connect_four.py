"""Connect Four on bitboards, move for move against OpenSpiel and PettingZoo."""

import numpy as np
import pyspiel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pettingzoo.classic import connect_four_v3

from marl_app.envs.connect_four import ConnectFour, has_four
from marl_app.envs.random_play import random_actions


def play(env: ConnectFour, columns: list[int]):
    """Play a match of an environment with B=1; returns the last step."""
    rng = np.random.default_rng(0)
    env.reset(rng)
    for column in columns:
        step = env.step([np.full((1, 2), column)], rng)
    return step


def naive_four(board: np.ndarray) -> bool:
    """Return whether a bool [6, 7] board has four in a row, by checking every line of four cells."""
    for row in range(6):
        for column in range(7):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(row + i * down, column + i * right) for i in range(4)]
                if all(r < 6 and 0 <= c < 7 and board[r, c] for r, c in cells):
                    return True
    return False


def to_word(board: np.ndarray) -> np.uint64:
    """Convert a bool [6, 7] board, row 0 at the bottom, to a bitboard."""
    return np.uint64(sum(1 << (7 * int(column) + int(row)) for row, column in np.argwhere(board)))


@given(arrays(np.bool_, (6, 7), elements=st.booleans()))
def test_four_in_a_row_is_found_exactly_where_a_naive_scan_finds_it(board):
    assert has_four(np.array([to_word(board)]))[0] == naive_four(board)


def test_a_line_does_not_wrap_from_one_column_into_the_next():
    board = np.zeros((6, 7), bool)
    board[4:, 0] = board[:2, 1] = True  # two at the top of one column, two at the bottom of the next
    assert not has_four(np.array([to_word(board)]))[0]


def test_thousands_of_random_games_equal_openspiel():
    game = pyspiel.load_game(ConnectFour.openspiel_game)
    batch, rng = 250, np.random.default_rng(1)
    env = ConnectFour(batch)
    env.reset(rng)
    states = [game.new_initial_state() for _ in range(batch)]
    played = 0
    while played < 5000:
        matches, agents = env.acting().nonzero()
        assert [state.current_player() for state in states] == agents.tolist()
        masks = env.action_mask(matches, agents)
        assert [np.flatnonzero(mask).tolist() for mask in masks] == [state.legal_actions() for state in states]
        actions = random_actions(env, rng)
        step = env.step(actions, rng)
        for match, state in enumerate(states):
            state.apply_action(int(actions[0][match, agents[match]]))
        assert step.over.tolist() == [state.is_terminal() for state in states]
        # OpenSpiel's connect_four pays only at the end, +1, -1 or 0: rewards() is the reward of the last move.
        assert step.rewards.tolist() == [state.rewards() for state in states]
        ended = step.over.nonzero()[0]
        returns = np.array([states[match].returns() for match in ended]).reshape(-1, 2)
        np.testing.assert_array_equal(env.scores(ended), (returns + 1) / 2)
        env.reset(rng, ended)
        played += len(ended)
        for match in ended:
            states[match] = game.new_initial_state()


def test_observations_masks_and_rewards_equal_pettingzoo():
    batch, rng = 20, np.random.default_rng(2)
    env, originals = ConnectFour(batch), [connect_four_v3.env() for _ in range(batch)]
    env.reset(rng)
    for original in originals:
        original.reset()
    running = np.ones(batch, bool)
    first = originals[0]
    assert env.agents == tuple(first.possible_agents)
    assert env.groups[0].observation_space == first.observation_space("player_0")["observation"]
    assert env.groups[0].action_space == first.action_space("player_0")
    while running.any():
        all_matches = np.arange(batch)
        seen = [env.observe(all_matches, np.full(batch, agent)) for agent in (0, 1)]
        matches, agents = env.acting().nonzero()
        masks = env.action_mask(matches, agents)
        actions = random_actions(env, rng)
        step = env.step(actions, rng)
        for match in running.nonzero()[0]:
            original = originals[match]
            for agent, name in enumerate(env.agents):
                np.testing.assert_array_equal(seen[agent][match], original.observe(name)["observation"])
            mover = env.agents[agents[match]]
            assert original.agent_selection == mover
            np.testing.assert_array_equal(masks[match], original.observe(mover)["action_mask"])
            original.step(int(actions[0][match, agents[match]]))
            assert step.rewards[match].tolist() == [original.rewards[name] for name in env.agents]
            assert step.over[match] == all(original.terminations.values())
        running &= ~step.over
        env.reset(rng, step.over.nonzero()[0])  # ended matches play on, but are not compared any more


def test_the_winner_gets_one_and_the_loser_minus_one():
    step = play(env := ConnectFour(1), [0, 1, 0, 1, 0, 1, 0])  # player_0 stacks four in column 0
    assert step.over.tolist() == [True]
    assert step.rewards.tolist() == [[1, -1]]
    assert env.scores(np.array([0])).tolist() == [[1, 0]]


def test_the_second_player_can_win():
    step = play(env := ConnectFour(1), [6, 0, 1, 0, 1, 0, 1, 0])  # player_1 stacks four in column 0
    assert step.rewards.tolist() == [[-1, 1]]
    assert env.scores(np.array([0])).tolist() == [[0, 1]]


def test_a_full_board_is_a_draw():
    # Found among random games; OpenSpiel confirms that it is a draw.
    columns = [3, 6, 1, 3, 1, 3, 6, 4, 5, 5, 3, 4, 3, 1, 1, 0, 4, 3, 0, 4, 6]
    columns += [6, 2, 6, 1, 0, 5, 5, 2, 4, 5, 1, 5, 6, 0, 0, 2, 2, 4, 2, 2, 0]
    state = pyspiel.load_game("connect_four").new_initial_state()
    for column in columns:
        state.apply_action(column)
    assert state.is_terminal() and state.returns() == [0, 0]
    step = play(env := ConnectFour(1), columns)
    assert step.over.tolist() == [True]
    assert step.rewards.tolist() == [[0, 0]]
    assert env.scores(np.array([0])).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("column", [-1, 7])
def test_a_column_that_is_not_on_the_board_is_an_error(column):
    with pytest.raises(ValueError, match=f"illegal action {column} in match 0: the column is not one of 0..6"):
        play(ConnectFour(1), [column])


def test_a_full_column_is_an_error_that_names_the_match():
    env, rng = ConnectFour(2), np.random.default_rng(0)
    env.reset(rng)
    for column in range(6):  # six discs fill column 3 of match 1; match 0 spreads them
        env.step([np.array([[column, column], [3, 3]])], rng)
    with pytest.raises(ValueError, match="illegal action 3 in match 1: the column is full"):
        env.step([np.array([[6, 6], [3, 3]])], rng)
