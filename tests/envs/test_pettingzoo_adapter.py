"""The PettingZoo adapter: step for step against the original environments, and on small ones with unusual features."""

import sys
import types

import mpe2.simple_spread_v3
import mpe2.simple_tag_v3
import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.classic import connect_four_v3, leduc_holdem_v4, tictactoe_v3

from marl_app.envs.batched import Openings
from marl_app.envs.checker import check_env
from marl_app.envs.pettingzoo_adapter import PettingZoo
from marl_app.envs.random_play import random_actions
from marl_app.envs.sides import resolve_sides


def seeds(rng: np.random.Generator, count: int) -> list[int]:
    """Return the seeds that the adapter will draw for the reset of `count` matches."""
    copy = np.random.default_rng()
    copy.bit_generator.state = rng.bit_generator.state
    return [int(copy.integers(2**31)) for _ in range(count)]


@pytest.mark.parametrize("module", [connect_four_v3, tictactoe_v3, leduc_holdem_v4], ids=lambda m: m.__name__)
def test_turn_based_games_equal_the_original_step_for_step(module):
    batch, rng = 10, np.random.default_rng(0)
    env = PettingZoo(batch, module.__name__)
    originals = [module.env() for _ in range(batch)]
    assert env.agents == tuple(originals[0].possible_agents)
    for original, seed in zip(originals, seeds(rng, batch), strict=True):
        original.reset(seed=seed)
    env.reset(rng)
    running = np.ones(batch, bool)
    while running.any():
        matches, agents = env.acting().nonzero()
        rows = dict(zip(matches.tolist(), range(len(matches)), strict=True))
        seen, masks = env.observe(matches, agents), env.action_mask(matches, agents)
        [actions] = random_actions(env, rng)
        step = env.step([actions], rng)
        for match in running.nonzero()[0]:
            original, row = originals[match], rows[match]
            name = env.agents[agents[row]]
            assert original.agent_selection == name
            observation, _, _, _, info = original.last()
            mask = observation["action_mask"] if "action_mask" in observation else info["action_mask"]
            np.testing.assert_allclose(seen[row], observation["observation"])
            np.testing.assert_array_equal(masks[row], mask)
            original.step(int(actions[match, agents[row]]))
            assert step.rewards[match].tolist() == [original.rewards[agent] for agent in env.agents]
            assert step.over[match] == all(original.terminations.values())
            assert step.terminated[match].all() == step.over[match] and not step.truncated[match].any()
        running &= ~step.over
        env.reset(rng, step.over.nonzero()[0])  # ended matches play on, but are not compared any more


@pytest.mark.parametrize("module", [mpe2.simple_spread_v3, mpe2.simple_tag_v3], ids=lambda m: m.__name__)
def test_simultaneous_games_equal_the_original_step_for_step(module):
    batch, rng = 3, np.random.default_rng(0)
    env = PettingZoo(batch, module.__name__, {"max_cycles": 5})
    originals = [module.parallel_env(max_cycles=5) for _ in range(batch)]
    expected = [original.reset(seed=seed)[0] for original, seed in zip(originals, seeds(rng, batch), strict=True)]
    env.reset(rng)
    all_matches = np.arange(batch)
    for cycle in range(5):
        assert env.acting().all()
        np.testing.assert_allclose(env.state(all_matches), np.stack([original.state() for original in originals]))
        actions = random_actions(env, rng)
        chosen = {}
        for group, columns in zip(env.groups, actions, strict=True):
            chosen.update(zip(group.agents, columns.T, strict=True))
        for agent, name in enumerate(env.agents):
            observed = env.observe(all_matches, np.full(batch, agent))
            np.testing.assert_allclose(observed, np.stack([observation[name] for observation in expected]))
        step = env.step(actions, rng)
        for match, original in enumerate(originals):
            moves = {name: int(chosen[agent][match]) for agent, name in enumerate(env.agents)}
            expected[match], rewards, _, _, _ = original.step(moves)
            np.testing.assert_allclose(step.rewards[match], [rewards[name] for name in env.agents], rtol=1e-6)
        # MPE ends only by its time limit, and the last observations can still be read.
        assert (step.truncated == (cycle == 4)).all() and not step.terminated.any()
    for agent, name in enumerate(env.agents):
        observed = env.observe(all_matches, np.full(batch, agent))
        np.testing.assert_allclose(observed, np.stack([observation[name] for observation in expected]))


def test_groups_and_sides_of_simple_tag():
    env = PettingZoo(1, "mpe2.simple_tag_v3", sides=[["adversary_*"], ["agent_0"]])
    # Adversaries also see the velocity of the good agent: 16 numbers for them, 14 for the good agent.
    assert [(g.name, g.agents, g.observation_space.shape) for g in env.groups] == [
        ("adversary", (0, 1, 2), (16,)),
        ("agent", (3,), (14,)),
    ]
    assert env.sides == ((0, 1, 2), (3,))


def test_agents_that_die_early_in_a_real_environment():
    # Zombies at every step kill knights and archers one after the other, long before the time limit.
    name = "pettingzoo.butterfly.knights_archers_zombies_v11"
    env, rng = PettingZoo(1, name, {"max_cycles": 600, "spawn_delay": 1}), np.random.default_rng(0)
    env.reset(rng)
    early = False
    while True:
        step = env.step(random_actions(env, rng), rng)
        if step.over.any():
            break
        early = early or bool(step.terminated.any())
        assert not (env.acting() & step.terminated).any()
    assert early
    env.close()


# Small environments with features that few real environments have.


class Runners(ParallelEnv):
    """x_0 terminates at step 1, y_0 joins at step 2; at step 4 x_1 is truncated while y_0 terminates."""

    def __init__(self, break_at: str = ""):
        self.possible_agents = ["x_1", "x_0", "y_0"]  # an order that sorting would change
        self.break_at = break_at

    def observation_space(self, agent):
        return spaces.Box(-10, 10, (2,), np.float64)

    def action_space(self, agent):
        return spaces.Discrete(2) if agent[0] == "x" else spaces.MultiDiscrete([2, 3], start=[1, 1])

    def reset(self, seed=None, options=None):
        self.agents, self.time = ["x_1", "x_0"], 0
        return self._observations(self.agents), {agent: {"action_mask": np.array([1, 0])} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        if self.break_at == "step":
            raise RuntimeError("the track\nis flooded")
        self.time += 1
        living = list(self.agents)
        terminations = {agent: (agent, self.time) in (("x_0", 1), ("y_0", 4)) for agent in living}
        truncations = {agent: agent == "x_1" and self.time == 4 for agent in living}
        self.agents = [agent for agent in living if not (terminations[agent] or truncations[agent])]
        if self.time == 2:
            self.agents.append("y_0")
        rewards = {agent: float(np.sum(actions[agent])) for agent in living}
        if self.break_at == "reward":
            rewards["x_0"] = float("nan")
        infos = {agent: {"action_mask": np.array([1, 1])} for agent in living if agent[0] == "x"}
        return self._observations({*living, *self.agents}), rewards, terminations, truncations, infos

    def _observations(self, agents):
        if self.break_at == "observation":
            return {agent: np.full(2, np.inf) for agent in agents}
        return {agent: np.array([self.time, self.possible_agents.index(agent)], float) for agent in agents}


class RelayRace(AECEnv):
    """Agents take turns. a_0 terminates at its second turn; the others are truncated after three rounds.

    The acting agent gets the sum of its action as a reward, the other live agents 0.5.
    """

    def __init__(self):
        self.possible_agents = ["a_0", "a_1", "boat"]
        self.render_mode = None

    def observation_space(self, agent):
        if agent == "boat":
            return spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 9, (1,))))
        return spaces.Dict({"turn": spaces.Discrete(9), "who": spaces.Box(0, 9, (1,))})

    def action_space(self, agent):
        return spaces.Box(-1, 1, (2,)) if agent == "boat" else spaces.MultiDiscrete([2, 3])

    def observe(self, agent):
        who = np.array([self.possible_agents.index(agent)], np.float32)
        return (self.turn % 2, who) if agent == "boat" else {"turn": self.turn, "who": who}

    def reset(self, seed=None, options=None):
        self.agents, self.turn = list(self.possible_agents), 0
        self.agent_selection = "a_0"
        self.rewards = dict.fromkeys(self.agents, 0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert self.action_space(agent).contains(action)
        self.turn += 1
        self.rewards = dict.fromkeys(self.agents, 0.5)
        self.rewards[agent] = float(np.sum(action))
        self._cumulative_rewards[agent] = 0
        self._accumulate_rewards()
        self.terminations[agent] = agent == "a_0" and self.turn > 3
        if self.turn == 8:
            self.truncations = {other: not self.terminations[other] for other in self.agents}
        self.agent_selection = self.agents[(self.agents.index(agent) + 1) % len(self.agents)]
        self._deads_step_first()


@pytest.fixture
def small(monkeypatch):
    """Modules `small_runners` and `small_relay` as if they were installed."""
    monkeypatch.setitem(sys.modules, "small_runners", types.SimpleNamespace(parallel_env=Runners))
    monkeypatch.setitem(sys.modules, "small_relay", types.SimpleNamespace(env=RelayRace))


def test_late_joiners_early_deaths_and_a_mixed_end(small):
    env, rng = PettingZoo(1, "small_runners"), np.random.default_rng(0)
    env.reset(rng)
    assert env.agents == ("x_1", "x_0", "y_0")
    assert [(group.name, group.agents) for group in env.groups] == [("x", (0, 1)), ("y", (2,))]
    zero = np.array([0])
    assert env.acting().tolist() == [[True, True, False]]
    assert env.action_mask(zero, zero).tolist() == [[True, False]]  # from the info
    assert env.observe(zero, np.array([2])).tolist() == [[0, 0]]  # y_0 has not joined

    step = env.step([np.array([[0, 0]]), np.array([[[0, 0]]])], rng)  # x_0 terminates
    assert step.terminated.tolist() == [[False, True, False]] and not step.over[0]
    assert env.acting().tolist() == [[True, False, False]]
    assert env.action_mask(zero, zero).tolist() == [[True, True]]

    step = env.step([np.array([[1, 0]]), np.array([[[0, 0]]])], rng)  # y_0 joins
    assert step.rewards.tolist() == [[1, 0, 0]]
    assert env.acting().tolist() == [[True, False, True]]
    assert env.observe(zero, np.array([2])).tolist() == [[2, 2]]
    assert env.action_mask(zero, np.array([2])).tolist() == [[True] * 5]  # no mask: every action is legal

    step = env.step([np.array([[1, 0]]), np.array([[[1, 2]]])], rng)
    assert step.rewards.tolist() == [[1, 0, 5]]  # (1, 2) is (2, 3) in the environment: its actions start from 1
    assert not step.terminated.any()

    step = env.step([np.array([[0, 0]]), np.array([[[0, 0]]])], rng)
    # x_1 was truncated, y_0 terminated; x_0 had terminated before.
    assert step.truncated.tolist() == [[True, False, False]]
    assert step.terminated.tolist() == [[False, False, True]] and step.over.tolist() == [True]
    assert env.observe(zero, zero).tolist() == [[4, 0]]  # the value of x_1 is bootstrapped from this
    # Returns: x_1 0+1+1+0, x_0 0, y_0 5+2. y_0 beats both, x_1 beats x_0.
    assert env.scores(zero).tolist() == [[0.5, 0, 1]]
    env.reset(rng, zero)
    assert env.acting().tolist() == [[True, True, False]]


def test_turns_dead_steps_and_rewards_between_turns(small):
    env, rng = PettingZoo(1, "small_relay"), np.random.default_rng(0)
    env.reset(rng)
    assert [(g.name, g.agents, g.observation_space.shape) for g in env.groups] == [
        ("a", (0, 1), (10,)),  # Discrete(9) as one-hot, and one number
        ("boat", (2,), (3,)),
    ]
    zero = np.array([0])
    assert env.action_mask(zero, np.array([2])) is None  # Box actions have no mask
    pairs, boat = np.array([[[1, 2], [0, 1]]]), np.array([[[0.5, 0.25]]], np.float32)
    # In each turn the acting agent is paid for its action (3, 1, 0.75) and each other one 0.5. An agent receives the
    # sum since its last action when its next turn comes, or when it leaves: a_0 at turn 4, the others at turn 8.
    expected = [
        (0, [0, 0.5, 0]),
        (1, [0, 0, 1]),
        (2, [4, 0, 0]),
        (0, [3, 2, 0]),
        (1, [0, 0, 1.75]),
        (2, [0, 1.5, 0]),
        (1, [0, 0, 1.25]),
        (2, [0, 1.5, 0.75]),
    ]
    for turn, (agent, rewards) in enumerate(expected):
        assert env.acting().nonzero()[1].tolist() == [agent]
        step = env.step([pairs, boat], rng)
        assert step.rewards.tolist() == [rewards]
        assert step.terminated.tolist() == [[turn == 3, False, False]]
        assert step.truncated.tolist() == [[False, turn == 7, turn == 7]] and step.over.tolist() == [turn == 7]
    assert env.observe(zero, np.array([1])).tolist() == [[0] * 8 + [1, 1]]  # turn 8 as one-hot, and its number


def test_small_environments_keep_the_contract(small):
    check_env(lambda num_matches: PettingZoo(num_matches, "small_runners"), steps=20)
    check_env(lambda num_matches: PettingZoo(num_matches, "small_relay", sides=[["*"]]), steps=20)


# Errors name the match, the agent and the step, or the key and the fix, in one line.


def test_an_error_of_the_environment_names_match_actions_and_step(small):
    env, rng = PettingZoo(2, "small_runners", {"break_at": "step"}), np.random.default_rng(0)
    env.reset(rng)
    with pytest.raises(RuntimeError, match=r"small_runners: match 0, step 0, actions \{x_1: 0, x_0: 0\}: .*is flooded"):
        env.step([np.zeros((2, 2), np.int64), np.zeros((2, 1, 2), np.int64)], rng)


def test_a_reward_that_is_not_finite_names_the_agent(small):
    env, rng = PettingZoo(1, "small_runners", {"break_at": "reward"}), np.random.default_rng(0)
    env.reset(rng)
    with pytest.raises(ValueError, match="match 0, agent x_0, step 0: the reward is nan"):
        env.step([np.zeros((1, 2), np.int64), np.zeros((1, 1, 2), np.int64)], rng)


def test_an_observation_that_is_not_finite_names_the_agent(small):
    env, rng = PettingZoo(1, "small_runners", {"break_at": "observation"}), np.random.default_rng(0)
    env.reset(rng)
    with pytest.raises(ValueError, match="match 0, agent x_0, step 0: the observation has NaN or infinity"):
        env.observe(np.array([0]), np.array([1]))


@pytest.mark.parametrize("action", [1, 2, -1], ids=["masked", "too large", "negative"])
def test_an_illegal_discrete_action_names_the_agent(small, action):
    env, rng = PettingZoo(1, "small_runners"), np.random.default_rng(0)
    env.reset(rng)
    with pytest.raises(ValueError, match=f"match 0, agent x_0, step 0: illegal action {action}"):
        env.step([np.array([[0, action]]), np.zeros((1, 1, 2), np.int64)], rng)


def test_a_box_action_out_of_bounds_is_illegal(small):
    env, rng = PettingZoo(1, "small_relay"), np.random.default_rng(0)
    env.reset(rng)
    actions = [np.zeros((1, 2, 2), np.int64), np.full((1, 1, 2), 1.5, np.float32)]
    env.step(actions, rng)
    env.step(actions, rng)
    with pytest.raises(ValueError, match="agent boat, step 2: illegal action"):
        env.step(actions, rng)


def test_a_module_that_does_not_exist_is_an_error_that_suggests_a_module():
    with pytest.raises(
        ImportError, match="env.name='pettingzoo.classic.connect_four_v9' .* did you mean .*connect_four"
    ):
        PettingZoo(1, "pettingzoo.classic.connect_four_v9")


def test_a_module_that_is_no_environment_is_an_error():
    with pytest.raises(ValueError, match="env.name='json' has neither parallel_env nor env"):
        PettingZoo(1, "json")


def test_wrong_kwargs_are_an_error_that_names_them(small):
    with pytest.raises(ValueError, match=r"env.kwargs=\{'hurdles': 3\}: small_runners does not accept them"):
        PettingZoo(1, "small_runners", {"hurdles": 3})


def test_openings_need_a_turn_based_environment(small):
    assert PettingZoo(1, "small_relay", openings=Openings(1, 1, 2)).openings == (1, 1, 2)
    with pytest.raises(ValueError, match="env.openings: set null"):
        PettingZoo(1, "small_runners", openings=Openings(1, 1, 2))


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ([["red_*"]], "agent 'blue_0' is on no side"),
        ([["red_*", "blue_*"], ["*_0"]], "agent 'red_0' is on sides 0 and 1"),
        ([["red_*"], ["green_*"]], "'green_\\*' matches no agent; the agents are red_0, red_1, blue_0"),
    ],
)
def test_sides_that_do_not_partition_the_agents_are_an_error(sides, message):
    with pytest.raises(ValueError, match=f"env.sides: {message}"):
        resolve_sides(["red_0", "red_1", "blue_0"], sides)


def test_sides_by_pattern():
    agents = ["red_0", "blue_0", "red_1"]
    assert resolve_sides(agents, None) == [(0,), (1,), (2,)]
    assert resolve_sides(agents, [["*"]]) == [(0, 1, 2)]
    assert resolve_sides(agents, [["blue_0"], ["red_*"]]) == [(1,), (0, 2)]


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("pettingzoo.classic.rps_v2", "pygame", "classic"), ("mpe2.simple_v3", "mpe2", "mpe")],
)
def test_a_missing_package_is_an_extra(name, package, extra, monkeypatch):
    class Missing:
        """Finds no such package, as if it were not installed."""

        def find_spec(self, found, path=None, target=None):
            if found == package:
                raise ModuleNotFoundError(f"No module named {found!r}", name=found)

    for loaded in [module for module in sys.modules if module.startswith((package, "pettingzoo.classic.rps", "mpe2"))]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(
        ImportError, match=rf"env\.name='{name}' cannot .*; pip install '\.\[{extra}\]' in the checkout"
    ):
        PettingZoo(1, name)
