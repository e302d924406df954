"""Which network plays which seat, and what is refused."""

import numpy as np
import pytest
from gymnasium import spaces

from envs.batched import Group
from envs.matrix_game import MatrixGame
from envs.tic_tac_toe import TicTacToe
from marl_app.rllib.networks import module_id, multi_module_spec, networks_of
from tests.rllib.games import Relay
from tests.rllib.runners import SMALL

BIASED = [[0, 1, 2], [3, 4, 5]]  # 2 rows, 3 columns: the two agents have different spaces


def seats(networks):
    return {network.name: network.agents for network in networks}


def test_one_network_per_group_of_agents():
    assert seats(networks_of(TicTacToe(1))) == {"player": (0, 1)}
    assert seats(networks_of(MatrixGame(1, BIASED))) == {"row": (0,), "column": (1,)}
    scout, tank = networks_of(Relay(1))
    assert (scout.agents, scout.group, scout.observation_space.shape) == ((0, 2), 0, (3,))
    assert (tank.agents, tank.group, tank.action_space) == ((1,), 1, Relay.groups[1].action_space)


def test_a_mapping_by_name_and_glob_the_first_match_counts():
    # Relay's agents: scout_0, tank_0, scout_1.
    mapped = networks_of(Relay(1), mapping={"scout_1": "special", "scout_*": "common", "*": "rest"})
    assert seats(mapped) == {"common": (0,), "special": (2,), "rest": (1,)}
    assert seats(networks_of(Relay(1), mapping={"scout_*": "a", "tank_?": "b"})) == {"a": (0, 2), "b": (1,)}


def test_a_seat_without_a_network_is_named():
    with pytest.raises(ValueError, match=r"policies.mapping: no network for agent 'tank_0'"):
        networks_of(Relay(1), mapping={"scout_*": "shared"})


def test_agents_with_different_spaces_cannot_share():
    with pytest.raises(ValueError, match=r"policies.mapping: network 'shared' plays 'scout_0' and 'tank_0'"):
        networks_of(Relay(1), mapping={"*": "shared"})


def test_agent_ids_go_to_networks_that_play_several_agents():
    scout, tank = networks_of(Relay(1), agent_id=True)
    # One place for each agent of the environment, so that an agent's index is its id whatever the mapping.
    assert (scout.num_agents, tank.num_agents) == (3, 0)
    assert [network.num_agents for network in networks_of(Relay(1))] == [0, 0]


def test_module_ids_name_the_network_only_where_there_are_several():
    one, two = networks_of(TicTacToe(1)), networks_of(Relay(1))
    assert module_id("main", "player", one) == "main"
    assert module_id("main", "tank", two) == "main.tank"
    spec = multi_module_spec("main", two, SMALL)
    assert set(spec.rl_module_specs) == {"main.scout", "main.tank"}
    built = spec.build()
    assert built["main.tank"].log_std.shape == (2,)


def test_groups_of_equal_spaces_but_different_agents_stay_apart():
    class Teams(TicTacToe):
        space = spaces.Box(0, 1, (3, 3, 2), np.int8)
        groups = (Group("x", (0,), space, spaces.Discrete(9)), Group("o", (1,), space, spaces.Discrete(9)))

    assert seats(networks_of(Teams(1))) == {"x": (0,), "o": (1,)}
