"""Loaded agents take and return what their environment does, whatever its adapter translated for training."""

import json
import sys
import types

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv
from pettingzoo.classic import connect_four_v3

from marl_app.envs.pettingzoo_adapter import PettingZoo
from marl_app.players.actions import deterministic_inputs, to_space
from marl_app.players.encoding import encode_player
from marl_app.players.modules.mlp import MLP
from marl_app.players.native_agent import NativeAgent
from marl_app.players.networks import networks_for_env
from marl_app.players.saved_spaces import space_from_json, space_to_json

BIG = float(np.finfo(np.float32).max)
NESTED = spaces.Dict(
    {
        "me": spaces.Dict({"hp": spaces.Discrete(3), "at": spaces.Box(-1, 1, (2,))}),
        "map": spaces.Box(0, 9, (2, 2), np.uint8),
    }
)
OBSERVATIONS = {
    "scalar": spaces.Box(0, 1, (), np.float32),
    "bool": spaces.Box(0, 1, (3,), np.bool_),
    "uint16": spaces.Box(0, 100, (3,), np.uint16),
    "discrete": spaces.Discrete(4, start=1),
    "multi_binary": spaces.MultiBinary([2, 3]),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "tuple": spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (2,)))),
    "nested": NESTED,
    "masked": spaces.Dict({"observation": NESTED, "action_mask": spaces.Box(0, 1, (3,), np.int8)}),
    "text": spaces.Text(4),
    "image": spaces.Box(0, 255, (4, 4, 3), np.uint8),
}
ACTIONS = {
    "start": spaces.Discrete(3, start=1),
    "minus": spaces.Discrete(3, start=-1),
    "multi": spaces.MultiDiscrete([2, 3], start=[1, 5]),
    "box64": spaces.Box(-0.1, 0.1, (2,), np.float64),
    "huge": spaces.Box(-BIG, BIG, (2,), np.float32),
    "half": spaces.Box(0, np.inf, (2,), np.float32),
    "flat": spaces.Box(3, 3, (1,), np.float32),
    "scalar": spaces.Box(-1, 1, (), np.float32),
}


def adapter(monkeypatch, see, act, count=1):
    """An adapter of an environment of one step whose two agents have these spaces; it checks the actions."""

    class Kind(ParallelEnv):
        def __init__(self):
            self.possible_agents = ["a", "b"]

        def observation_space(self, agent):
            return see

        def action_space(self, agent):
            return act

        def reset(self, seed=None, options=None):
            see.seed(seed)
            self.agents = ["a", "b"]
            seen = {agent: see.sample() for agent in self.agents}
            for observation in seen.values():
                if isinstance(observation, dict) and "action_mask" in observation:
                    observation["action_mask"][0] = 1
            return seen, {"a": {}, "b": {}}

        def step(self, actions):
            assert all(act.contains(action) for action in actions.values()), actions
            self.agents, ends = [], {"a": True, "b": True}
            return {agent: see.sample() for agent in ends}, {"a": 1.0, "b": -1.0}, ends, {"a": False, "b": False}, {}

    monkeypatch.setitem(sys.modules, "kind", types.SimpleNamespace(parallel_env=Kind))
    return PettingZoo(count, "kind")


def agent_for(env):
    """A loaded agent with random weights, saved as a run saves its players."""
    model, networks = MLP(hidden=[8], precision="float32"), networks_for_env(env, "spaces", None, False)
    weights = {
        f"{network.name}/{name}": value.numpy()
        for network in networks
        for name, value in network.spec(model).build().state_dict().items()
    }
    facts = {"player": "main"}
    if env.raw_spaces is not None:
        facts["raw_spaces"] = [list(map(space_to_json, pair)) for pair in env.raw_spaces]
    return NativeAgent(encode_player(weights, networks, env.agents, model, facts))


@pytest.mark.parametrize("see", OBSERVATIONS)
def test_observations_as_the_environment_gives_them(monkeypatch, see):
    env, rng = adapter(monkeypatch, OBSERVATIONS[see], spaces.Discrete(3)), np.random.default_rng(0)
    agent, space = agent_for(env), OBSERVATIONS[see]
    space.seed(3)
    for _ in range(5):
        env.reset(rng)
        raw = env._copies[0]._observations[0]
        seen = env.observe(np.array([0]), np.array([0]))
        mask = env.action_mask(np.array([0]), np.array([0]))
        expected = agent.probabilities(seen[0], mask[0])
        np.testing.assert_array_equal(agent.probabilities(raw), expected)
        assert agent.act(raw, greedy=True) == expected.argmax()
        stack = agent.act(np.repeat(seen, 2, axis=0), np.repeat(mask, 2, axis=0), greedy=True)
        assert stack.tolist() == [expected.argmax()] * 2


@pytest.mark.parametrize("act", ACTIONS)
def test_actions_in_the_environments_space(monkeypatch, act):
    space, see = ACTIONS[act], spaces.Box(-1, 1, (3,), np.float32)
    env = adapter(monkeypatch, see, space)
    agent, rng = agent_for(env), np.random.default_rng(0)
    for _ in range(20):
        action = agent.act(see.sample(), rng=rng)
        assert space.contains(np.asarray(action, space.dtype) if isinstance(space, spaces.Box) else action)
    stack = agent.act(np.stack([see.sample() for _ in range(50)]), rng=rng)
    assert len(stack) == 50 and np.isfinite(stack).all()
    if isinstance(space, spaces.Discrete):
        assert set(stack.tolist()) == set(range(int(space.start), int(space.start + space.n)))


@pytest.mark.parametrize("act", [act for act, space in ACTIONS.items() if isinstance(space, spaces.Box)])
def test_continuous_actions_are_finite_and_within_their_space(monkeypatch, act):
    env, rng = adapter(monkeypatch, spaces.Box(-1, 1, (3,), np.float32), ACTIONS[act]), np.random.default_rng(0)
    [group] = env.groups
    samples = rng.normal(0, 30, (200, 2, *group.action_space.shape)).astype(np.float32)
    for pair in samples:
        env.reset(rng)
        env.step([to_space(pair, group.action_space)[None]], rng)  # the environment checks them
    inputs = deterministic_inputs(to_space(samples[:, 0], group.action_space), group.action_space)
    assert np.isfinite(inputs).all()


def test_pettingzoos_observation_with_its_mask(monkeypatch):
    env = PettingZoo(1, "pettingzoo.classic.connect_four_v3")
    assert env.raw_spaces is None  # nothing to translate but the dict
    agent, original = agent_for(env), connect_four_v3.env()
    original.reset(seed=0)
    original.step(3)
    seen = original.observe("player_1")
    seen["action_mask"][:] = [0, 0, 0, 0, 1, 0, 0]
    assert agent.act(seen) == 4 == agent.act(seen["observation"], seen["action_mask"])


def test_a_mask_that_allows_nothing_is_an_error(monkeypatch):
    env = adapter(monkeypatch, spaces.Box(-1, 1, (3,), np.float32), spaces.MultiDiscrete([2, 3]))
    with pytest.raises(ValueError, match="the action mask allows no action"):
        agent_for(env).act(np.zeros(3, np.float32), [1, 1, 0, 0, 0])


WIDE = [
    # Their largest numbers are not those of a float64.
    spaces.Box(-(2**63), 2**63 - 1, (2,), np.int64),
    spaces.Box(0, 2**64 - 1, (2,), np.uint64),
    spaces.Box(np.array([0, 1]), np.array([2**60 + 1, 9]), dtype=np.int64),
]


@pytest.mark.parametrize("start", [None, [1, 5]])
def test_a_mask_may_be_one_for_each_part_of_an_action(monkeypatch, start):
    # Without a start nothing is translated.
    space = spaces.MultiDiscrete([2, 3], start=start)
    agent = agent_for(adapter(monkeypatch, spaces.Box(-1, 1, (3,), np.float32), space))
    seen, parts = np.zeros(3, np.float32), (np.array([0, 1], np.int8), np.array([0, 0, 1], np.int8))
    last = np.add(space.start, [1, 2]).tolist()
    assert agent.act(seen, parts).tolist() == agent.act(seen, [[0, 1], [0, 0, 1]]).tolist() == last
    assert agent.act({"observation": seen, "action_mask": parts}).tolist() == last


def test_agents_that_are_numbers_or_tuples_are_known_by_them(monkeypatch):
    # Two networks, one of each agent: the agent 1 is the first, although index 1 is the second.
    class Numbered(ParallelEnv):
        possible_agents = (1, (0, 1))

        def observation_space(self, agent):
            return spaces.Box(-1, 1, (3 if agent == 1 else 5,), np.float32)

        def action_space(self, agent):
            return spaces.Discrete(2)

    monkeypatch.setitem(sys.modules, "numbered", types.SimpleNamespace(parallel_env=Numbered))
    agent = agent_for(PettingZoo(1, "numbered"))
    assert agent.act(np.zeros(3), agent=1) in (0, 1) and agent.act(np.zeros(5), agent=(0, 1)) in (0, 1)
    assert agent.act(np.zeros(3), agent=0) in (0, 1)  # no agent is called so: the first one
    with pytest.raises(ValueError, match=r"an observation must be of shape \(3,\)"):
        agent.act(np.zeros(5), agent=1)
    for wrong in (1.5, [1.5], 2, [[0]]):
        with pytest.raises(ValueError, match="unknown agent"):
            agent.act(np.zeros(3), agent=wrong)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1j, None])
def test_observations_that_are_no_finite_numbers_are_refused(monkeypatch, wrong):
    agent = agent_for(adapter(monkeypatch, spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(3)))
    with pytest.raises(ValueError, match="an observation must be of finite numbers"):
        agent.act(np.array([wrong, 0, 0]))


@pytest.mark.parametrize("space", [*OBSERVATIONS.values(), *ACTIONS.values(), *WIDE], ids=str)
def test_spaces_survive_saving(space):
    assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space


@pytest.mark.parametrize(
    "value",
    [
        {"discrete": 10**12},
        {"discrete": -1},
        {"discrete": "3"},
        {"multi_discrete": []},
        {"multi_discrete": [2, -1]},
        {"multi_binary": [10**12]},
        {"box": ["0", "1"], "shape": [200_000, 200_000], "dtype": "float32"},  # 160 GB
        {"box": ["0", "1"], "shape": [-1], "dtype": "float32"},
        {"box": ["0"], "shape": [1], "dtype": "float32"},
        {"box": ["0", "256"], "shape": [1], "dtype": "uint8"},
        {"box": ["0", "1"], "shape": [1], "dtype": "object"},
        {"dict": [["a"]]},
        {"text": 4},
        {},
    ],
)
def test_malformed_and_absurd_spaces_are_refused_before_anything_is_allocated(value):
    with pytest.raises(ValueError, match="a space of this player"):
        space_from_json(value)
