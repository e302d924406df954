"""Agents in the loops of OpenSpiel and PettingZoo: whole matches, legal actions, memories, dict observations."""

import json

import numpy as np
import pyspiel
import pytest
import torch
from gymnasium import spaces
from open_spiel.python.algorithms import evaluate_bots
from open_spiel.python.bots.uniform_random import UniformRandomBot
from pettingzoo.classic import connect_four_v3, tictactoe_v3

from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.openspiel_adapter import OpenSpiel
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.players.encoding import encode_player
from marl_app.players.modules.mlp import MLP
from marl_app.players.modules.recurrent import Recurrent
from marl_app.players.native_agent import NativeAgent
from marl_app.players.networks import networks_for_env
from marl_app.players.saved_spaces import space_from_json
from tests.rllib.test_native_agent import NESTED, adapter, agent_for

SMALL = MLP(hidden=[8], precision="float32")
RECURRENT = Recurrent(hidden=[8], memory=5, precision="float32", orthogonal_init=False)


def player(env, model=SMALL):
    """Return an agent of the environment with random weights that are large enough for its actions to differ."""
    [network] = networks_for_env(env)
    torch.manual_seed(0)
    state = network.spec(model).build().state_dict()
    weights = {f"{network.name}/{name}": 4 * value.numpy() for name, value in state.items()}
    raw = {} if env.raw_spaces is None else {"raw_spaces": env.raw_spaces}
    return NativeAgent(encode_player(weights, [network], env.agents, model, raw))


@pytest.mark.parametrize("name", ["kuhn_poker", "tic_tac_toe", "goofspiel(num_cards=4,points_order=descending)"])
@pytest.mark.parametrize("model", [SMALL, RECURRENT], ids=["mlp", "gru"])
def test_an_openspiel_bot_plays_whole_matches(name, model):
    game, agent = pyspiel.load_game(name), player(OpenSpiel(1, name), model)
    rng = np.random.default_rng(0)
    bots = [agent.as_openspiel_bot(game, 0, rng=rng), UniformRandomBot(1, np.random.RandomState(0))]
    for _ in range(5):
        bots[0].restart()
        if game.get_type().dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL:
            returns = evaluate_bots.evaluate_bots(game.new_initial_state(), bots, np.random.RandomState(1))
        else:
            state = game.new_initial_state()
            while not state.is_terminal():
                state.apply_actions([bots[0].step(state), rng.choice(state.legal_actions(1))])
            returns = state.returns()
        assert len(returns) == 2


def test_an_openspiel_bot_acts_by_the_probabilities_of_the_agent():
    game, env = pyspiel.load_game("leduc_poker"), OpenSpiel(1, "leduc_poker")
    agent, state = player(env), game.new_initial_state()
    for action in (0, 3, 2, 1):  # two cards, raise, call: the second round begins with a card
        state.apply_action(action)
    state.apply_action(state.legal_actions()[0])
    mover = state.current_player()
    mask = np.array([action in state.legal_actions() for action in range(3)])
    expected = agent.probabilities(env.observe_state(state, mover), mask)
    bot = agent.as_openspiel_bot(game, mover, rng=np.random.default_rng(0))
    assert bot.player_id() == mover
    drawn = np.bincount([bot.step(state) for _ in range(2000)], minlength=3) / 2000
    np.testing.assert_allclose(drawn, expected, atol=0.06)  # five standard deviations
    assert agent.as_openspiel_bot(game, mover, greedy=True).step(state) == expected.argmax()


def test_the_memory_of_an_openspiel_bot_lasts_one_match():
    game = pyspiel.load_game("tic_tac_toe")
    agent = player(OpenSpiel(1, "tic_tac_toe"), RECURRENT)
    bot, state = agent.as_openspiel_bot(game, 0, greedy=True), game.new_initial_state()
    bot.step(state)
    first = bot._memory
    assert np.abs(first).max() > 0
    bot.step(state)
    assert not np.allclose(bot._memory, first)
    bot.restart()
    bot.step(state)
    np.testing.assert_array_equal(bot._memory, first)


def test_another_game_is_refused():
    agent = player(OpenSpiel(1, "kuhn_poker"))
    with pytest.raises(
        ValueError, match=r"this agent observes \(11,\) and has 2 actions.*\(30,\).*train with env=open"
    ):
        agent.as_openspiel_bot(pyspiel.load_game("leduc_poker"), 0)
    with pytest.raises(ValueError, match="unknown agent 2"):
        agent.as_openspiel_bot(pyspiel.load_game("kuhn_poker"), 2)


def play(env, policy, seed):
    """Play a match of an AEC environment with a policy on all sides; return the actions."""
    env.reset(seed=seed)
    policy.reset()
    actions = []
    for name in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        action = None if terminated or truncated else policy(observation, name, info)
        if action is not None:
            assert observation["action_mask"][action] == 1
            actions.append(action)
        env.step(action)
    return actions


@pytest.mark.parametrize("model", [SMALL, RECURRENT], ids=["mlp", "gru"])
def test_a_pettingzoo_policy_plays_whole_matches(model):
    agent = player(ConnectFour(1), model)
    policy = agent.as_pettingzoo_policy(rng=np.random.default_rng(0))
    matches = [play(connect_four_v3.env(), policy, seed) for seed in range(3)]
    assert min(map(len, matches)) >= 7
    greedy = agent.as_pettingzoo_policy(greedy=True)
    # A match begins without memories of the one before.
    assert play(connect_four_v3.env(), greedy, 0) == play(connect_four_v3.env(), greedy, 0)


def test_each_agent_of_an_environment_has_its_memory():
    agent = player(ConnectFour(1), RECURRENT)
    policy, alone = (agent.as_pettingzoo_policy(greedy=True) for _ in range(2))
    rng = np.random.default_rng(0)
    for _ in range(3):
        first, second = rng.integers(0, 2, (2, 6, 7, 2), np.int8)
        policy(first, "player_0")
        policy(second, "player_1")
        alone(first, "player_0")
    np.testing.assert_array_equal(policy._memories["player_0"], alone._memories["player_0"])
    assert not np.allclose(policy._memories["player_0"], policy._memories["player_1"])


def test_names_of_agents_may_differ_if_the_player_has_one_network():
    """PettingZoo's tic-tac-toe has player_1 and player_2, ours player_0 and player_1."""
    assert len(play(tictactoe_v3.env(), player(TicTacToe(1)).as_pettingzoo_policy(), 0)) >= 5


def test_dict_observations_and_masks_in_infos(monkeypatch, tmp_path):
    see, act = spaces.Dict({"observation": NESTED, "action_mask": spaces.Box(0, 1, (3,), np.int8)}), spaces.Discrete(3)
    agent = agent_for(adapter(monkeypatch, see, act))
    policy = agent.as_pettingzoo_policy()
    see.seed(0)
    raw = see.sample()
    raw["action_mask"][:] = [0, 0, 1]
    assert {policy(raw, "a") for _ in range(20)} == {2} and isinstance(policy(raw, "b"), int)
    assert {policy(raw["observation"], "a", {"action_mask": np.array([0, 1, 0])}) for _ in range(20)} == {1}
    flat = agent.network_observation(raw, "a")
    np.testing.assert_array_equal(agent.probabilities(flat, raw["action_mask"]), agent.probabilities(raw))
    assert flat.shape == agent.module.observation_space.shape
    # An exported file takes the same array, and says of which space of the environment it is.
    agent.export(tmp_path / "agent.pt2")
    extra = {"marl_app.json": ""}
    exported = torch.export.load(tmp_path / "agent.pt2", extra_files=extra).module()
    tensors = torch.from_numpy(flat[None]), torch.from_numpy(raw["action_mask"][None] == 1)
    outputs = exported(observation=tensors[0], action_mask=tensors[1])
    np.testing.assert_allclose(outputs["probabilities"][0].numpy(), agent.probabilities(raw), atol=1e-5)
    facts = json.loads(extra["marl_app.json"])
    assert space_from_json(facts["environment_observation_space"]) == NESTED
    assert facts["environment_action_space"] == {"discrete": 3}
