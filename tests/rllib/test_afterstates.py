"""Afterstate networks: values of all actions against a plain account, symmetry, exact ends, and refusals."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.placement import afterstates
from marl_app.envs.random_play import random_actions
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.modules.afterstate_values import without_views
from marl_app.players.modules.afterstates import Afterstates
from marl_app.players.modules.epsilon_greedy import ILLEGAL
from marl_app.players.modules.ntuple import board_windows
from marl_app.players.networks import Network, networks_for_env

GAMES = {"connect_four": ConnectFour, "tic_tac_toe": TicTacToe}


def build(env_class, seed=0, **settings):
    """Return the network of a game, with random tables."""
    (network,) = networks_for_env(env_class(1))
    module = network.spec(Afterstates(**settings)).build()
    weights = module.policy_head.encoder.tables
    with torch.no_grad():
        weights.normal_(std=0.1, generator=torch.Generator().manual_seed(seed))
    return module


def random_boards(env_class, count=60):
    """Return boards of random matches, as the agents to move see them."""
    env, rng = env_class(count), np.random.default_rng(0)
    env.reset(rng)
    boards = []
    for step in range(20):
        if step % 5 == 0:
            boards.append(env.observe(*env.acting().nonzero()))
        over = env.step(random_actions(env, rng), rng).over
        env.reset(rng, over.nonzero()[0])
    return np.concatenate(boards)


def with_reachable(states, placement):
    """Return states of cells [R, n, cells] with 3 for the first empty cell of each action."""
    states = states.copy()
    for row in states.reshape(-1, states.shape[-1]):
        for cells in placement.actions:
            empty = [cell for cell in cells if row[cell] == 0]
            if empty:
                row[empty[0]] = 3
    return states


@pytest.mark.parametrize(
    ("game", "reachable", "base"),
    [("connect_four", False, 3), ("connect_four", True, 4), ("tic_tac_toe", True, 3)],  # it would say nothing there
)
def test_a_value_is_the_sum_of_the_entries_of_the_position_after_the_action(game, reachable, base):
    """The plain account: place the piece, look up each group of cells in the board and in each symmetric view."""
    env_class = GAMES[game]
    settings = {"windows": [[2, 2], [1, 3]], "diagonals": [3], "reachable": reachable}
    module, boards = build(env_class, **settings), random_boards(env_class)
    group = env_class.groups[0]
    height, width, _ = group.observation_space.shape
    after, legal, wins = afterstates(boards, group.placement)
    table = module.policy_head.encoder.tables.detach().numpy()
    states = (after[..., 0] + 2 * after[..., 1]).reshape(*legal.shape, -1)  # [R, n, cells]
    full = (states > 0).all(axis=2)
    if base == 4:
        states = with_reachable(states, group.placement)
    expected = np.zeros(legal.shape)
    views = np.array(group.symmetries.observations)[:, ::2] // 2
    for view in views:
        seen, start = states[..., view], 0
        for groups in without_views(board_windows(height, width, settings["windows"], settings["diagonals"]), views):
            for cells in groups:
                expected += table[start + seen[..., cells] @ base ** np.arange(len(cells))]
                start += base ** len(cells)
    expected = np.where(wins, 1, np.where(full, 0, np.tanh(expected)))
    with torch.no_grad():
        values = module.policy_head.encoder(torch.from_numpy(boards)).numpy()
        rows = np.arange(len(boards))
        for action in range(legal.shape[1]):
            of_one = legal[:, action]
            actions = torch.full((int(of_one.sum()),), action)
            chosen = module.action_values_taken(torch.from_numpy(boards[of_one]), actions).numpy()
            np.testing.assert_allclose(chosen, expected[of_one, action], atol=1e-5)
    assert (values[~legal] == ILLEGAL).all() and legal[rows].any()
    np.testing.assert_allclose(values[legal], expected[legal], atol=1e-5)
    assert wins.any() and (~legal).any()  # or the cases were not met


@pytest.mark.parametrize("game", GAMES)
def test_the_policy_of_a_symmetric_board_is_the_symmetric_policy(game):
    module, boards = build(GAMES[game]), random_boards(GAMES[game])
    symmetries = GAMES[game].groups[0].symmetries
    with torch.no_grad():
        logits, values, _ = module.act_and_value(torch.from_numpy(boards))
        for observations, actions in zip(*symmetries, strict=True):
            seen = boards.reshape(len(boards), -1)[:, list(observations)].reshape(boards.shape)
            view_logits, view_values, _ = module.act_and_value(torch.from_numpy(seen))
            np.testing.assert_allclose(view_logits, logits[:, list(actions)], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(view_values, values, atol=1e-5)


def test_the_value_is_the_mean_of_the_values_of_actions_under_the_policy():
    module, boards = build(ConnectFour), torch.from_numpy(random_boards(ConnectFour))
    with torch.no_grad():
        values_of_actions = module.policy_head.encoder(boards)
        for temperature in (0.01, 0.5):
            module.set_temperature(temperature)
            logits, values, _ = module.act_and_value(boards)
            expected = (torch.softmax(logits.double(), 1) * values_of_actions).sum(1)
            np.testing.assert_allclose(values, expected, atol=1e-5)
            np.testing.assert_allclose(module.values(boards), values)


def test_only_entries_of_the_position_after_the_action_are_trained():
    module = build(ConnectFour, windows=[[1, 4]], diagonals=[], reachable=False)
    empty = torch.zeros((1, 6, 7, 2), dtype=torch.int8)
    module.action_values_taken(empty, torch.tensor([0])).sum().backward()
    gradient = module.policy_head.encoder.tables.grad
    # Four windows in each of six rows; the two on the right are mirror images of the two on the left: 12 tables of 81
    # entries. A disc at the left of the lowest row is in the first cell of the 11th group: entry 1 (state 1 * 3^0). The
    # other groups, and all mirror images, are empty: entry 0.
    assert gradient.nonzero().squeeze(1).tolist() == sorted([81 * group for group in range(12)] + [81 * 10 + 1])


def test_impossible_boards_have_values_too():
    """Networks are built, exported and drawn with boards that no match reaches: pieces in the air, two on a cell."""
    boards = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (500, 6, 7, 2), dtype=np.int8))
    with torch.no_grad():
        module = build(ConnectFour)
        values = module.policy_head.encoder(boards)
        legal = values > ILLEGAL
        assert legal.any() and (values[legal].abs() <= 1).all()
        rows, actions = legal.nonzero(as_tuple=True)
        torch.testing.assert_close(module.action_values_taken(boards[rows], actions), values[legal])


def test_a_board_without_legal_actions_has_a_bounded_value():
    full = torch.ones((1, 6, 7, 2), dtype=torch.int8)
    full[..., 1] = 0
    with torch.no_grad():
        assert build(ConnectFour).values(full).abs().item() <= 1


BOARD = ConnectFour.groups[0].observation_space


@pytest.mark.parametrize(
    ("stated", "settings", "message"),
    [
        ({}, {}, "needs a board game whose environment states how actions place pieces"),
        ({"num_agents": 2}, {}, "policies.agent_id=false"),
        ({"state_size": 84}, {}, "algorithm.critic=local"),
        ({"epsilon_greedy": True}, {}, "algorithm=td or ppo"),
        ({"placement": TicTacToe.groups[0].placement}, {}, "the placement of this game has 9 actions"),
        ({"num_agents": 0}, {"windows": [[3, 4]], "diagonals": []}, "a table has 16,777,216 rows"),
        ({"num_agents": 0}, {"windows": [[7, 7]], "diagonals": []}, "none fits a board of 6 x 7 cells"),
    ],
)
def test_what_it_does_not_support_is_refused(stated, settings, message):
    placement = {"placement": ConnectFour.groups[0].placement} if stated else {}
    network = Network("player", (0,), 0, BOARD, spaces.Discrete(7), **{**placement, **stated})
    with pytest.raises(ValueError, match=message):
        network.spec(Afterstates(**settings)).build()


def test_of_groups_that_are_views_of_one_another_the_first_is_kept():
    """Windows of 2 x 2 of tic-tac-toe are the four corners, one group; lines of three: side, and middle."""
    views = np.array(TicTacToe.groups[0].symmetries.observations)[:, ::2] // 2
    kept = without_views(board_windows(3, 3, [[2, 2], [1, 3], [3, 1]], [3]), views)
    assert [group.tolist() for group in kept] == [[[0, 1, 3, 4]], [[0, 1, 2], [3, 4, 5]], [], [[0, 4, 8]], []]
