"""Habits of RLlib's MultiAgentEnvs, the smallest case of each: what RLlib promises, or an error that says what.

What RLlib does was compared with its `MultiAgentEpisode` on random environments: who acts, and the rewards of each
agent, are the same. The environments here have its methods, and need no Ray.
"""

import numpy as np
import pytest
from gymnasium import spaces

from marl_app.envs.checker import check_env
from marl_app.envs.multi_agent_adapter import MultiAgent

END = {"__all__": True}


class Script:
    """Two agents, whose observation is the step. `script`: what `reset` and each `step` return, in their order."""

    possible_agents = ("a", "b")

    def __init__(self, *script):
        self.script, self.actions = script, []

    def get_observation_space(self, agent):
        return spaces.Box(0, 9, (1,), np.float32)

    def get_action_space(self, agent):
        return spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.actions = []
        return self.script[0]

    def step(self, actions):
        self.actions.append(actions)
        return self.script[len(self.actions)]

    def close(self):
        pass


def see(time, agents="ab"):
    """Return observations of these agents."""
    return {agent: np.array([time], np.float32) for agent in agents}


def play(*script, make=Script):
    """Return the adapter, its steps, and the actions that reached the environment, until the match is over."""
    made = make(*script)
    env, rng = MultiAgent(1, lambda: made), np.random.default_rng(0)
    env.reset(rng)
    steps = []
    while not steps or not steps[-1].over[0]:
        env.observe(*env.acting().nonzero())
        steps.append(env.step([np.ones((1, len(group.agents)), np.int64) for group in env.groups], rng))
    return env, steps, made.actions


PAID = {"a": 1.0, "b": -1.0}
START = (see(0), {})
GOES_ON = (see(1), PAID, {"__all__": False}, {"__all__": False}, {})
OVER = (see(2), PAID, END, {}, {})


def test_while_no_agent_observes_the_environment_is_stepped_without_actions():
    nothing = ({}, {"a": 0.5}, {"__all__": False}, {}, {})
    _, steps, actions = play(({}, {}), nothing, GOES_ON, nothing, nothing, OVER)
    # RLlib's env runner passes {} as well. What is paid meanwhile belongs to the step before, and at the start to the
    # first step.
    assert actions == [{}, {}, {"a": 1, "b": 1}, {}, {}]
    assert [step.rewards[0].tolist() for step in steps] == [[0.5 + 1 + 0.5 + 0.5 + 1, -2]]


def test_a_truncated_agent_is_bootstrapped_from_its_last_observation_and_the_other_goes_on():
    cut = (see(1), PAID, {"__all__": False}, {"a": True}, {})
    env, steps, actions = play(START, cut, (see(2, "b"), {"b": 3.0}, END, {"__all__": False}, {}))
    assert steps[0].truncated.tolist() == [[True, False]] and not steps[0].terminated.any() and not steps[0].over[0]
    assert actions[1] == {"b": 1} and env.observe(np.array([0]), np.array([0])).tolist() == [[1]]
    assert steps[1].terminated.tolist() == [[False, True]] and steps[1].rewards.tolist() == [[0, 3]]


def test_flags_and_zero_rewards_of_agents_that_have_ended_do_not_count():
    first = (see(1), PAID, {"a": True, "__all__": False}, {}, {})
    again = (see(2, "b"), {"a": 0.0, "b": 1.0}, {"a": True, "b": True}, {}, {})  # without __all__: all have ended
    _, steps, _ = play(START, first, again)
    assert [step.terminated.tolist() for step in steps] == [[[True, False]], [[False, True]]] and steps[1].over[0]


def test_an_agent_that_has_no_episode_yet_cannot_end():
    # b is flagged before it has observed, and joins afterwards, with RLlib's reward None.
    early = (see(1, "a"), {"a": 1.0}, {"b": True, "__all__": False}, {}, {})
    joins = (see(2), {"a": 1.0, "b": None}, {"__all__": False}, {}, {})
    _, steps, actions = play((see(0, "a"), {}), early, joins, OVER)
    assert actions == [{"a": 1}, {"a": 1}, {"a": 1, "b": 1}]
    assert [step.terminated.tolist() for step in steps] == [[[False, False]]] * 2 + [[[True, True]]]


def test_a_seat_that_sits_out_has_no_score():
    class Alone(Script):
        agents = ("a",)

    alone = (see(1, "a"), {"a": 1.0}, END, {}, {})
    env, _, _ = play((see(0, "a"), {}), alone, make=Alone)
    assert np.isnan(env.scores(np.array([0]))).all()
    # In turns an agent may lose before its first observation: it is in `agents`, so it has played.
    env, _, _ = play((see(0, "a"), {}), alone)
    assert env.scores(np.array([0])).tolist() == [[1, 0]]


def test_arrays_that_are_filled_again_and_infos_that_are_none():
    class Reuses(Script):
        def step(self, actions):
            result = super().step(actions)
            self.script[0][0]["a"][:] = 9  # the array that reset() has handed out
            return result

    env = MultiAgent(1, lambda: Reuses((see(3), None), GOES_ON, OVER))
    env.reset(np.random.default_rng(0))
    copy = env._copies[0]
    kept = copy.observe(0)
    env.step([np.ones((1, 2), np.int64)], np.random.default_rng(0))
    assert kept.tolist() == [3]


@pytest.mark.parametrize("names", [(0, 1), ((0, "x"), (1, "x")), ("red/0", "b b")])
def test_agents_may_be_numbers_and_tuples(names):
    class Named(Script):
        possible_agents = names

        def __init__(self):
            seen = dict.fromkeys(names, np.zeros(1, np.float32))
            super().__init__((seen, {}), (seen, dict.fromkeys(names, 1.0), END, {}, {}))

    check_env(lambda num_matches: MultiAgent(num_matches, Named), steps=5)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        # What RLlib refuses.
        ([START, (see(1), {"a": 1.0}, {}, {}, {})], "rewards lacks agent 'b', which acted and observes the result"),
        ([START, (see(1, "a"), PAID, {}, END, {})], "agent 'b' is truncated without a last observation"),
        (
            [START, (see(1), PAID, {"a": True}, {}, {}), (see(2), {"b": 1.0}, {}, {}, {})],
            "agent 'a' observes although its episode has ended",
        ),
        (
            [START, (see(1), PAID, {"a": True}, {}, {}), (see(2, "b"), PAID, END, {}, {})],
            "agent 'a' is rewarded although its episode has ended",
        ),
        # What RLlib trains on, or ends with errors of its own code.
        ([START, (see(1), {"a": float("nan"), "b": 0.0}, END, {}, {})], "agent a, step 0: the reward is nan"),
        ([START, (see(1), {"a": None, "b": 0.0}, END, {}, {})], "the reward of agent 'a' is None, not a number"),
        ([START, (see(1), {"a": 1.0, "c": 1.0}, END, {}, {})], r"rewards has 'c', which is not in possible_agents"),
        ([START, (see(1), PAID, {"all": True}, {}, {})], "terminateds has 'all', which is not in possible_agents"),
        ([START, (see(1), PAID, {"__all__": "no"}, {}, {})], "terminateds of agent '__all__' is 'no', not True"),
        ([START, (see(1), PAID, True, False, {})], "terminateds is True, not a dict by agent"),
        ([START, ([1, 2], PAID, END, {}, {})], r"observations is \[1, 2\], not a dict by agent"),
        ([START, (see(1), 1.0, END, {}, {})], "rewards is 1.0, not a dict by agent"),
        ([START, (see(1), PAID, END, {}, [{}])], r"infos is \[\{\}\], not a dict by agent"),
        ([START, (see(1), PAID, END, {})], r"step\(\) returned 4 values, not .* this is RLlib's API before Ray"),
        ([see(0)], r"reset\(\) returned .*, not \(observations, infos\); this is RLlib's API before Ray"),
        ([(see(0, "c"), {})], "observations has 'c', which is not in possible_agents"),
        ([({"a": None}, {})], "the observation of agent 'a' is None, not an array of numbers"),
        ([({"a": np.zeros(2)}, {})], r"agent a, step 0: the observation's shape is \(2,\), not \(1,\)"),
        ([({}, {}), *[({}, {}, {}, {}, {})] * 1000], "no agent has had an observation for 1,000 steps"),
        ([({}, {}), ({}, {}, END, {}, {})], "the match is over before an agent has an observation"),
    ],
)
def test_what_breaks_the_api_is_an_error(script, message):
    with pytest.raises((RuntimeError, ValueError), match=f"^Script: match 0.*{message}"):
        play(*script)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"possible_agents": {"a", "b"}}, "Odd: its possible_agents are .*: give a list of names"),
        ({"possible_agents": [1, "1"]}, "Odd: two of the possible_agents have the same name"),
        ({"possible_agents": ()}, "Odd is not a MultiAgentEnv with possible_agents"),
        (
            {"get_action_space": lambda self, agent: {}[agent]},
            "Odd: agent a: .* does not give its get_action_space: Key",
        ),
        (
            {"get_observation_space": lambda self, agent: None},
            "Odd: agent a: its get_observation_space is None, not a sp",
        ),
        ({"__init__": lambda self: 1 / 0}, "making the environment failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_an_environment_does_not_say_is_an_error(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MultiAgent(1, type("Odd", (Script,), changes))
