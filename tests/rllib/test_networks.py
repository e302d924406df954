"""Assignment of networks to agents, and mappings that are refused."""

import numpy as np
import pytest
from gymnasium import spaces

from marl_app.envs.batched import Group
from marl_app.envs.matrix_game import MatrixGame
from marl_app.envs.simple_tag import SimpleTag
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.modules.actor_critic import check_widths
from marl_app.players.networks import module_id, multi_module_spec, networks_for_env, role_from_name
from tests.rllib.games import Relay
from tests.rllib.runners import SMALL

BIASED = [[0, 1, 2], [3, 4, 5]]  # 2 rows, 3 columns: the two agents have different spaces


def agents_of(networks):
    return {network.name: network.agents for network in networks}


def test_one_network_per_group_of_agents():
    assert agents_of(networks_for_env(TicTacToe(1))) == {"player": (0, 1)}
    assert agents_of(networks_for_env(MatrixGame(1, BIASED))) == {"row": (0,), "column": (1,)}
    scout, tank = networks_for_env(Relay(1))
    assert (scout.agents, scout.group, scout.observation_space.shape) == ((0, 2), 0, (3,))
    assert (tank.agents, tank.group, tank.action_space) == ((1,), 1, Relay.groups[1].action_space)


def test_a_mapping_by_name_and_glob_uses_the_first_match():
    # Relay's agents: scout_0, tank_0, scout_1.
    mapped = networks_for_env(Relay(1), mapping={"scout_1": "special", "scout_*": "common", "*": "rest"})
    assert agents_of(mapped) == {"common": (0,), "special": (2,), "rest": (1,)}
    assert agents_of(networks_for_env(Relay(1), mapping={"scout_*": "a", "tank_?": "b"})) == {"a": (0, 2), "b": (1,)}


def test_a_name_with_brackets_is_mapped_as_it_is():
    class Brackets(Relay):
        agents = ("scout[0]", "7", "scout_1")

    mapping = {"scout[0]": "a", 7: "b", "*": "c"}  # a name of digits is a number in YAML
    assert agents_of(networks_for_env(Brackets(1), mapping=mapping)) == {"a": (0,), "b": (1,), "c": (2,)}


def test_an_agent_without_a_network_is_named():
    with pytest.raises(ValueError, match=r"policies.mapping: no network for agent 'tank_0'"):
        networks_for_env(Relay(1), mapping={"scout_*": "shared"})


def test_agents_with_different_spaces_cannot_share():
    with pytest.raises(ValueError, match=r"policies.mapping: network 'shared' plays 'scout_0' and 'tank_0'"):
        networks_for_env(Relay(1), mapping={"*": "shared"})


def test_agent_ids_of_networks_that_play_several_agents():
    scout, tank = networks_for_env(Relay(1), agent_id=True)
    # One id for each agent of the environment: an agent's index is its id under any mapping.
    assert (scout.num_agents, tank.num_agents) == (3, 0)
    assert [network.num_agents for network in networks_for_env(Relay(1))] == [0, 0]


def test_module_ids_name_the_network_only_where_there_are_several():
    one, two = networks_for_env(TicTacToe(1)), networks_for_env(Relay(1))
    assert module_id("main", "player", one) == "main"
    assert module_id("main", "tank", two) == "main.tank"
    spec = multi_module_spec(["main"], two, SMALL)
    assert set(spec.rl_module_specs) == {"main.scout", "main.tank"}
    built = spec.build()
    assert built["main.tank"].log_std.shape == (2,)


def test_groups_of_equal_spaces_but_different_agents_stay_apart():
    class Teams(TicTacToe):
        space = spaces.Box(0, 1, (3, 3, 2), np.int8)
        groups = (Group("x", (0,), space, spaces.Discrete(9)), Group("o", (1,), space, spaces.Discrete(9)))

    assert agents_of(networks_for_env(Teams(1))) == {"x": (0,), "o": (1,)}


def test_sharing_by_spaces_role_or_none():
    env = SimpleTag(1)  # adversary_0, adversary_1, adversary_2, agent_0: two roles, and two kinds of spaces
    by_role = {"adversary": (0, 1, 2), "agent": (3,)}
    assert agents_of(networks_for_env(env)) == agents_of(networks_for_env(env, "role")) == by_role
    alone = {"adversary_0": (0,), "adversary_1": (1,), "adversary_2": (2,), "agent_0": (3,)}
    assert agents_of(networks_for_env(env, "none")) == alone
    networks = networks_for_env(env, "none")
    assert [module_id("main", name, networks) for name in alone] == [f"main.{name}" for name in alone]
    # Both agents of tic-tac-toe have equal spaces and the role `player`.
    assert agents_of(networks_for_env(TicTacToe(1), "role")) == {"player": (0, 1)}
    assert agents_of(networks_for_env(TicTacToe(1), "none")) == {"player_1": (0,), "player_2": (1,)}


@pytest.mark.parametrize(
    ("agent", "role"),
    [("adversary_0", "adversary"), ("agent12", "agent"), ("red_2_left", "red_2_left"), ("speaker_0", "speaker"),
     ("7", "7"), ("_3", "_3"), ("north", "north")],
)  # fmt: skip
def test_a_role_is_a_name_without_its_final_number(agent, role):
    assert role_from_name(agent) == role


def test_only_networks_of_several_agents_get_ids():
    env = SimpleTag(1, num_good=2)  # five agents
    assert [network.num_agents for network in networks_for_env(env, "role", agent_id=True)] == [5, 5]
    assert [network.num_agents for network in networks_for_env(env, "none", agent_id=True)] == [0] * 5
    mapping = {"adversary_0": "first", "adversary_*": "rest", "agent_*": "prey"}
    mapped = networks_for_env(env, mapping=mapping, agent_id=True)
    assert [(network.name, network.num_agents) for network in mapped] == [("first", 0), ("rest", 5), ("prey", 5)]


def test_a_mapping_replaces_sharing():
    networks = networks_for_env(SimpleTag(1), "none", {"adversary_*": "a", "*": "b"})
    assert agents_of(networks) == {"a": (0, 1, 2), "b": (3,)}
    with pytest.raises(ValueError, match=r"no network for agent 'agent_0'; add e.g. \{agent_0: shared\}"):
        networks_for_env(SimpleTag(1), mapping={"adversary_*": "a"})
    with pytest.raises(ValueError, match=r"'all' plays 'adversary_0' and 'agent_0', whose spaces differ"):
        networks_for_env(SimpleTag(1), mapping={"*": "all"})


def test_a_role_of_agents_with_different_spaces_is_named():
    # Both agents have the role `player`, so they would have to share a network.
    with pytest.raises(ValueError, match=r"policies\.share=role: network 'player' plays 'player_0' and 'player_1'"):
        networks_for_env(MatrixGame(1, BIASED), "role")


def test_state_sizes_of_critics():
    # Observations: 16 numbers for each of the 3 adversaries, 14 for the good agent. Sides equal roles.
    env = SimpleTag(1)
    assert [network.state_size for network in networks_for_env(env, critic="state")] == [62, 62]
    env.state_space = None
    local, side, both = (networks_for_env(env, critic=critic) for critic in ("local", "state", "agent_state"))
    assert [network.state_size for network in local] == [0, 0]
    assert [(network.state_size, network.critic_sees_observation) for network in side] == [(48, False), (14, False)]
    assert [(network.state_size, network.critic_sees_observation) for network in both] == [(48, True), (14, True)]
    built = side[0].spec(SMALL).build()
    assert built.value_head.encoder[1].in_features == 48
    assert both[0].spec(SMALL).build().value_head.encoder[1].in_features == 48 + 16


@pytest.mark.parametrize("widths", [[1.5], ["x"], [True], [None], [64, 0], [], 64])
def test_widths_are_positive_whole_numbers(widths):
    with pytest.raises(
        ValueError, match=r"model\.hidden=.*: give a list of at least one layer, every width at least 1"
    ):
        check_widths("model.hidden", widths)
