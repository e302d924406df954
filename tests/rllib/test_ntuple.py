"""N-tuple networks: the groups of cells, the states of a group, and refused boards."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.random_play import random_actions
from marl_app.players.modules.ntuple import NTuple, TupleTables, board_windows
from marl_app.players.networks import Network

LINES = {"windows": [[1, 4], [4, 1]], "diagonals": [4]}


def build(space, **settings):
    network = Network("player", (0,), 0, space, spaces.Discrete(7))
    return network.spec(NTuple(precision="float32", **settings)).build()


def test_connect_four_has_69_lines_of_four():
    """24 in rows (6 x 4), 21 in columns (3 x 7), 12 (3 x 4) in each diagonal direction."""
    groups = board_windows(6, 7, LINES["windows"], LINES["diagonals"])
    assert [len(group) for group in groups] == [24, 21, 12, 12]
    expected = set()
    for row, column, (down, right) in itertools.product(range(6), range(7), [(0, 1), (1, 0), (1, 1), (1, -1)]):
        cells = [(row + down * i, column + right * i) for i in range(4)]
        if all(0 <= r < 6 and 0 <= c < 7 for r, c in cells):
            expected.add(frozenset(7 * r + c for r, c in cells))
    assert {frozenset(cells) for group in groups for cells in group.tolist()} == expected and len(expected) == 69


def test_a_window_larger_than_the_board_has_no_places():
    assert [group.tolist() for group in board_windows(2, 2, [[1, 3], [2, 2]], [3])] == [[[0, 1, 2, 3]]]


def test_the_output_is_the_sum_of_one_row_per_group():
    env, rng, rows = ConnectFour(50), np.random.default_rng(0), np.arange(50)
    env.reset(rng)
    for _ in range(9):
        step = env.step(random_actions(env, rng), rng)
        env.reset(rng, np.flatnonzero(step.over))
    boards = env.observe(rows, np.zeros(50, np.int64))
    groups = board_windows(6, 7, LINES["windows"], LINES["diagonals"])
    layer = TupleTables(groups, planes=2, size=5)
    table, expected = layer.tables.weight.detach().numpy(), np.zeros((50, 5))
    assert len(table) == 69 * 3**4
    states = boards[..., 0] + 2 * boards[..., 1]  # 0 empty, 1 the agent's, 2 the opponent's
    for board in range(50):
        for number, cells in enumerate(itertools.chain(*groups)):
            index = sum(int(states[board].ravel()[cell]) * 3**place for place, cell in enumerate(cells))
            expected[board] += table[81 * number + index]
    with torch.no_grad():
        np.testing.assert_allclose(layer(torch.from_numpy(boards)), expected, atol=1e-5)


def test_only_the_rows_of_the_position_are_trained():
    module = build(ConnectFour.groups[0].observation_space, **LINES, embedding=4, hidden=[8])
    empty = torch.zeros((3, 6, 7, 2), dtype=torch.int8)
    module.forward_train({"obs": empty})["action_dist_inputs"].square().sum().backward()
    gradient = module.policy_head.encoder[0].tables.weight.grad
    # The empty board: state 0 of each of the 69 groups.
    assert gradient.any(dim=1).nonzero().squeeze(1).tolist() == [81 * number for number in range(69)]


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (spaces.Box(0, 1, (5,), np.int8), {}, r"model=ntuple needs boards \[height, width, planes\] of 0 and 1"),
        (spaces.Box(0, 3, (4, 4, 2), np.int8), {}, "model=ntuple needs boards"),
        (spaces.Box(0, 1, (4, 4, 2), np.float32), {}, "model=ntuple needs boards"),
        (spaces.Box(0, 1, (3, 3, 2), np.int8), LINES, "none fits a board of 3 x 3 cells"),
        (spaces.Box(0, 1, (6, 7, 2), np.int8), {"windows": [[3, 4]]}, "a table has 531,441 rows"),
    ],
)
def test_other_boards_are_refused(space, settings, message):
    with pytest.raises(ValueError, match=message):
        build(space, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"windows": [[4]]}, r"model.windows: \[4\] is not \[height, width\]"),
        ({"embedding": 0}, "model.embedding"),
        ({"diagonals": [0]}, "model.diagonals"),
        ({"normalize_observations": True}, "model.normalize_observations=true: tables need boards as they are"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NTuple(**settings)
