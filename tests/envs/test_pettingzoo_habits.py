"""Habits of real PettingZoo environments, the smallest case of each: what the API promises, or an error that says what.

Each environment is a few lines; `play` returns what the adapter makes of one match in which every action is 1.
"""

import sys
import types

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.classic import tictactoe_v3
from pettingzoo.utils.conversions import parallel_wrapper_fn
from pettingzoo.utils.wrappers import BaseParallelWrapper, MultiEpisodeEnv

from marl_app.envs.board import Board
from marl_app.envs.checked_rendering import check_rendering
from marl_app.envs.checker import check_env
from marl_app.envs.pettingzoo_adapter import PettingZoo

NONE = {"a": False, "b": False}
MOVES = spaces.Discrete(2)


def adapter(monkeypatch, num_matches=1, settings=None, **functions):
    """An adapter of a module that has these functions (`env`, `parallel_env`)."""
    monkeypatch.setitem(sys.modules, "habits", types.SimpleNamespace(**functions))
    return PettingZoo(num_matches, "habits", **(settings or {}))


def play(env, seed=0):
    """[(acting agents, step)] of the only match of `env`, until it is over."""
    rng = np.random.default_rng(seed)
    env.reset(rng)
    steps = []
    while not steps or not steps[-1][1].over[0]:
        acting = env.acting()[0].nonzero()[0].tolist()
        steps.append((acting, env.step([np.ones((1, len(group.agents)), np.int64) for group in env.groups], rng)))
        assert len(steps) < 50
    return steps


class Two(ParallelEnv):
    """Two agents that observe the step; three steps; action 1 pays `a` one, and `b` minus one."""

    def __init__(self):
        self.possible_agents = ["a", "b"]

    def observation_space(self, agent):
        return spaces.Box(0, 9, (1,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(2)

    def see(self):
        return {agent: np.array([self.t], np.float32) for agent in self.possible_agents}

    def reset(self, seed=None, options=None):
        self.agents, self.t = list(self.possible_agents), 0
        return self.see(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.t += 1
        rewards = {agent: float(action) * (1 if agent == "a" else -1) for agent, action in actions.items()}
        ends = dict.fromkeys(actions, self.t == 3)
        self.agents = [] if self.t == 3 else self.agents
        return self.see(), rewards, ends, dict.fromkeys(actions, False), {agent: {} for agent in actions}


class Turns(AECEnv):
    """Two agents in turns, four turns; the mover is paid 1. Observations and masks are one array, filled again."""

    metadata = types.MappingProxyType({"name": "turns", "is_parallelizable": False})
    limit = 4

    def __init__(self):
        self.possible_agents, self.buffer, self.mask = ["a", "b"], np.zeros(1, np.float32), np.zeros(2, np.int8)

    def observation_space(self, agent):
        return spaces.Dict({"observation": spaces.Box(0, 9, (1,)), "action_mask": spaces.Box(0, 1, (2,), np.int8)})

    def action_space(self, agent):
        return spaces.Discrete(2)

    def observe(self, agent):
        self.buffer[:] = self.turn + 5 * (agent == "b")
        self.mask[:] = [agent == "b", 1]
        return {"observation": self.buffer, "action_mask": self.mask}

    def reset(self, seed=None, options=None):
        self.agents, self.turn, self.agent_selection = ["a", "b"], 0, "a"
        self.rewards, self._cumulative_rewards = dict.fromkeys("ab", 0), dict.fromkeys("ab", 0)
        self.terminations, self.truncations = dict.fromkeys("ab", False), dict.fromkeys("ab", False)
        self.infos = {"a": {}, "b": {}}

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            return self._was_dead_step(action)
        self._cumulative_rewards[agent] = 0
        self.rewards = {other: float(other == agent) for other in self.agents}
        self.turn += 1
        self.end(agent)
        self.agent_selection = self.agents[(self.agents.index(agent) + 1) % len(self.agents)]
        self._accumulate_rewards()
        self._deads_step_first()

    def end(self, agent):
        self.terminations = dict.fromkeys(self.agents, self.turn == self.limit)


# Ends of episodes.


def test_staggered_limits_truncate_each_agent_at_its_own_time(monkeypatch):
    class Staggered(Two):
        def step(self, actions):
            self.t += 1
            cut = {agent: self.t >= (2 if agent == "a" else 4) for agent in actions}
            self.agents = [agent for agent in self.agents if not cut[agent]]
            return self.see(), dict.fromkeys(actions, 1.0), dict.fromkeys(actions, False), cut, {}

    env = adapter(monkeypatch, parallel_env=Staggered)
    rng = np.random.default_rng(0)
    env.reset(rng)
    seen = []
    for t in range(1, 5):
        step = env.step([np.ones((1, 2), np.int64)], rng)
        assert not step.terminated.any()
        assert step.truncated.tolist() == [[t == 2, t == 4]] and step.over.tolist() == [t == 4]
        assert step.rewards.tolist() == [[float(t <= 2), 1.0]]
        # The value of an agent is bootstrapped from what it sees when it is cut off.
        for agent in np.flatnonzero(step.truncated[0]):
            seen.append(env.observe(np.array([0]), np.array([agent])).item())
    assert seen == [2, 4]
    check_env(lambda count: adapter(monkeypatch, count, parallel_env=Staggered), steps=20)


def test_a_limit_at_an_agents_own_turn_truncates_that_agent(monkeypatch):
    class OwnLimit(Turns):
        def end(self, agent):
            self.truncations[agent] = self.turn >= 3  # `a` at turn 3, then `b` at turn 4

    env = adapter(monkeypatch, env=OwnLimit)
    steps = play(env)
    assert [step.truncated[0].tolist() for _, step in steps[2:]] == [[True, False], [False, True]]
    assert not any(step.terminated.any() for _, step in steps)
    # What `a` saw when it was cut off, after turn 3, although it has been removed since; `b` after turn 4.
    assert env.observe(np.array([0, 0]), np.array([0, 1])).tolist() == [[3], [9]]
    check_env(lambda count: adapter(monkeypatch, count, env=OwnLimit), steps=20)


def test_agents_that_come_back_begin_a_new_episode(monkeypatch):
    class Respawn(Two):
        def step(self, actions):
            assert set(actions) == set(self.agents)
            self.t += 1
            dead, over = self.t == 2, self.t == 6
            self.agents = [] if over else ["b"] if 2 <= self.t < 4 else ["a", "b"]
            ends = {agent: over or (dead and agent == "a") for agent in actions}
            return self.see(), dict.fromkeys(actions, 1.0), ends, dict.fromkeys(actions, False), {}

    steps = play(adapter(monkeypatch, parallel_env=Respawn))
    assert [acting for acting, _ in steps] == [[0, 1], [0, 1], [1], [1], [0, 1], [0, 1]]
    assert [step.terminated[0].tolist() for _, step in steps] == [
        [False, False], [True, False], [False, False], [False, False], [False, False], [True, True],
    ]  # fmt: skip
    check_env(lambda count: adapter(monkeypatch, count, parallel_env=Respawn), steps=20)


def test_all_episodes_of_a_multi_episode_wrapper_are_one_match(monkeypatch):
    # A game of tic-tac-toe has 5 to 9 moves; the first player fills the board from the first free cell on and wins with
    # its fourth move (cells 0, 2, 4, 6: a diagonal), so that a game has 7 moves.
    env = adapter(monkeypatch, env=lambda: MultiEpisodeEnv(tictactoe_v3.env(), num_episodes=2))
    rng = np.random.default_rng(0)
    env.reset(rng)
    moves, over = 0, False
    while not over:
        matches, agents = env.acting().nonzero()
        actions = np.zeros((1, 2), np.int64)
        actions[0, agents] = env.action_mask(matches, agents).argmax(axis=1)
        over = bool(env.step([actions], rng).over[0])
        moves += 1
    assert moves == 14
    assert env.scores(np.array([0])).tolist() == [[1.0, 0.0]]  # 2 to -2


# Rewards and results.


def test_rewards_kept_only_in_cumulative_rewards_count(monkeypatch):
    class OwnBooks(Turns):
        def step(self, action):
            agent = self.agent_selection
            if self.terminations[agent]:
                return self._was_dead_step(action)
            other = "b" if agent == "a" else "a"
            self._cumulative_rewards[agent] = float(action)
            self._cumulative_rewards[other] -= float(action)
            self.turn, self.agent_selection = self.turn + 1, other
            self.end(agent)

    steps = play(adapter(monkeypatch, env=OwnBooks))
    # last() gives each agent 1 for its action and takes 1 for the other's, when its next turn comes or at the end. Each
    # moves twice; `b` also loses 1 before its first turn, and `a` ends with the reply to its second move.
    assert np.sum([step.rewards[0] for _, step in steps], axis=0).tolist() == [0.0, 0.0]
    assert [step.rewards[0].tolist() for _, step in steps] == [[0, -1], [0, 0], [0, 0], [0, 1]]


def test_rewards_that_are_never_accumulated_are_an_error(monkeypatch):
    class Forgetful(Turns):
        def _accumulate_rewards(self):
            pass

    with pytest.raises(RuntimeError, match=r"habits: match 0, step 3.*call self\._accumulate_rewards\(\)"):
        play(adapter(monkeypatch, env=Forgetful))


def test_equal_returns_are_a_draw_however_they_were_summed(monkeypatch):
    class Slow(Two):
        def step(self, actions):
            self.t += 1
            over = self.t == 40
            self.agents = [] if over else self.agents
            rewards = {"a": 0.1, "b": 4.0 if over else 0.0}  # in float32 the sums differ by 1e-6
            return self.see(), rewards, dict.fromkeys("ab", over), NONE, {}

    env = adapter(monkeypatch, parallel_env=Slow)
    play(env)
    assert env.scores(np.array([0])).tolist() == [[0.5, 0.5]]


def test_small_wins_are_wins(monkeypatch):
    class Small(Two):
        def step(self, actions):
            observations, rewards, *rest = super().step(actions)
            return observations, {agent: 1e-7 * reward for agent, reward in rewards.items()}, *rest

    env = adapter(monkeypatch, parallel_env=Small)
    play(env)
    assert env.scores(np.array([0])).tolist() == [[1.0, 0.0]]


def test_a_side_that_sits_out_has_no_score(monkeypatch):
    class SitOut(Two):
        def __init__(self):
            self.possible_agents = ["a", "b", "c"]

        def reset(self, seed=None, options=None):
            super().reset()
            self.agents = ["a", "c"]
            return {agent: np.zeros(1, np.float32) for agent in self.agents}, {}

    env = adapter(monkeypatch, parallel_env=SitOut)
    play(env)
    np.testing.assert_array_equal(env.scores(np.array([0])), [[1.0, np.nan, 0.0]])  # `a` beats the only opponent
    check_env(lambda count: adapter(monkeypatch, count, parallel_env=SitOut), steps=20)


# What the environment hands out.


def test_arrays_that_are_filled_again_keep_the_values_of_each_agent(monkeypatch):
    env, rng = adapter(monkeypatch, env=Turns), np.random.default_rng(0)
    env.reset(rng)
    both = np.array([0, 0]), np.array([0, 1])
    assert env.observe(*both).tolist() == [[0], [5]]
    assert env.action_mask(np.array([0]), np.array([0])).tolist() == [[False, True]]
    env.step([np.ones((1, 2), np.int64)], rng)
    assert env.observe(*both).tolist() == [[1], [6]]
    check_env(lambda count: adapter(monkeypatch, count, env=Turns), steps=20)


@pytest.mark.parametrize(
    ("space", "value", "dtype", "expected"),
    [
        (spaces.Box(0, 9, (2,), np.uint16), np.array([3, 9], np.uint16), np.int32, [3, 9]),
        (spaces.Box(0, 2**32 - 1, (1,), np.uint32), np.array([2**32 - 1], np.uint32), np.int64, [2**32 - 1]),
        (spaces.Box(0, 2**64 - 1, (1,), np.uint64), np.array([7], np.uint64), np.int64, [7]),
        (spaces.Box(0, 1, (), np.float32), np.float32(0.5), np.float32, [0.5]),
        (spaces.Box(0, 1, (2,), np.float16), np.array([0.5, 1], np.float16), np.float32, [0.5, 1]),
        (spaces.Box(0, 1, (2,), np.float64), [0, 1], np.float32, [0, 1]),  # a list, of integers
    ],
)
def test_all_dtypes_and_ranks_of_observations_arrive(monkeypatch, space, value, dtype, expected):
    class Kind(Two):
        def observation_space(self, agent):
            return space

        def see(self):
            return {"a": value, "b": value}

    env = adapter(monkeypatch, parallel_env=Kind)
    env.reset(np.random.default_rng(0))
    seen = env.observe(np.array([0]), np.array([1]))
    assert seen.dtype == dtype and seen.tolist() == [expected]


def test_masks_may_be_lists(monkeypatch):
    class Lists(Two):
        def action_space(self, agent):
            return spaces.Discrete(2) if agent == "a" else spaces.MultiDiscrete([2, 2])

        def reset(self, seed=None, options=None):
            observations, _ = super().reset()
            return observations, {"a": {"action_mask": [0, 1]}, "b": {"action_mask": [[1, 0], [0, 1]]}}

    env = adapter(monkeypatch, parallel_env=Lists)
    env.reset(np.random.default_rng(0))
    zero = np.array([0])
    assert env.action_mask(zero, zero).tolist() == [[False, True]]
    assert env.action_mask(zero, np.array([1])).tolist() == [[True, False, False, True]]


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        ([-np.inf, 0], "the value -inf"),  # what is added to logits: as truth values the opposite
        ([1, 2], "the value 2"),  # the numbers of the legal actions
        ([np.nan, 1], "the value nan"),
        (None, "the observation of agent 'a', which acts, has no action_mask"),  # not: everything is legal
        ([0, 0], "the action mask allows no action"),
    ],
)
def test_a_mask_that_says_no_legal_actions_is_an_error(monkeypatch, mask, problem):
    class Masked(Two):
        def observation_space(self, agent):
            return spaces.Dict(
                {"x": spaces.Box(0, 9, (1,)), "y": MOVES, "action_mask": spaces.Box(0, 1, (2,), np.int8)}
            )

        def see(self):
            masks = {} if mask is None else {"action_mask": np.array(mask)}
            return {agent: {"x": np.zeros(1), "y": 0, **masks} for agent in self.possible_agents}

    env = adapter(monkeypatch, parallel_env=Masked)
    with pytest.raises((ValueError, RuntimeError), match=f"habits: match 0.*step 0.*{problem}"):
        env.reset(np.random.default_rng(0))
        env.action_mask(np.array([0]), np.array([0]))


def test_every_part_of_an_action_needs_a_legal_number(monkeypatch):
    class Parts(Two):
        def action_space(self, agent):
            return spaces.MultiDiscrete([2, 3])

        def reset(self, seed=None, options=None):
            return super().reset()[0], {"a": {"action_mask": [1, 1, 0, 0, 0]}}

    env = adapter(monkeypatch, parallel_env=Parts)
    env.reset(np.random.default_rng(0))
    with pytest.raises(
        ValueError, match="habits: match 0, agent a, step 0: the action mask allows no action in part 1"
    ):
        env.action_mask(np.array([0, 0]), np.array([1, 0]))


def test_agents_may_be_numbers(monkeypatch):
    class Numbers(Two):
        def __init__(self):
            self.possible_agents = [1, 2]

    env = adapter(monkeypatch, parallel_env=Numbers)
    assert env.agents == ("1", "2")
    assert len(play(env)) == 3


def test_a_turn_based_module_with_parallel_env_is_used_in_turns(monkeypatch):
    functions = {"env": Turns, "parallel_env": parallel_wrapper_fn(Turns)}
    assert [acting for acting, _ in play(adapter(monkeypatch, **functions))] == [[0], [1], [0], [1]]
    with pytest.raises(ValueError, match=r"turn-based .* use env\.interface=aec"):
        adapter(monkeypatch, settings={"interface": "parallel"}, **functions)
    with pytest.raises(ValueError, match="env.interface='both'"):
        adapter(monkeypatch, settings={"interface": "both"}, **functions)


# Errors: environment, agent, step and cause in one line.


def broken(**changes):
    """`Two` with another result of its second step, or of its reset: name -> function of the right value."""

    class Broken(Two):
        def reset(self, seed=None, options=None):
            result = super().reset()
            if "agents" in changes:
                self.agents = changes["agents"]
            return changes["reset"](result) if "reset" in changes else result

        def step(self, actions):
            names = ("observations", "rewards", "terminations", "truncations", "infos")
            result = dict(zip(names, super().step(actions), strict=True))
            if self.t == 2:
                result |= {name: changes[name](result[name]) for name in names if name in changes}
            return changes["step"](tuple(result.values())) if "step" in changes else tuple(result.values())

    return Broken


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rewards": lambda r: {0: r["a"], 1: r["b"]}},
            r"step 1, .*rewards has 0, which is not one of the agents \(a, b\)",
        ),
        ({"rewards": lambda r: {"a": r["a"]}}, "step 1, .*rewards lacks agent 'b'"),
        ({"rewards": lambda r: {**r, "b": None}}, "the reward of agent 'b' is None, not a number"),
        ({"rewards": lambda r: {**r, "b": np.zeros(2)}}, "the reward of agent 'b' .* several objectives"),
        ({"rewards": lambda r: {**r, "b": np.array("1")}}, r"the reward of agent 'b' is array\('1'.*, not a number"),
        ({"rewards": lambda r: {**r, "b": 1j}}, "the reward of agent 'b' is 1j, not a number"),
        ({"rewards": lambda r: {**r, "b": 1e30}}, r"agent b, step 1: the reward is 1e\+30, and must be finite"),
        ({"observations": lambda o: {"a": o["a"]}}, "observations lacks agent 'b'"),
        ({"observations": lambda o: {**o, "b": None}}, "the observation of agent 'b' is None, not an array of numbers"),
        ({"observations": lambda o: list(o.values())}, "observations is a list, not a dict by agent"),
        ({"terminations": lambda t: {"__all__": False}}, "has '__all__', .* a flag for each agent"),
        # All of these have a truth value.
        ({"terminations": lambda t: {**t, "a": "False"}}, "terminations of agent 'a' is 'False', not True or False"),
        ({"truncations": lambda t: {**t, "a": np.nan}}, "truncations of agent 'a' is nan, not True or False"),
        ({"truncations": lambda t: {**t, "b": None}}, "truncations of agent 'b' is None, not True or False"),
        ({"truncations": lambda t: {**t, "b": [False, True]}}, "truncations of agent 'b' is .*, not True or False"),
        ({"infos": lambda i: None}, "infos is None, not a dict by agent"),
        ({"step": lambda result: result[:4]}, r"step\(\) returned 4 values, .* before 1.22"),
        ({"reset": lambda result: result[0]}, r"reset failed: .*reset\(\) returned .* before 1.22"),
        ({"agents": []}, "no agent is live after reset"),
        ({"agents": ["a", "b", "c"]}, r"env.agents has 'c', which is not in possible_agents \(a, b\)"),
    ],
)
def test_what_breaks_the_api_is_an_error(monkeypatch, changes, message):
    with pytest.raises((RuntimeError, ValueError), match=f"habits: match 0.*{message}") as caught:
        play(adapter(monkeypatch, parallel_env=broken(**changes)))
    assert "\n" not in str(caught.value)


def test_an_agent_that_leaves_without_a_flag_is_an_error(monkeypatch):
    class Leaves(Two):
        def step(self, actions):
            result = super().step(actions)
            self.agents = ["b"]
            return result

    with pytest.raises(RuntimeError, match=r"agent 'a' is not in env\.agents any more, but is neither terminated nor"):
        play(adapter(monkeypatch, parallel_env=Leaves))


@pytest.mark.parametrize("leaves", [["a", "b"], ["a"]])
def test_an_agent_that_leaves_without_its_dead_step_is_an_error(monkeypatch, leaves):
    # Its last reward, which last() gives with that step, would be lost, and its episode would have no end.
    class Leaves(Turns):
        def step(self, action):
            self.turn, self.agent_selection = self.turn + 1, "b"
            if self.turn == 3:
                self.agents = [agent for agent in self.agents if agent not in leaves]

    with pytest.raises(
        RuntimeError, match=r"step 2.*agent 'a' is not in env\.agents .* no step\(None\) has removed it"
    ):
        play(adapter(monkeypatch, env=Leaves))


def test_the_selection_of_an_agent_that_has_left_is_an_error(monkeypatch):
    class Gone(Turns):
        def step(self, action):
            self.agents, self.agent_selection = ["a"], "b"

    with pytest.raises(RuntimeError, match=r"step 0.*agent_selection is 'b', which is not in env\.agents any more"):
        play(adapter(monkeypatch, env=Gone))


def test_a_dead_step_that_removes_nobody_is_an_error(monkeypatch):
    class Stays(Turns):
        def step(self, action):
            return None if action is None else super().step(action)

    with pytest.raises(RuntimeError, match=r"step\(None\) does not remove agent 'a'"):
        play(adapter(monkeypatch, env=Stays))


def test_an_observation_that_its_space_cannot_hold_is_an_error(monkeypatch):
    class Gray(Two):
        def observation_space(self, agent):
            return spaces.Box(0, 255, (1,), np.uint8)

        def see(self):
            return {"a": np.array([0.25]), "b": np.array([0.25])}

    with pytest.raises(RuntimeError, match="the observation of agent 'a' has the value 0.25, .* uint8 cannot hold"):
        play(adapter(monkeypatch, parallel_env=Gray))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("raise KeyError('boom')", r"KeyError: 'boom' \(broken_module.py:1\)"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),  # it would end the run without a message
        ("def (", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_executed_is_an_error_that_names_it(monkeypatch, tmp_path, content, problem):
    (tmp_path / "broken_module.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"env.name='broken_module' cannot be imported: {problem}"):
        PettingZoo(1, "broken_module")


@pytest.mark.parametrize("name", ["", ".relative", 5])
def test_a_name_that_no_module_has_is_an_error_that_shows_it(name):
    with pytest.raises((ImportError, ValueError), match=f"env.name='{name}' cannot be imported"):
        PettingZoo(1, name)


@pytest.mark.parametrize("names", [[1, 2], ["[x]", "y*"]])
def test_sides_are_named_as_the_agents_are(monkeypatch, names):
    class Named(Two):
        def __init__(self):
            self.possible_agents = names

    sides = [[names[1]], [names[0]]]
    assert adapter(monkeypatch, settings={"sides": sides}, parallel_env=Named).sides == ((1,), (0,))


def test_spaces_must_be_methods(monkeypatch):
    class Attribute(Two):
        observation_space = spaces.Box(0, 1, (1,))

    with pytest.raises(ValueError, match=r"habits.*agent a: .*observation_space must be a method that takes an agent"):
        adapter(monkeypatch, parallel_env=Attribute)


def test_spaces_must_be_those_of_gymnasium(monkeypatch):
    class Number(Two):
        def action_space(self, agent):
            return 2

    with pytest.raises(ValueError, match="habits.*agent a: its action_space is 2, not a space of gymnasium"):
        adapter(monkeypatch, parallel_env=Number)

    class OnlyMask(Two):
        def observation_space(self, agent):
            return spaces.Dict({"action_mask": spaces.MultiBinary(2)})

    with pytest.raises(ValueError, match=r"habits.*agent a: the observation space Dict\(\) has no size"):
        adapter(monkeypatch, parallel_env=OnlyMask)


@pytest.mark.parametrize(
    ("agents", "problem"),
    [
        ({"a", "b"}, "its possible_agents are {.*}: give a list of names"),  # its order differs between processes
        ("ab", "its possible_agents are 'ab': give a list of names"),
        (np.array([]), "the environment has no possible_agents"),
    ],
)
def test_possible_agents_are_names_in_an_order(monkeypatch, agents, problem):
    class Named(Two):
        def __init__(self):
            self.possible_agents = agents

    with pytest.raises(ValueError, match=f"env.name='habits': {problem}"):
        adapter(monkeypatch, parallel_env=Named)


def test_possible_agents_may_be_an_array(monkeypatch):
    class Named(Two):
        def __init__(self):
            self.possible_agents = np.array(["a", "b"])

    assert adapter(monkeypatch, parallel_env=Named).agents == ("a", "b")


def test_possible_agents_that_raise_are_an_error_of_the_environment(monkeypatch):
    class Raises(Two):
        possible_agents = property(lambda self: 1 / 0, lambda self, agents: None)

    with pytest.raises(ValueError, match="env.name='habits': its possible_agents: ZeroDivisionError"):
        adapter(monkeypatch, parallel_env=Raises)


@pytest.mark.parametrize("wrap", [lambda env: env, BaseParallelWrapper], ids=["itself", "in a new wrapper"])
def test_one_environment_for_all_matches_is_an_error(monkeypatch, wrap):
    only = Two()
    adapter(monkeypatch, parallel_env=lambda: wrap(only))  # for one match
    with pytest.raises(ValueError, match="env.name='habits': two matches get the same environment.*: return a new"):
        adapter(monkeypatch, 2, parallel_env=lambda: wrap(only))


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (lambda: np.zeros(1), r"the state has shape \(1,\), not \(4,\)"),  # numpy would repeat it
        (lambda: np.array([0, np.nan, 0, 0]), "the state has NaN or infinity"),
        (lambda: 1 / 0, "its state: ZeroDivisionError"),
    ],
)
def test_a_wrong_global_state_is_an_error(monkeypatch, state, problem):
    class Stated(Two):
        state_space = spaces.Box(0, 1, (4,))

        def state(self):
            return state()

    env = adapter(monkeypatch, parallel_env=Stated)
    env.reset(np.random.default_rng(0))
    with pytest.raises((RuntimeError, ValueError), match=f"habits: match 0, step 0: {problem}"):
        env.state(np.array([0]))


def test_an_environment_that_exits_is_an_error(monkeypatch):
    class Exits(Two):
        def step(self, actions):
            sys.exit(3)  # as at the end of a window

    with pytest.raises(RuntimeError, match=r"habits: match 0, step 0, .*SystemExit: 3 \(test_pettingzoo_habits.py"):
        play(adapter(monkeypatch, parallel_env=Exits))


def test_an_environment_that_cannot_be_closed_is_a_message(monkeypatch, caplog):
    class Stuck(Two):
        def close(self):
            raise OSError("busy")

    adapter(monkeypatch, 2, parallel_env=Stuck).close()
    assert "habits: match 0, step 0: closing failed: OSError: busy (test_pettingzoo_habits.py" in caplog.text
    assert len(caplog.records) == 1 and "and 1 more" in caplog.text


def test_an_error_of_the_constructor_is_not_blamed_on_kwargs(monkeypatch):
    class Bug(Two):
        def __init__(self, size=2):
            len(size)

    with pytest.raises(
        ValueError,
        match=r"'habits': making .* failed: TypeError: .* has no len\(\) \(test_pettingzoo_habits.py:\d+\)$",
    ):
        adapter(monkeypatch, settings={"kwargs": {"size": 3}}, parallel_env=Bug)
    with pytest.raises(ValueError, match=r"env\.kwargs=\{'sise': 3\}: habits does not accept them"):
        adapter(monkeypatch, settings={"kwargs": {"sise": 3}}, parallel_env=Bug)


def test_a_board_and_names_of_moves_are_shown_as_the_environment_says(monkeypatch):
    class Drawn(Two):
        metadata = types.MappingProxyType({"render_modes": ["ansi"]})

        def __init__(self, render_mode=None):
            super().__init__()
            self.render_mode = render_mode

        def render(self):
            return Board(np.array([[0, -1]]), np.array([[-1, 1]]))

        def action_name(self, agent, action):
            return f"{agent} takes {action}"

    env = adapter(monkeypatch, parallel_env=Drawn)
    assert env.action_name(0, 1, 1) == "b takes 1"
    env.enable_rendering(prefer_text=False)
    env.reset(np.random.default_rng(0))
    assert env.render(0).text() == "X ." and env.render(0, 1).actions.tolist() == [[-1, 1]]
    check_rendering(lambda num_matches: adapter(monkeypatch, num_matches, parallel_env=Drawn), steps=3, seed=0)
